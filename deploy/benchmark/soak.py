"""A soak: everything at once, at half of what the machine bears, for so long that what leaks shows.

```
wrk ─ deposits, withdrawals, transfers, wallets, histories, stats ─▶ api ─▶ journal ─▶ worker
         every second: memory of api and worker, and how far each read model and the relay are
```

The most that it bears is what it has carried through to the last read model: requests sent
without a pause, over the time until all of them are in every read model. What is then asked for, by
a clock, is half of that.

It holds if in the last tenth (the last minute of ten) memory is not more than 5 % above that of
the second, which is past what a start takes; nobody is further behind than then by more than a
second of load; nothing was answered but 200 and 201, and no error logged; the load was kept up; and
`florin verify` finds nothing wrong with any of it, the stream included.
"""

import collections
import http.client
import json
import os
import statistics
import subprocess
import threading
import time

from . import verbs
from .heavy import need_room
from .load import CLIENT_LEFT, SLACK_S, Load
from .programs import Failure, Meter, end, memory_mb, run, start
from .report import Figure, Outcome, table, up
from .stack import Worker
from .throughput import BYTES_AN_EVENT, BYTES_BESIDE, EVENTS_A_SECOND, WALLETS, open_wallets
from .watch import MODELS, RELAY, Places

CONNECTIONS = 64
# The share of the most that it bears.
SHARE = 0.5
# For how long the most is looked for; the read models have to come after.
SEARCH_S = 20
# Less than this of what was asked for is not the load that was meant: clients wait for answers.
KEPT_UP = 0.98

PARTS = 10
# Counted from one: the first is left to caches that fill and connections that are made.
BEFORE = 2
GROWTH_TARGET_PERCENT = 5
# By how many seconds of load a read model may be further behind at the end.
BEHIND_TARGET_S = 1.0

SAMPLE_EVERY_S = 1.0
# Memory and lags must have been seen in most seconds.
SEEN = 0.8
HEAD_LOOK_EVERY_S = 0.2
GOOD = (200, 201)
ERROR = '"level":"ERROR"'


