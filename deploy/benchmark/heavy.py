"""The measures that take minutes. Each has a stack of its own, so none sees what another left."""

import os
import shutil
import statistics

from .load import Load, grow, measure
from .programs import Failure, memory_mb
from .report import Figure
from .stack import post
from .throughput import BYTES_AN_EVENT, BYTES_BESIDE, DEPOSITS, TRANSFERS, load_of, open_wallets

FILL_CONNECTIONS = 256
GROWN_CONNECTIONS = 64
# A million wallets or ten million events may leave minutes of work behind.
REST_DEADLINE_S = 1800

HOT_WALLET = "/wallets/wallet-0000001/deposit"
OTHER_WALLET = "/wallets/wallet-0000002/deposit"
GROWN_TABLE = tuple(
    (f"{name}, {side}", GROWN_CONNECTIONS)
    for name in (DEPOSITS, TRANSFERS) for side in ("empty", "grown")
)
DEPOSIT = {"amount": "1.00", "currency": "USD"}


def wallets_memory(stack, wallets, report):
    """What the service's process holds after a deposit to each of very many wallets."""
    with stack:
        empty = memory_mb(stack.pid)["VmRSS"]
        # Every first deposit opens its wallet: two events. Then those under way.
        events = 2 * wallets + 2 * FILL_CONNECTIONS
        took = grow(stack, Load("touch", wallets), FILL_CONNECTIONS, events, report)
        rest = _rest(stack)
        opened = "SELECT count(*) FROM events WHERE aggregate_type = 'Wallet' AND sequence = 1"
        touched = int(stack.sql(opened))
        memory = memory_mb(stack.pid)
    if touched < wallets:
        raise Failure(f"only {touched:,} of {wallets:,} wallets were touched")
    after, highest = memory["VmRSS"], memory["VmHWM"]
    detail = (
        f"{touched:,} wallets in {took:.0f} s, at rest {rest:.1f} s later; the florin process "
        f"alone: VmRSS {empty:.0f} MB before, {after:.0f} MB after, VmHWM {highest:.0f} MB; it "
        "keeps as many wallets as FLORIN_CACHED_WALLETS allows"
    )
    return [Figure("memory, highest (VmHWM)", [highest], "≤", 250, unit=" MB", detail=detail)]


def long_wallet(stack, events, rounds, report):
    """The first command of a new process on a wallet with very many events."""
    first, second, other = [], [], []
    with stack:
        post(stack.connection(), OTHER_WALLET, DEPOSIT)
        took = grow(stack, Load("deposits", 1), FILL_CONNECTIONS, events, report)
        rest = _rest(stack)
        for _ in range(rounds):
            stack.stop()
            stack.start()
            stack.rest()
            connection = stack.connection()
            # The other wallet's first command is the second of the process: what it costs is
            # what any cold wallet costs.
            for times, path in ((first, HOT_WALLET), (second, HOT_WALLET), (other, OTHER_WALLET)):
                times.append(post(connection, path, DEPOSIT) * 1e3)
            connection.close()
            report(f"first {first[-1]:.2f}, second {second[-1]:.2f}, other {other[-1]:.2f} ms")
    detail = (
        f"{events:,} events in {took:.0f} s, at rest {rest:.1f} s later. Cold: the florin process "
        "and its Postgres, with its buffers, are new; the kernel's page cache is warm. "
        f"Then a second command there {statistics.median(second):.2f} ms, "
        f"the first on a wallet of one event {statistics.median(other):.2f} ms"
    )
    return [Figure("first command on a long wallet", first, "≤", 20, unit=" ms", detail=detail)]


def grown(empty, full, events, options, report_cell, report):
    """Whether the service slows down as the journal grows: an empty and a grown stack by turns."""
    need_room(os.path.dirname(full.directory), events * BYTES_AN_EVENT + 2 * BYTES_BESIDE)
    cells = []
    with full:
        open_wallets(full)
        keys = not options.no_keys
        took = grow(full, load_of(TRANSFERS, keys), FILL_CONNECTIONS, events, report)
        rest = settle(full)
        size = int(full.sql("SELECT pg_database_size(current_database())")) / 1e9
        with empty:
            # As old as the other one, but for the journal.
            report(f"Postgres aged in {empty.age():.0f} s")
            open_wallets(empty)
            for stack in (empty, full):
                # Not counted: after a checkpoint each page is logged whole once.
                _side("settling", stack, 0, options, report_cell)
            for number in range(1, options.rounds + 1):
                sides = [("empty", empty), ("grown", full)]
                for side, stack in sides if number % 2 else reversed(sides):
                    cells += _side(side, stack, number, options, report_cell)
    detail = (
        f"{events:,} events of transfers in {took:.0f} s, at rest {rest:.1f} s later, "
        f"{size:.1f} GB, vacuumed; an empty and the grown stack measured by turns"
    )
    figures = [
        Figure(f"{name} at {GROWN_CONNECTIONS}, grown / empty", _ratios(cells, name), "≥", 0.9)
        for name in (DEPOSITS, TRANSFERS)
    ]
    figures[0].detail = detail
    return cells, figures


def _side(side, stack, number, options, report_cell):
    """Both loads on one of the two stacks."""
    cells = []
    for name in (DEPOSITS, TRANSFERS):
        load = load_of(name, not options.no_keys)
        times = (options.seconds, options.warm_up)
        # What the other one left to be written is not to slow this one down.
        os.sync()
        cell = measure(stack, load, GROWN_CONNECTIONS, *times)
        cell = {"connections": GROWN_CONNECTIONS, "round": number, **cell}
        cells.append({"name": f"{name}, {side}", **cell})
        report_cell(cells[-1])
    return cells


def _ratios(cells, name):
    rates = {(cell["name"], cell["round"]): cell["rate"] for cell in cells}
    numbers = sorted({cell["round"] for cell in cells})
    return [rates[f"{name}, grown", n] / rates[f"{name}, empty", n] for n in numbers]


def need_room(directory, need):
    free = shutil.disk_usage(directory).free
    if free < need:
        free, need = (f"{size / 1e9:.0f} GB" for size in (free, need))
        raise Failure(f"{directory} may need {need} and has {free}: choose another --dir")


def settle(stack):
    """What a growth left to be done is done now, and not by autovacuum under the load. Returns the
    seconds until the stack was at rest then."""
    stack.sql("VACUUM (ANALYZE) events")
    stack.sql("VACUUM (ANALYZE) idempotency_keys")
    stack.sql("CHECKPOINT")
    os.sync()
    return _rest(stack)


def _rest(stack):
    rest = stack.rest(REST_DEADLINE_S)
    if rest is None:
        raise Failure(f"the stack was still busy {REST_DEADLINE_S} s after the last answer")
    return rest
