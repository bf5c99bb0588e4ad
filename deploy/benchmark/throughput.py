"""The rounds: each measures every cell once, Florin and the baseline by turns.

Machines are noisy, and noise comes in spells. So what is compared is measured side by side, a ratio
is taken within its round, every other round goes backwards, and what is reported is the median.
"""

from .baseline import Baseline
from .load import Load, measure
from .report import Figure
from .stack import post

WALLETS = 1000
HOT = 1
CONNECTIONS = (1, 16, 64, 256)
# What a wallet is opened with: more than it can transfer away in a day.
FUNDS = "1000000000.00"

DEPOSITS = f"deposits, {WALLETS:,} wallets"
HOT_DEPOSITS = "deposits, one wallet"
TRANSFERS = f"transfers, {WALLETS:,} wallets"
# Upper bounds of the disk that a run takes, to refuse early and not half way: rows, indexes, keys,
# the log and the broker's copy of an event; Postgres's own log of changes and an empty cluster.
BYTES_AN_EVENT = 2_000
BYTES_BESIDE = 5_000_000_000
# More than two cores write.
EVENTS_A_SECOND = 40_000

INSERTS = "  pgbench: insert one row"
LOCKS = f"  pgbench: row locks, {WALLETS:,} wallets"
HOT_LOCKS = "  pgbench: row locks, one hot wallet"

_LOADS = {
    DEPOSITS: ("deposits", WALLETS),
    HOT_DEPOSITS: ("deposits", HOT),
    TRANSFERS: ("transfers", WALLETS),
}
_SCRIPTS = {
    INSERTS: "baseline_insert.sql",
    LOCKS: "baseline_uniform.sql",
    HOT_LOCKS: "baseline_hot.sql",
}

# What is compared stands together.
ORDER = (
    (INSERTS, 1), (DEPOSITS, 1), (DEPOSITS, 16), (DEPOSITS, 64), (DEPOSITS, 256),
    (TRANSFERS, 1), (TRANSFERS, 16), (LOCKS, 64), (TRANSFERS, 64), (TRANSFERS, 256),
    (HOT_DEPOSITS, 1), (HOT_DEPOSITS, 16), (HOT_LOCKS, 64), (HOT_DEPOSITS, 64), (HOT_DEPOSITS, 256),
)
TABLE = tuple((name, connections) for name in _LOADS for connections in CONNECTIONS) + (
    (LOCKS, 64), (HOT_LOCKS, 64), (INSERTS, 1),
)

# Those from which a target is computed.
TARGETED = (
    (INSERTS, 1), (DEPOSITS, 1), (DEPOSITS, 64), (LOCKS, 64), (TRANSFERS, 64), (HOT_LOCKS, 64),
    (HOT_DEPOSITS, 64),
)


def order_of(options):
    return TARGETED if options.targets else ORDER


def table_of(options):
    return tuple(cell for cell in TABLE if cell in order_of(options))


def bytes_needed(options):
    cells = options.rounds * sum(name in _LOADS for name, _ in order_of(options))
    seconds = cells * (options.seconds + options.warm_up)
    return BYTES_BESIDE + seconds * EVENTS_A_SECOND // 2 * BYTES_AN_EVENT


def open_wallets(stack):
    """Opens the wallets and funds them, so that a measured command is all that is asked for."""
    connection = stack.connection()
    for number in range(1, WALLETS + 1):
        wallet = {"id": f"wallet-{number:07}", "currency": "USD", "initialBalance": FUNDS}
        post(connection, "/wallets", wallet)
    connection.close()
    stack.rest()


def load_of(name, keys):
    mode, wallets = _LOADS[name]
    return Load(mode, wallets, keys)


def rounds(stack, options, report_cell, report):
    """The cells of all rounds, as a list."""
    report(f"Postgres aged in {stack.age():.0f} s")
    open_wallets(stack)
    baseline = Baseline(stack, WALLETS)
    cells, order = [], order_of(options)
    for number in range(1, options.rounds + 1):
        for name, connections in order if number % 2 else reversed(order):
            if name in _SCRIPTS:
                times = (connections, options.seconds, options.warm_up)
                cell = baseline.measure(_SCRIPTS[name], *times)
            else:
                load = load_of(name, not options.no_keys)
                cell = measure(stack, load, connections, options.seconds, options.warm_up)
            cell = {"name": name.strip(), "connections": connections, "round": number, **cell}
            cells.append(cell)
            report_cell(cell)
    return cells


def figures(cells):
    """What has a target."""

    def values(name, connections, what="rate"):
        """By round."""
        mine = [cell for cell in cells if cell["name"] == name.strip()]
        mine = [cell for cell in mine if cell["connections"] == connections]
        return [cell[what] for cell in sorted(mine, key=lambda cell: cell["round"])]

    def ratios(over, under):
        return [above / below for above, below in zip(over, under)]

    return [
        Figure("deposits/s at 64", values(DEPOSITS, 64), "≥", 15_000),
        Figure(
            "transfers at 64 / row locks",
            ratios(values(TRANSFERS, 64), values(LOCKS, 64)), "≥", 2.0,
        ),
        Figure(
            "deposits on one wallet at 64 / row locks on one hot wallet",
            ratios(values(HOT_DEPOSITS, 64), values(HOT_LOCKS, 64)), "≥", 20.0,
        ),
        Figure(
            "p50 of one deposit / of inserting one row",
            ratios(values(DEPOSITS, 1, "p50_ms"), values(INSERTS, 1, "p50_ms")), "≤", 3.0, aim=2.0,
        ),
    ]