def soak(stack, options, report):
    """The whole of it."""
    need_room(os.path.dirname(stack.directory),
              BYTES_BESIDE + options.soak * EVENTS_A_SECOND // 2 * BYTES_AN_EVENT)
    stack.work = False
    with stack:
        report(f"Postgres aged in {stack.age():.0f} s")
        with Worker(stack) as worker:
            open_wallets(stack)
            rate = options.soak_rate or _half_of_the_most(stack, report)
            cell = _soaked(stack, worker, rate, options, report)
        report("florin verify")
        ran = verbs.run(stack, ["verify"], verbs.environment(stack), listens=True)
    if ran.code != 0:
        said = f"{ran.said}\n{ran.complaint}".strip()[-300:]
        cell["problems"].append(f"florin verify ended with {ran.code}: {said}")
    return Outcome(_figures(cell, options), [cell], table=_table(cell))


def _half_of_the_most(stack, report):
    """Requests a second that are half of what went all the way."""
    stack.log.forget()
    with Places(stack) as places:
        begun = time.monotonic()
        printed = run(_load_words(stack, None, SEARCH_S), SEARCH_S + SLACK_S)
        requests = json.loads(printed.strip().splitlines()[-1])["requests"]
        places.await_head((*MODELS, RELAY), HEAD_LOOK_EVERY_S)
        took = time.monotonic() - begun
    stack.rest()
    rate = max(1, int(requests / took * SHARE))
    report(f"{requests:,} requests in {SEARCH_S} s, in every read model after {took:.0f} s: "
           f"half is {rate:,} a second")
    return rate


def _load_words(stack, rate, seconds, keys=True):
    return Load("mixed", WALLETS, keys, rate=rate).wrk(stack.url, CONNECTIONS, seconds)


class _Samples(threading.Thread):
    """What is seen each second, by the second."""

    def __init__(self, stack, worker):
        super().__init__(daemon=True)
        self._stack, self._worker = stack, worker
        self._closing = threading.Event()
        self.seen, self.statuses, self.errors, self.problems = [], collections.Counter(), [], []
        # How often this thread itself has asked: its answers are in the log, too.
        self.asked = 0

    def __enter__(self):
        self._begun = time.monotonic()
        self.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self.join()

    def run(self):
        due = self._begun
        try:
            connection = self._stack.connection()
            while not self._closing.wait(max(0.0, due - time.monotonic())):
                due += SAMPLE_EVERY_S
                self._worker.must_run()
                self.seen.append({
                    "at": time.monotonic() - self._begun,
                    "api": memory_mb(self._stack.pid)["VmRSS"],
                    "worker": memory_mb(self._worker.pid)["VmRSS"],
                    "behind": self._behind(connection),
                })
                self.read_log()
        except (Failure, OSError, http.client.HTTPException, ValueError, KeyError) as failure:
            self.problems.append(f"the samples ended early: {failure!r}")

    def _behind(self, connection):
        """By read model: events behind, over all partitions; the relay's, too."""
        connection.request("GET", "/projections")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        self.asked += 1
        if answer.status != 200:
            raise Failure(f"GET /projections: {answer.status}")
        behind = collections.Counter()
        for standing in body["data"]:
            behind[standing["name"]] += standing["lagEvents"]
        for standing in body["relay"]:
            behind[RELAY] += standing["lagEvents"]
        return dict(behind)

    def read_log(self):
        """What was logged since; once more after the end, when the log has written all it holds."""
        self.statuses += self._stack.log.read().statuses
        trouble, self._stack.log.trouble = self._stack.log.trouble, []
        self.errors += [line for line in trouble if ERROR in line]


def _soaked(stack, worker, rate, options, report):
    """The load, what was seen meanwhile, and what speaks against it."""
    report(f"{rate:,} requests a second for {options.soak} s")
    stack.log.forget()
    before, said = stack.events(), os.path.getsize(stack.worker_log)
    with Meter(stack.pid, worker.pid) as meter, _Samples(stack, worker) as samples:
        words = _load_words(stack, rate, options.soak, not options.no_keys)
        wrk = start(words, stdout=subprocess.PIPE, text=True)
        try:
            printed, _ = wrk.communicate(timeout=options.soak + SLACK_S)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"wrk did not end within {options.soak + SLACK_S} s") from late
        finally:
            end(wrk)
    with Places(stack) as places:
        places.await_head((*MODELS, RELAY), HEAD_LOOK_EVERY_S)
    stack.rest()
    samples.read_log()
    sent = json.loads(printed.strip().splitlines()[-1])
    cell = {
        "name": "soak", "connections": CONNECTIONS, "round": 1, "asked": rate,
        "rate": sent["requests"] / sent["duration_us"] * 1e6, "requests": sent["requests"],
        "events": stack.events() - before, "p50_ms": sent["p50_us"] / 1e3,
        "p99_ms": sent["p99_us"] / 1e3, "max_ms": sent["max_us"] / 1e3,
        "statuses": dict(samples.statuses), "looks": samples.asked,
        "foreign_cpu": meter.foreign, "cores": meter.cores,
        "parts": _parts(samples.seen, options.soak), "samples": samples.seen,
    }
    errors = samples.errors + _errors_after(stack.worker_log, said)
    problems = samples.problems + _answers(cell, sent, errors) + _verdict(cell, options)
    return {**cell, "errors": len(problems), "problems": problems}


def _errors_after(path, offset):
    """Lines of the worker's log that tell of an error, from there on."""
    with open(path, encoding="utf-8", errors="replace") as log:
        log.seek(offset)
        return [line.rstrip("\n") for line in log if ERROR in line]


