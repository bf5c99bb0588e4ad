"""What the read models answer: the balance of a wallet, and pages of a very long history."""

import concurrent.futures
import itertools
import json
import math
import os
import random
import time
import urllib.parse

from .heavy import FILL_CONNECTIONS, HOT_WALLET, need_room, settle
from .load import Load, grow, measure, quantile
from .programs import Failure, Meter
from .report import Figure, Outcome, table, up
from .throughput import BYTES_AN_EVENT, BYTES_BESIDE, TRANSFERS, WALLETS, load_of, open_wallets
from .watch import MODELS, RELAY, Places

CONNECTIONS = 64
READS = f"GET a wallet, {WALLETS:,} wallets"
HOT_READS = "GET a wallet, one wallet"
TABLE = ((READS, CONNECTIONS), (HOT_READS, CONNECTIONS))
_LOADS = {READS: WALLETS, HOT_READS: 1}

HISTORY = HOT_WALLET.replace("/deposit", "/history")
# Python's own share of a page's time grows with their number.
HISTORY_CONNECTIONS = 2
PAGE = 50
MAX_PAGE = 200
PAGES = 1_000
LOOK_EVERY_S = 0.5


def balances(stack, options, report):
    """GETs of wallets, as fast as they are answered, after a load that has settled."""
    cells = []
    with stack, Places(stack) as places:
        open_wallets(stack)
        transfers = load_of(TRANSFERS, not options.no_keys)
        settling = measure(stack, transfers, CONNECTIONS, options.seconds, options.warm_up)
        report(f"settling after {settling['requests']:,} transfers")
        places.await_head((*MODELS, RELAY), LOOK_EVERY_S)
        stack.rest()
        for number in range(1, options.rounds + 1):
            for name in _LOADS if number % 2 else reversed(_LOADS):
                load = Load("reads", _LOADS[name], False)
                cell = measure(stack, load, CONNECTIONS, options.seconds, options.warm_up)
                cells.append({"name": name, "connections": CONNECTIONS, "round": number, **cell})
                report(f"{name}: {cell['rate']:,.0f}/s, p99 {cell['p99_ms']:.2f} ms")
    figures = []
    for name in _LOADS:
        mine = [cell for cell in cells if cell["name"] == name]
        figures += [
            Figure(f"{name}, at {CONNECTIONS}, /s", [cell["rate"] for cell in mine], "≥", 60_000),
            Figure(f"{name}, at {CONNECTIONS}, p99", [cell["p99_ms"] for cell in mine], "≤", 5,
                   unit=" ms"),
        ]
    return Outcome(figures, cells, TABLE)


class _Reader:
    """A connection on which pages are asked for, one after the other."""

    def __init__(self, stack):
        self._connection = stack.connection()

    def page(self, **query):
        """The page, and the milliseconds it took."""
        path = HISTORY + "?" + urllib.parse.urlencode(query)
        begun = time.perf_counter()
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        text = answer.read()
        took = (time.perf_counter() - begun) * 1e3
        if answer.status != 200:
            raise Failure(f"GET {path}: {answer.status} {text.decode(errors='replace')[:300]}")
        return json.loads(text), took


def history(stack, options, report):
    """Pages anywhere in the history of a wallet with very many entries."""
    need_room(os.path.dirname(stack.directory), options.entries * BYTES_AN_EVENT + BYTES_BESIDE)
    stack.work = False
    with stack:
        took = grow(stack, Load("deposits", 1), FILL_CONNECTIONS, options.entries, report)
        settle(stack)
        # Then with everything, so that the read models catch up with it at once.
        stack.stop()
        stack.work = True
        stack.start()
        with Places(stack) as places:
            caught_up = places.await_head((*MODELS, RELAY), LOOK_EVERY_S)
        entries = int(stack.sql("SELECT max(entry) FROM movements"))
        stack.sql("VACUUM (ANALYZE) movements")
        stack.sql("CHECKPOINT")
        stack.rest()
        with Meter(stack.pid) as meter:
            walk, cursors = _walk(stack, entries, report)
            kinds = {f"walked, {MAX_PAGE} a page": walk}
            for name, queries in _kinds(entries, cursors).items():
                kinds[name] = _ask(stack, queries)
                report(f"{name}: p99 {quantile(kinds[name], 0.99):.1f} ms")
    detail = (
        f"{entries:,} entries grown in {took:.0f} s, in the read models after "
        f"{caught_up[-1][0] - caught_up[0][0]:.0f} s; {HISTORY_CONNECTIONS} connections; walked: "
        "every page by its cursor, each entry exactly once; the time is that of this client, "
        "written in Python, from the request to the last byte"
    )
    figures = [
        Figure(f"GET history of {entries:,} entries, p99: {name}", [quantile(times, 0.99)], "≤", 20,
               unit=" ms")
        for name, times in kinds.items()
    ]
    figures[0].detail = detail
    cell = {"name": "pages", "connections": HISTORY_CONNECTIONS, "round": 1, "problems": [],
            "foreign_cpu": meter.foreign, "cores": meter.cores}
    return Outcome(figures, [cell], table=_pages_table(kinds))


def _walk(stack, entries, report):
    """From the newest entry to the oldest: the times, and the cursors on the way."""
    reader, times, cursors, seen = _Reader(stack), [], [], set()
    query = {"limit": MAX_PAGE}
    for number in itertools.count(1):
        page, took = reader.page(**query)
        times.append(took)
        seen.update(entry["position"] for entry in page["data"])
        if not page["hasMore"]:
            break
        if number > entries:
            raise Failure("the history has no end")
        cursors.append(page["nextCursor"])
        query["cursor"] = cursors[-1]
    if len(seen) != entries:
        raise Failure(f"{len(seen):,} entries were walked, and there are {entries:,}")
    report(f"walked {len(times):,} pages, p99 {quantile(times, 0.99):.1f} ms")
    return times, cursors


def _kinds(entries, cursors):
    """The queries of each kind, at depths by chance."""
    last = math.ceil(entries / PAGE)

    def cursor():
        return {"limit": PAGE, "cursor": random.choice(cursors)}

    def number():
        return {"limit": PAGE, "page": random.randint(1, last)}

    def many(query):
        return [query() for _ in range(PAGES)]

    # Every entry is a deposit of 1.00.
    nothing, all_of_them = {"type": "withdrawal"}, {"minAmount": "1.00"}
    return {
        "the newest": many(lambda: {"limit": PAGE}),
        "by cursor": many(cursor),
        "by cursor, of a type that there is not": many(lambda: cursor() | nothing),
        "by cursor, from an amount": many(lambda: cursor() | all_of_them),
        "numbered": many(number),
        "numbered, the first of a type that there is not": many(
            lambda: {"limit": PAGE, "page": 1} | nothing),
        "numbered, from an amount": many(lambda: number() | all_of_them),
    }


def _ask(stack, queries):
    """The milliseconds of each, over a few connections."""

    def some(mine):
        reader = _Reader(stack)
        return [reader.page(**query)[1] for query in mine]

    with concurrent.futures.ThreadPoolExecutor(HISTORY_CONNECTIONS) as pool:
        shares = [queries[first::HISTORY_CONNECTIONS] for first in range(HISTORY_CONNECTIONS)]
        return [took for times in pool.map(some, shares) for took in times]


def _pages_table(kinds):
    rows = [
        (name, str(len(times)), *(up(quantile(times, share)) for share in (0.5, 0.99, 1)))
        for name, times in kinds.items()
    ]
    return table(("", "pages", "p50 ms", "p99 ms", "highest"), rows)
