"""A backlog: how fast one projection alone drains it, and what a worker holds while it drains.

The journal is grown with nothing behind the command side, so that all of it is still to be done
when a worker is started.
"""

import math
import os
import statistics
import time

from .heavy import FILL_CONNECTIONS, need_room, settle
from .load import grow
from .programs import Failure, Meter, memory_mb
from .report import Figure, Outcome, table
from .stack import Worker
from .throughput import BYTES_AN_EVENT, BYTES_BESIDE, TRANSFERS, load_of, open_wallets
from .watch import MODELS, RELAY, Places

# Balance and history have a target; the others are told.
TARGETS = {"balance": 100_000, "history": 50_000}
MEMORY_TARGET_MB = 250
LOOK_EVERY_S = 0.05
# The relay alone.
NO_MODELS = "none"

# What a projection has, so that it can be drained again. Derived, all of it.
_ROWS = {
    "balance": "balances",
    "history": "movements, movements_in_flight",
    "stats": "wallet_stats, wallet_volumes, stats_in_flight",
    "fraud": "fraud_histories, fraud_alerts",
}


def _grown(stack, events, options, report):
    """Grows the journal of a running stack by transfers. Says how."""
    open_wallets(stack)
    took = grow(stack, load_of(TRANSFERS, not options.no_keys), FILL_CONNECTIONS, events, report)
    settle(stack)
    return f"{stack.events():,} events of transfers, grown in {took:.0f} s"


def drain(stack, options, report):
    """Each projection alone from the first event to the head, several times."""
    need_room(os.path.dirname(stack.directory), options.backlog * BYTES_AN_EVENT + BYTES_BESIDE)
    runs = {name: [] for name in (RELAY, *MODELS)}
    with stack, Places(stack) as places:
        grown = _grown(stack, options.backlog, options, report)
        runs[RELAY].append(_alone(stack, places, RELAY, report))
        for number in range(options.rounds):
            for name in MODELS:
                if number:
                    _empty(stack, name)
                runs[name].append(_alone(stack, places, name, report))
    detail = (
        f"{grown}, all published before; then a worker with one projection, from the first look at "
        "which its checkpoint had moved to the head; the rows are emptied between rounds"
    )
    figures = [
        Figure(f"draining a backlog alone, events/s: {name}",
               [run["rate"] for run in runs[name]], "≥", TARGETS.get(name))
        for name in (*MODELS, RELAY)
    ]
    figures[0].detail = detail
    cells = [run for its in runs.values() for run in its]
    return Outcome(figures, cells, table=_drains_table(runs))


def _empty(stack, name):
    """As if the projection had never run."""
    stack.sql(f"TRUNCATE {_ROWS[name]}")
    stack.sql(f"DELETE FROM checkpoints WHERE projection = '{name}'")
    # What the last one left to be written is not to slow this one down.
    stack.sql("CHECKPOINT")
    os.sync()


def _alone(stack, places, name, report):
    """A worker with one projection, or with the relay alone, until that is at the head."""
    with Worker(stack, NO_MODELS if name == RELAY else name) as worker:
        with Meter(stack.pid, worker.pid) as meter:
            samples = places.await_head([name], LOOK_EVERY_S, lambda _: worker.must_run())
        memory = memory_mb(worker.pid)
    run = {
        "name": f"draining, {name} alone", "connections": 0, "round": 1, "errors": 0,
        "problems": [], "rate": _rate(samples, name), "events": samples[-1][1][name][1],
        "seconds": samples[-1][0] - samples[0][0], "memory_mb": memory["VmHWM"],
        "cores": meter.cores, "foreign_cpu": meter.foreign,
    }
    report(f"{name}: {run['rate']:,.0f} events/s, {memory['VmHWM']:.0f} MB")
    return run


def _rate(samples, name):
    """Events a second from the first sample that shows a move to the one that shows the head."""
    start = samples[0][1][name][0]
    moving = [(at, its[name][0]) for at, its in samples if its[name][0] > start]
    if len(moving) < 2:
        raise Failure(f"{name} had drained the backlog before it was looked at: make it longer")
    (begun, first), (ended, last) = moving[0], moving[-1]
    return (last - first) / (ended - begun)


def _drains_table(runs):
    programs = ("florin", "postgres", "nats-server")
    rows = []
    for name, its in runs.items():
        rates = [math.floor(run["rate"]) for run in its]
        used = (statistics.median(run["cores"].get(program, 0) for run in its)
                for program in programs)
        rows.append((
            f"{name} alone", f"{math.floor(statistics.median(rates)):,}",
            f"{min(rates):,}–{max(rates):,}",
            f"{math.ceil(max(run['memory_mb'] for run in its))}",
            *(f"{cores:.2f}" for cores in used), f"{max(run['foreign_cpu'] for run in its):.0%}",
        ))
    headings = ("", "events/s", "min–max", "worker MB", *programs, "others")
    return table(headings, rows) + "\n(florin, postgres, nats-server: cores that each kept busy)"


def memory(stack, options, report):
    """What a worker with everything, relay and read models, holds while it drains a backlog."""
    events = options.memory_events
    need_room(os.path.dirname(stack.directory), events * BYTES_AN_EVENT + BYTES_BESIDE)
    with stack, Places(stack) as places:
        grown = _grown(stack, events, options, report)
        with Worker(stack) as worker:
            highest, look = _memory_watch(worker, report)
            with Meter(stack.pid, worker.pid) as meter:
                samples = places.await_head((*MODELS, RELAY), 10 * LOOK_EVERY_S, look)
            highest.append(memory_mb(worker.pid)["VmHWM"])
        nats = memory_mb(stack.nats_pid())["VmHWM"]
    rates = ", ".join(f"{name} {_until_head(samples, name):,.0f}" for name in (*MODELS, RELAY))
    cores = ", ".join(f"{name} {used:.2f}" for name, used in sorted(meter.cores.items()))
    detail = (
        f"{grown}; the worker's VmRSS {min(highest):.0f} to {max(highest):.0f} MB while it drained "
        f"them in {samples[-1][0] - samples[0][0]:.0f} s; events/s until each was at the head: "
        f"{rates}; cores: {cores}"
    )
    cell = {
        "name": "a worker with everything", "connections": 0, "round": 1, "errors": 0,
        "problems": [], "foreign_cpu": meter.foreign, "cores": meter.cores,
    }
    return Outcome([
        Figure(f"memory of a worker while draining {events:,} events (VmHWM)", [max(highest)], "≤",
               MEMORY_TARGET_MB, unit=" MB", detail=detail),
        Figure("memory of nats-server meanwhile (VmHWM)", [nats], "≤", unit=" MB"),
    ], [cell])


def _memory_watch(worker, report):
    """The resident memory at each look, and what looks."""
    highest, said = [], [time.monotonic()]

    def look(places):
        worker.must_run()
        highest.append(memory_mb(worker.pid)["VmRSS"])
        if time.monotonic() > said[0] + 5:
            said[0] = time.monotonic()
            at = ", ".join(f"{name} {place[0]:,}" for name, place in sorted(places.items()))
            report(f"{highest[-1]:.0f} MB; {at}")

    return highest, look


def _until_head(samples, name):
    """Events a second from the beginning until the first sample that shows it at the head."""
    begun = samples[0][0]
    ended = next(at for at, its in samples if its[name][0] >= its[name][1])
    return samples[-1][1][name][1] / max(ended - begun, LOOK_EVERY_S)
