"""Transfers in bulk: how many a second, by how many are in one request."""

from .load import Load, measure
from .report import Figure, Outcome
from .throughput import WALLETS, open_wallets

# The transfers of a request, and the connections: enough requests under way to keep a batch growing
# behind the one that is appended, and few enough that the queue has room for all of them.
SIZES = ((1, 64), (10, 64), (100, 32), (1_000, 4))
LARGEST = SIZES[-1]
_MODES = {"bulk": "each by itself", "atomic": "all or none"}


def _name(mode, size):
    return f"{size:,} transfers a request, {_MODES[mode]}"


CELLS = tuple(("bulk", *size) for size in SIZES) + (("atomic", *LARGEST),)
TABLE = tuple((_name(mode, size), connections) for mode, size, connections in CELLS)


def _said(cell):
    # What the machine would do if it did nothing else follows from this, however busy it is.
    spent = (f"{program} {used / cell['rate'] * 1e6:.0f} µs"
             for program, used in sorted(cell["cores"].items()) if used > 0.01)
    return (f"{cell['rate']:,.0f}/s, p50 {cell['p50_ms']:.1f} ms, {cell['errors']} errors; "
            f"processor time of a transfer: {', '.join(spent)}")


def transfers(stack, options, report):
    """Transfers between wallets by chance, in bulks of several sizes. The rate is of transfers, the
    latencies are those of whole requests."""
    cells = []
    with stack:
        report(f"Postgres aged in {stack.age():.0f} s")
        open_wallets(stack)
        for number in range(1, options.rounds + 1):
            for mode, size, connections in CELLS if number % 2 else reversed(CELLS):
                load = Load(mode, WALLETS, not options.no_keys, size=size)
                cell = measure(stack, load, connections, options.seconds, options.warm_up)
                name = _name(mode, size)
                cells.append({"name": name, "connections": connections, "round": number, **cell})
                report(f"{name} at {connections}: {_said(cell)}")

    def rates(mode, size):
        return [cell["rate"] for cell in cells if cell["name"] == _name(mode, size)]

    largest = LARGEST[0]
    figures = [
        Figure(f"transfers/s, {largest:,} a request", rates("bulk", largest), "≥", 12_000,
               aim=30_000),
        Figure(f"transfers/s, {largest:,} a request, all or none", rates("atomic", largest), "≥"),
    ]
    return Outcome(figures, cells, TABLE)