def _answers(cell, sent, errors):
    """What was answered otherwise, or not at all."""
    wrong = {status: count for status, count in cell["statuses"].items() if status not in GOOD}
    # wrk leaves at its end, with a request under way on each connection.
    left = wrong.pop(CLIENT_LEFT, 0)
    if left > CONNECTIONS:
        wrong[CLIENT_LEFT] = left - CONNECTIONS
    socket = sum(sent[kind] for kind in ("connect", "read", "write", "timeout"))
    problems = []
    if wrong or socket or sent["status"]:
        problems.append(f"statuses {cell['statuses']}, socket errors {socket}")
    logged = sum(cell["statuses"].values()) - cell["looks"]
    if logged < cell["requests"]:
        problems.append(f"the log has {logged} of {cell['requests']} answers")
    if errors:
        problems.append(f"{len(errors)} errors are in the logs, such as {errors[0][:300]}")
    return problems


def _parts(seen, seconds):
    """The tenths of the run: the median of each thing in it, over its samples."""
    parts = []
    for number in range(PARTS):
        length = seconds / PARTS
        mine = [one for one in seen if number * length <= one["at"] < (number + 1) * length]
        if not mine:
            continue
        names = mine[0]["behind"]
        parts.append({
            "number": number + 1, "samples": len(mine),
            "api": statistics.median(one["api"] for one in mine),
            "worker": statistics.median(one["worker"] for one in mine),
            "behind": {name: statistics.median(one["behind"][name] for one in mine)
                       for name in names},
        })
    return parts


def _ends(cell):
    """The tenth that counts as before, and the last one; None if they were not seen."""
    parts = {part["number"]: part for part in cell["parts"]}
    return parts.get(BEFORE), parts.get(PARTS)


def _growth(cell, process):
    before, last = _ends(cell)
    return (last[process] / before[process] - 1) * 100


def _further(cell, name):
    """By how many seconds of load it is further behind at the end."""
    before, last = _ends(cell)
    a_second = max(1.0, cell["events"] / cell["requests"] * cell["rate"])
    return (last["behind"][name] - before["behind"][name]) / a_second


def _verdict(cell, options):
    """What did not hold."""
    if sum(part["samples"] for part in cell["parts"]) < options.soak / SAMPLE_EVERY_S * SEEN:
        return ["too little was seen: the machine was too busy for a look each second"]
    if None in _ends(cell):
        return ["the second and the last tenth were not both seen"]
    problems = []
    if cell["rate"] < cell["asked"] * KEPT_UP:
        problems.append(f"{cell['rate']:,.0f} requests a second were answered of {cell['asked']:,}")
    for process in ("api", "worker"):
        grown = _growth(cell, process)
        if grown > GROWTH_TARGET_PERCENT:
            problems.append(f"the memory of the {process} has grown by {grown:.1f} %")
    for name in (*MODELS, RELAY):
        further = _further(cell, name)
        if further > BEHIND_TARGET_S:
            problems.append(f"{name} is further behind, by {further:.1f} s of load")
    return problems


def _figures(cell, options):
    if None in _ends(cell):
        return []
    figures = [
        Figure(f"memory of the {process}, from the second tenth to the last",
               [_growth(cell, process)], "≤", GROWTH_TARGET_PERCENT, unit=" %")
        for process in ("api", "worker")
    ]
    further = max(_further(cell, name) for name in (*MODELS, RELAY))
    figures += [
        Figure("further behind at the end, in seconds of load, at most", [further], "≤",
               BEHIND_TARGET_S, unit=" s"),
        Figure("what was wrong", [len(cell["problems"])], "≤", 0),
        Figure("p99", [cell["p99_ms"]], "≤", unit=" ms"),
    ]
    figures[0].detail = (
        f"{cell['asked']:,} requests a second for {options.soak} s, {CONNECTIONS} connections, "
        f"{cell['events']:,} events; a tenth is told by the median of its seconds")
    return figures


def _table(cell):
    headings = ("tenth", "api MB", "worker MB", *(f"{name} behind" for name in (*MODELS, RELAY)))
    rows = [(
        str(part["number"]), up(part["api"]), up(part["worker"]),
        *(up(part["behind"].get(name, 0)) for name in (*MODELS, RELAY)),
    ) for part in cell["parts"]]
    return table(headings, rows)
