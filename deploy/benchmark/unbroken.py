"""A whole rebuild of every read model under load, from the first event to the switch: what readers
saw of it.

Transfers are offered at a fixed rate; readers, written in Python, ask for wallets, their histories
and their stats without a pause, and hold each answer against the last one that they had. Nothing is
rounded: one read that failed, or one that was older than the one before it, makes the run invalid.
"""

import itertools
import json
import random
import subprocess
import threading

from . import verbs
from .load import CLIENT_LEFT, Load
from .programs import end, start
from .report import Figure, Outcome
from .throughput import WALLETS

READERS = 3
CONNECTIONS = 16
# Transfers offered a second: some third of what two cores bear.
RATE = 1_000
# How many of the things that a reader found wrong are told.
NAMED = 3


class _Reader(threading.Thread):
    """Reads until it is told to stop."""

    def __init__(self, stack, is_over):
        super().__init__(daemon=True)
        self._connection, self._is_over = stack.connection(), is_over
        # By path: what never goes back.
        self._last = {}
        self.reads, self.problems = 0, []

    def run(self):
        try:
            while not self._is_over.is_set() and len(self.problems) < NAMED:
                wallet = f"/wallets/wallet-{random.randint(1, WALLETS):07}"
                self._ask(wallet, lambda body: body["version"])
                self._ask(f"{wallet}/history?page=1&limit=3", lambda body: body["total"])
                self._ask(f"{wallet}/stats", lambda body: sum(
                    value for name, value in body.items()
                    if name.endswith("Count") and isinstance(value, int)))
        except Exception as error:  # Whatever it is, it is told, and the run is invalid.
            self.problems.append(f"a reader ended: {error!r}")

    def _ask(self, path, told):
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        text = answer.read()
        self.reads += 1
        if answer.status != 200:
            self.problems.append(f"GET {path}: {answer.status} {text[:200]}")
            return
        now, last = told(json.loads(text)), self._last.get(path, 0)
        if now < last:
            self.problems.append(f"GET {path}: {now} after {last}")
        self._last[path] = now


def rebuild(stack, report):
    """One rebuild of everything, not throttled, with transfers and reads beside it."""
    before = stack.events()
    stack.log.forget()
    is_over = threading.Event()
    readers = [_Reader(stack, is_over) for _ in range(READERS)]
    load = start(Load("transfers", WALLETS, rate=RATE).wrk(stack.url, CONNECTIONS, verbs.DEADLINE_S),
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for reader in readers:
            reader.start()
        words = ["rebuild", "all", "--clean", "--json"]
        ran = verbs.run(stack, words, verbs.environment(stack), listens=True)
    finally:
        is_over.set()
        for reader in readers:
            reader.join()
        end(load)
    stack.rest()
    statuses = stack.log.read().statuses
    problems = _of_the_verb(ran)
    problems += itertools.chain.from_iterable(reader.problems for reader in readers)
    problems += [f"{count} answers were {status}" for status, count in statuses.items()
                 if status not in (200, 201, CLIENT_LEFT)]
    reads, written = sum(reader.reads for reader in readers), stack.events() - before
    report(f"rebuilt {before:,} events in {ran.seconds:.1f} s under load, {ran.memory:.0f} MB; "
           f"{reads:,} reads; {written:,} events written meanwhile" + "".join(f"; {p}" for p in problems))
    cell = {"name": "a whole rebuild under load", "connections": CONNECTIONS, "round": 1,
            "errors": len(problems), "problems": problems[:NAMED], "reads": reads,
            "written": written, "seconds": ran.seconds, "memory_mb": ran.memory,
            "cores": ran.meter.cores, "foreign_cpu": ran.meter.foreign}
    detail = (
        f"{before:,} events in {ran.seconds:.0f} s, with {RATE:,} transfers offered a second and "
        f"{READERS} readers beside it, until every model was compared with the live one and switched "
        f"to; {written:,} events were written and {reads:,} answers read meanwhile; counted are "
        "answers that failed or were older than the one before, and models that differed")
    figures = [
        Figure("a whole rebuild under load, answers and models that were wrong", [len(problems)],
               "≤", 0, detail=detail),
        Figure("a whole rebuild under load, memory (VmHWM)", [ran.memory], "≤",
               verbs.MEMORY_TARGET_MB, unit=" MB"),
    ]
    return Outcome(figures, [cell])


def _of_the_verb(ran):
    """What it says of a model that is not as the live one, or why it ended."""
    if ran.code != 0:
        return [f"florin rebuild ended with {ran.code}: {ran.complaint}"]
    models = json.loads(ran.said)
    return [f"{model['projection']} was not equal, or not switched to" for model in models
            if not (model["switched"] and model["comparison"]["equal"])]
