"""What a setting costs: the same commands with it and without, side by side."""

import concurrent.futures
import contextlib
import dataclasses
import statistics
import threading

from .load import Load, Nothing, measure
from .report import Figure, Outcome
from .throughput import WALLETS, open_wallets

# To each of the two.
CONNECTIONS = 32
MODES = ("transfers", "deposits")
# How long the faster one waits for the slower one, to be warm or to be done.
TOGETHER_S = 60


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is measured: what it is called, and the variables by which a service is told, with it
    (True) and without."""

    name: str
    ways: dict
    # How much of the commands/s is left at least.
    target: float


def measured(stacks, options, report, setting):
    """The share of the throughput that is left. Two stacks are at work at the same time, one with the
    setting and one without, so that whatever else the machine does takes as much from both: of a few
    hundredths nothing can be said otherwise where it gives twice as much in one minute as in the next.
    Within each round they change places: the second one to be started is faster by a twentieth, of two
    that are told the same."""
    cells = []
    for stack in stacks:
        with stack:
            report(f"Postgres aged in {stack.age():.0f} s")
            open_wallets(stack)
    for number in range(1, options.rounds + 1):
        for ways in (list(setting.ways), list(setting.ways)[::-1]):
            with _running(dict(zip(ways, stacks)), setting) as running:
                for mode in MODES:
                    for is_on, cell in _side_by_side(running, mode, options):
                        name = _name(mode, is_on, setting)
                        report(f"round {number}: {name}: {cell['rate']:,.0f}/s,"
                               f" {cell['errors']} errors")
                        cells.append({"name": name, "connections": CONNECTIONS, "round": number,
                                      **cell})
    return _outcome(cells, options.rounds, setting)


@contextlib.contextmanager
def _running(places, setting):
    """Both, at rest: the stack of each way, started in this order."""
    with contextlib.ExitStack() as stacks:
        for is_on, stack in places.items():
            _, variables = setting.ways[is_on]
            stacks.enter_context(stack.with_variables(variables))
        for stack in places.values():
            stack.rest()
        yield places


def _side_by_side(running, mode, options):
    """A cell of each, measured at the same time."""
    load = Load(mode, WALLETS, not options.no_keys)
    barrier = threading.Barrier(len(running))
    pids = [stack.pid for stack in running.values()]
    with concurrent.futures.ThreadPoolExecutor(len(running)) as pool:
        cells = {
            is_on: pool.submit(measure, stack, load, CONNECTIONS, options.seconds,
                               options.warm_up, _Together(barrier, pids))
            for is_on, stack in running.items()
        }
    return [(is_on, cell.result()) for is_on, cell in cells.items()]


class _Together(Nothing):
    """Begins and ends when the other one does."""

    def __init__(self, barrier, pids):
        super().__init__()
        self._barrier, self.pids = barrier, pids

    def __enter__(self):
        self._barrier.wait(TOGETHER_S)
        return super().__enter__()

    def __exit__(self, kind, *_):
        if kind is None:
            self._barrier.wait(TOGETHER_S)
        else:
            self._barrier.abort()


def _name(mode, is_on, setting):
    how, _ = setting.ways[is_on]
    return f"{mode}, {WALLETS:,} wallets, {how}"


def _outcome(cells, rounds, setting):
    def rate(number, mode, is_on):
        """Of both places: a stack that is faster by a tenth is so in both ways."""
        mine = [cell["rate"] for cell in cells
                if (cell["name"], cell["round"]) == (_name(mode, is_on, setting), number)]
        return statistics.geometric_mean(mine)

    def left(mode):
        return [rate(number, mode, True) / rate(number, mode, False)
                for number in range(1, rounds + 1)]

    figures = [
        Figure(f"{mode}/s with {setting.name} / without", left(mode), "≥", setting.target)
        for mode in MODES
    ]
    rows = tuple(
        (_name(mode, is_on, setting), CONNECTIONS) for mode in MODES for is_on in setting.ways
    )
    return Outcome(figures, cells, rows)
