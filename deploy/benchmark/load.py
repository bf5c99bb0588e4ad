"""wrk against the service: one thread, keep-alive connections, each with one request under way."""

import collections
import dataclasses
import json
import math
import os
import secrets
import signal
import subprocess
import time

from .programs import Failure, Meter, end, find, run, start

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.lua")

# Loads whose requests have several commands.
BULKS = ("bulk", "atomic")

# Longer than the service's own bound on a request, so that its answer is what counts.
TIMEOUT_S = 20
# What wrk may take beyond its duration.
SLACK_S = TIMEOUT_S + 10
# What nginx logs, and the service too, for a client that left: wrk does at the end of its time.
CLIENT_LEFT = 499

GROW_LOOK_S = 1.0
GROW_STALL_S = 60
GROW_DEADLINE_S = 2 * 3600


@dataclasses.dataclass(frozen=True)
class Load:
    """What wrk sends."""

    mode: str
    wallets: int
    keys: bool = True
    # Requests a second; as many as are answered without one.
    rate: int = None
    # Commands in one request, where that is a bulk.
    size: int = 1

    @property
    def events(self):
        """Events that one request writes, of wallets that are open."""
        of_one = {"transfers": 5, "bulk": 5, "atomic": 5, "reads": 0}.get(self.mode, 1)
        return of_one * self.size

    @property
    def status(self):
        """That of a good answer."""
        return 200 if self.mode in ("reads", *BULKS) else 201

    def wrk(self, url, connections, seconds):
        seed = secrets.randbelow(1 << 52)
        keys = "keys" if self.keys else "no-keys"
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_S}s"]
        mode = f"{self.mode}-{self.size}" if self.mode in BULKS else self.mode
        script = ["--latency", "-s", SCRIPT, url, "--", mode, self.wallets, seed, keys]
        return [find("wrk"), *options, *script, *([self.rate] if self.rate else [])]


class Nothing:
    """What goes on beside a load, as a context manager: the answers that it was given, by status,
    and the events that it wrote, neither of which is the load's; and by which processes."""

    pids = ()

    def __init__(self):
        self.statuses, self.events = collections.Counter(), 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def quantile(values, share):
    """The least value that so many of all do not exceed; 0 of none."""
    return sorted(values)[math.ceil(len(values) * share) - 1] if values else 0


def _result(printed):
    return json.loads(printed.strip().splitlines()[-1])


def measure(stack, load, connections, seconds, warm_up, beside=None):
    """One cell: warms up, measures, waits until the stack is at rest, and audits the answers."""
    beside = beside or Nothing()
    stack.log.forget()
    before = stack.events()
    sent, statuses = [], collections.Counter()
    for duration, other in ((warm_up, Nothing()), (seconds, beside)):
        with Meter(*{stack.pid, *beside.pids}) as meter, other:
            printed = run(load.wrk(stack.url, connections, duration), duration + SLACK_S)
        sent.append(_result(printed))
        answers = stack.log.await_answers(sent[-1]["requests"] + other.statuses.total())
        statuses += answers.statuses
    catch_up = stack.rest()
    # Those for clients that left may have stood in for good ones that were logged a moment later.
    statuses += stack.log.read().statuses
    statuses.subtract(beside.statuses)
    measured = sent[-1]
    cell = {
        "rate": load.size * (measured["requests"] - measured["status"])
        / measured["duration_us"] * 1e6,
        "p50_ms": measured["p50_us"] / 1e3,
        "p99_ms": measured["p99_us"] / 1e3,
        "max_ms": measured["max_us"] / 1e3,
        "service_p50_ms": quantile(answers.microseconds, 0.50) / 1e3,
        "service_p99_ms": quantile(answers.microseconds, 0.99) / 1e3,
        "requests": measured["requests"],
        "statuses": {status: count for status, count in statuses.items() if count},
        "events": stack.events() - before - beside.events,
        "catch_up_s": catch_up,
        "foreign_cpu": meter.foreign,
        "cores": meter.cores,
    }
    return {**cell, **_audit(cell, sent, load, connections, stack.log.trouble)}


def _audit(cell, sent, load, connections, trouble):
    """Errors of the cell and of its warm-up, and whatever else makes its numbers worthless."""
    statuses = dict(cell["statuses"])
    good = statuses.pop(load.status, 0)
    left = max(0, statuses.pop(CLIENT_LEFT, 0) - connections * len(sent))
    socket = sum(run[kind] for run in sent for kind in ("connect", "read", "write", "timeout"))
    requests = sum(run["requests"] for run in sent)
    problems = []
    logged = good + sum(statuses.values())
    if logged < requests:
        problems.append(f"the log has {logged} of {requests} answers")
    if cell["events"] < good * load.events:
        problems.append(f"{good} answers of {load.status}, but only {cell['events']} events")
    if cell["catch_up_s"] is None:
        problems.append("the stack did not come to rest afterwards")
    errors = left + socket + sum(statuses.values())
    if errors:
        problems.append(f"statuses {cell['statuses']}, socket errors {socket}")
        problems += trouble[:1]
    return {"errors": errors, "problems": problems}


def grow(stack, load, connections, events, report):
    """Sends until the journal holds so many events. Returns the seconds it took."""
    begun = moved = time.monotonic()
    arguments = load.wrk(stack.url, connections, GROW_DEADLINE_S)
    wrk = start(arguments, stdout=subprocess.PIPE, text=True)
    try:
        held = stack.events()
        while held < events:
            time.sleep(GROW_LOOK_S)
            last, held = held, stack.events()
            now = time.monotonic()
            moved = now if held > last else moved
            report(f"{held:,} of {events:,} events after {now - begun:.0f} s")
            if wrk.poll() is not None or now > moved + GROW_STALL_S:
                raise Failure(f"the journal stays at {held:,} of {events:,} events")
        took = time.monotonic() - begun
        # wrk takes this as the end of its duration, and prints its result.
        wrk.send_signal(signal.SIGINT)
        printed, _ = wrk.communicate(timeout=SLACK_S)
    finally:
        end(wrk)
    result = _result(printed)
    errors = sum(result[kind] for kind in ("connect", "read", "write", "timeout", "status"))
    if errors:
        raise Failure(f"{errors} errors while the journal grew: {stack.log.trouble[:1]}")
    return took
