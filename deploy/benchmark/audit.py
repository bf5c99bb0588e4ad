"""What the record of calls costs: the same commands with it and without, by turns."""

from .load import Load, measure
from .report import Figure, Outcome
from .throughput import WALLETS, open_wallets

CONNECTIONS = 64
MODES = ("transfers", "deposits")
# Whether calls are recorded, and how the service is told.
RECORDED = {True: "recorded", False: "not recorded"}


def _name(mode, recorded):
    return f"{mode}, {WALLETS:,} wallets, calls {RECORDED[recorded]}"


TABLE = tuple((_name(mode, recorded), CONNECTIONS) for mode in MODES for recorded in RECORDED)


def cost(stack, options, report):
    """The share of the throughput that is left. One cluster, the service started anew by turns: a
    ratio is taken within its round, and every other round goes backwards."""
    cells = []
    with stack:
        report(f"Postgres aged in {stack.age():.0f} s")
        open_wallets(stack)
    for number in range(1, options.rounds + 1):
        for recorded in RECORDED if number % 2 else reversed(RECORDED):
            with stack.with_variable("FLORIN_AUDIT", str(recorded).lower()):
                # Until what was asked of it at its start is in its log.
                stack.rest()
                for mode in MODES:
                    load = Load(mode, WALLETS, not options.no_keys)
                    cell = measure(stack, load, CONNECTIONS, options.seconds, options.warm_up)
                    name = _name(mode, recorded)
                    cells.append({"name": name, "connections": CONNECTIONS, "round": number, **cell})
                    report(f"round {number}: {name}: {cell['rate']:,.0f}/s, {cell['errors']} errors")

    def rates(mode, recorded):
        mine = [cell for cell in cells if cell["name"] == _name(mode, recorded)]
        return [cell["rate"] for cell in sorted(mine, key=lambda cell: cell["round"])]

    def left(mode):
        return [on / off for on, off in zip(rates(mode, True), rates(mode, False))]

    figures = [Figure(f"{mode}/s with calls recorded / without", left(mode), "≥", 0.85)
               for mode in MODES]
    return Outcome(figures, cells, TABLE)
