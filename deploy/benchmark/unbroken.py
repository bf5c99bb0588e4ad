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
import tempfile
import threading
import time

from .load import Load
from .programs import Failure, Meter, end, memory_mb, start
from .report import Figure, Outcome
from .throughput import WALLETS

READERS = 3
CONNECTIONS = 16
# Transfers offered a second: some third of what two cores bear.
RATE = 1_000
# A debug build among ten million events still ends.
DEADLINE_S = 3 * 3600
LOOK_EVERY_S = 0.05
MEMORY_TARGET_MB = 300
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


def rebuild(stack, environment, report):
    """One rebuild of everything, not throttled, with transfers and reads beside it."""
    before = stack.events()
    stack.log.forget()
    is_over = threading.Event()
    readers = [_Reader(stack, is_over) for _ in range(READERS)]
    load = start(Load("transfers", WALLETS, rate=RATE).wrk(stack.url, CONNECTIONS, DEADLINE_S),
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for reader in readers:
            reader.start()
        with (tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as complaints,
              Meter(stack.pid) as meter):
            begun, memory = time.monotonic(), 0.0
            verb = start([stack.florin, "rebuild", "all", "--clean", "--json"], stdout=answer,
                         stderr=complaints, env=environment)
            try:
                while verb.poll() is None:
                    memory = max(memory, _memory(verb.pid))
                    if time.monotonic() > begun + DEADLINE_S:
                        raise Failure(f"the rebuild did not end within {DEADLINE_S} s")
                    time.sleep(LOOK_EVERY_S)
            finally:
                end(verb)
            seconds = time.monotonic() - begun
            said, complaint = (_text(file) for file in (answer, complaints))
    finally:
        is_over.set()
        for reader in readers:
            reader.join()
        end(load)
    stack.rest()
    statuses = stack.log.read().statuses
    problems = _of_the_verb(verb.returncode, said, complaint)
    problems += itertools.chain.from_iterable(reader.problems for reader in readers)
    problems += [f"{count} answers were {status}" for status, count in statuses.items()
                 if status not in (200, 201, 499)]
    reads, written = sum(reader.reads for reader in readers), stack.events() - before
    report(f"rebuilt {before:,} events in {seconds:.1f} s under load, {memory:.0f} MB; {reads:,} "
           f"reads; {written:,} events written meanwhile" + "".join(f"; {p}" for p in problems))
    cell = {"name": "a whole rebuild under load", "connections": CONNECTIONS, "round": 1,
            "errors": len(problems), "problems": problems[:NAMED], "reads": reads,
            "written": written, "seconds": seconds, "memory_mb": memory, "cores": meter.cores,
            "foreign_cpu": meter.foreign}
    detail = (
        f"{before:,} events in {seconds:.0f} s, with {RATE:,} transfers offered a second and "
        f"{READERS} readers beside it, until every model was compared with the live one and switched "
        f"to; {written:,} events were written and {reads:,} answers read meanwhile; counted are "
        "answers that failed or were older than the one before, and models that differed")
    figures = [
        Figure("a whole rebuild under load, answers and models that were wrong", [len(problems)],
               "≤", 0, detail=detail),
        Figure("a whole rebuild under load, memory (VmHWM)", [memory], "≤", MEMORY_TARGET_MB,
               unit=" MB"),
    ]
    return Outcome(figures, [cell])


def _text(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def _of_the_verb(code, said, complaint):
    """What it says of a model that is not as the live one, or why it ended."""
    if code != 0:
        return [f"florin rebuild ended with {code}: {complaint.strip()[-300:]}"]
    models = json.loads(said)
    return [f"{model['projection']} was not equal, or not switched to" for model in models
            if not (model["switched"] and model["comparison"]["equal"])]


def _memory(pid):
    try:
        return memory_mb(pid)["VmHWM"]
    except (OSError, KeyError):
        return 0.0  # It has just ended.
