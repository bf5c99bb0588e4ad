"""What a setting costs: the same commands with it and without, by turns."""

from .load import Load, measure
from .report import Figure, Outcome
from .throughput import WALLETS, open_wallets

CONNECTIONS = 64
MODES = ("transfers", "deposits")


def cost(stack, options, report, what, turns, target):
    """The share of the throughput that is left. One cluster, the service started anew by turns: a
    ratio is taken within its round, and every other round goes backwards. `turns` has, with the
    setting (True) and without, how that is called and the variables by which the service is told."""

    def name(mode, is_on):
        return f"{mode}, {WALLETS:,} wallets, {turns[is_on][0]}"

    cells = []
    with stack:
        report(f"Postgres aged in {stack.age():.0f} s")
        open_wallets(stack)
    for number in range(1, options.rounds + 1):
        for is_on in turns if number % 2 else reversed(turns):
            with stack.with_variables(turns[is_on][1]):
                # Until what was asked of it at its start is in its log.
                stack.rest()
                for mode in MODES:
                    load = Load(mode, WALLETS, not options.no_keys)
                    cell = measure(stack, load, CONNECTIONS, options.seconds, options.warm_up)
                    cells.append({"name": name(mode, is_on), "connections": CONNECTIONS,
                                  "round": number, **cell})
                    report(f"round {number}: {name(mode, is_on)}: {cell['rate']:,.0f}/s, "
                           f"{cell['errors']} errors")

    def rates(mode, is_on):
        mine = [cell for cell in cells if cell["name"] == name(mode, is_on)]
        return [cell["rate"] for cell in sorted(mine, key=lambda cell: cell["round"])]

    def left(mode):
        return [on / off for on, off in zip(rates(mode, True), rates(mode, False))]

    figures = [Figure(f"{mode}/s with {what} / without", left(mode), "≥", target) for mode in MODES]
    rows = tuple((name(mode, is_on), CONNECTIONS) for mode in MODES for is_on in turns)
    return Outcome(figures, cells, rows)
