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

    @property
    def events(self):
        """Events that one command writes, to wallets that are open."""
        return 5 if self.mode == "transfers" else 1

    def wrk(self, url, connections, seconds):
        seed = secrets.randbelow(1 << 52)
        keys = "keys" if self.keys else "no-keys"
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_S}s"]
        script = ["--latency", "-s", SCRIPT, url, "--", self.mode, self.wallets, seed, keys]
        return [find("wrk"), *options, *script]


def quantile(values, share):
    """The least value that so many of all do not exceed; 0 of none."""
    return sorted(values)[math.ceil(len(values) * share) - 1] if values else 0


def _result(printed):
    return json.loads(printed.strip().splitlines()[-1])


def measure(stack, load, connections, seconds, warm_up):
    """One cell: warms up, measures, waits until the stack is at rest, and audits the answers."""
    stack.log.forget()
    before = stack.events()
    sent, statuses = [], collections.Counter()
    for duration in (warm_up, seconds):
        with Meter(stack.pid) as meter:
            printed = run(load.wrk(stack.url, connections, duration), duration + SLACK_S)
        sent.append(_result(printed))
        answers = stack.log.await_answers(sent[-1]["requests"])
        statuses += answers.statuses
    catch_up = stack.rest()
    measured = sent[-1]
    cell = {
        "rate": (measured["requests"] - measured["status"]) / measured["duration_us"] * 1e6,
        "p50_ms": measured["p50_us"] / 1e3,
        "p99_ms": measured["p99_us"] / 1e3,
        "max_ms": measured["max_us"] / 1e3,
        "service_p50_ms": quantile(answers.microseconds, 0.50) / 1e3,
        "service_p99_ms": quantile(answers.microseconds, 0.99) / 1e3,
        "requests": measured["requests"],
        "statuses": dict(statuses),
        "events": stack.events() - before,
        "catch_up_s": catch_up,
        "foreign_cpu": meter.foreign,
    }
    return {**cell, **_audit(cell, sent, load, connections, stack.log.trouble)}


def _audit(cell, sent, load, connections, trouble):
    """Errors of the cell and of its warm-up, and whatever else makes its numbers worthless."""
    statuses = dict(cell["statuses"])
    created = statuses.pop(201, 0)
    left = max(0, statuses.pop(CLIENT_LEFT, 0) - connections * len(sent))
    socket = sum(run[kind] for run in sent for kind in ("connect", "read", "write", "timeout"))
    requests = sum(run["requests"] for run in sent)
    problems = []
    logged = created + sum(statuses.values())
    if logged < requests:
        problems.append(f"the log has {logged} of {requests} answers")
    if cell["events"] < created * load.events:
        problems.append(f"{created} answers of 201, but only {cell['events']} events")
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
