"""What a setting costs: the same commands with it and without, by turns or side by side."""

import concurrent.futures
import contextlib
import threading

from .load import Load, Nothing, measure
from .report import Figure, Outcome
from .throughput import WALLETS, open_wallets

CONNECTIONS = 64
MODES = ("transfers", "deposits")
# How long the faster one waits for the slower one to be warm.
START_TOGETHER_S = 60


def cost(stack, options, report, what, turns, target):
    """The share of the throughput that is left. One cluster, the service started anew by turns: a
    ratio is taken within its round, and every other round goes backwards. `turns` has, with the
    setting (True) and without, how that is called and the variables by which the service is told."""
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
                    cells.append(_named(cell, mode, turns[is_on][0], CONNECTIONS, number, report))
    return _outcome(cells, what, turns, target, CONNECTIONS)


def cost_beside(stacks, options, report, what, turns, target):
    """The same of two stacks that are at work at the same time, one with the setting and one without,
    and change places every round. Whatever else the machine does takes as much from both: of a few
    hundredths nothing can be said otherwise where it gives twice as much in one minute as in the next."""
    cells, connections = [], CONNECTIONS // 2
    for stack in stacks:
        with stack:
            report(f"Postgres aged in {stack.age():.0f} s")
            open_wallets(stack)
    for number in range(1, options.rounds + 1):
        places = list(zip(turns, stacks if number % 2 else reversed(stacks)))
        with contextlib.ExitStack() as running:
            for is_on, stack in places:
                running.enter_context(stack.with_variables(turns[is_on][1]))
            for _, stack in places:
                stack.rest()
            for mode in MODES:
                load = Load(mode, WALLETS, not options.no_keys)
                barrier = threading.Barrier(len(places))
                with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
                    measuring = {
                        is_on: pool.submit(measure, stack, load, connections, options.seconds,
                                           options.warm_up, _Together(barrier))
                        for is_on, stack in places
                    }
                for is_on, measured in measuring.items():
                    cells.append(_named(measured.result(), mode, turns[is_on][0], connections,
                                        number, report))
    return _outcome(cells, what, turns, target, connections)


class _Together(Nothing):
    """Begins when the other one does."""

    def __init__(self, barrier):
        super().__init__()
        self._barrier = barrier

    def __enter__(self):
        self._barrier.wait(START_TOGETHER_S)
        return super().__enter__()


def _name(mode, how):
    return f"{mode}, {WALLETS:,} wallets, {how}"


def _named(cell, mode, how, connections, number, report):
    name = _name(mode, how)
    report(f"round {number}: {name}: {cell['rate']:,.0f}/s, {cell['errors']} errors")
    return {"name": name, "connections": connections, "round": number, **cell}


def _outcome(cells, what, turns, target, connections):
    def rates(mode, is_on):
        name = _name(mode, turns[is_on][0])
        mine = [cell for cell in cells if cell["name"] == name]
        return [cell["rate"] for cell in sorted(mine, key=lambda cell: cell["round"])]

    def left(mode):
        return [on / off for on, off in zip(rates(mode, True), rates(mode, False))]

    figures = [Figure(f"{mode}/s with {what} / without", left(mode), "≥", target) for mode in MODES]
    rows = tuple((_name(mode, turns[is_on][0]), connections) for mode in MODES for is_on in turns)
    return Outcome(figures, cells, rows)
