"""A verb of the measured program, run to its end beside the stack."""

import dataclasses
import os
import tempfile
import time

from .programs import Failure, Meter, end, memory_mb, start

# A verb that reads ten million events as slowly as a debug build still ends.
DEADLINE_S = 3 * 3600
LOOK_EVERY_S = 0.05
MEMORY_TARGET_MB = 300


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a verb that ended by itself left."""

    code: int
    seconds: float
    memory: float
    said: str
    complaint: str
    meter: Meter


def environment(stack):
    """Where the stack is, for a verb."""
    urls = {name: stack.urls[name] for name in ("DATABASE_URL", "DATABASE_ADMIN_URL", "NATS_URL")}
    return stack.variables() | urls


def run(stack, words, variables, listens=False):
    """Runs a verb to its end, and keeps what it says if somebody listens. Its memory is looked at
    while it runs: what the kernel says after its end is never less than this process had when it
    started it."""
    answers = tempfile.TemporaryFile() if listens else open(os.devnull, "w+b")
    with answers as answer, tempfile.TemporaryFile() as complaints, Meter(stack.pid) as meter:
        begun, memory = time.monotonic(), 0.0
        process = start([stack.florin, *words], stdout=answer, stderr=complaints, env=variables)
        try:
            while process.poll() is None:
                memory = max(memory, _memory(process.pid))
                if time.monotonic() > begun + DEADLINE_S:
                    raise Failure(f"florin {words[0]} did not end within {DEADLINE_S} s")
                time.sleep(LOOK_EVERY_S)
            seconds = time.monotonic() - begun
        finally:
            end(process)
        said, complaint = _text(answer), _text(complaints).strip()[-300:]
    return Ran(process.returncode, seconds, memory, said, complaint, meter)


def _text(file):
    file.seek(0)
    return file.read().decode(errors="replace")


def _memory(pid):
    try:
        return memory_mb(pid)["VmHWM"]
    except (OSError, KeyError):
        return 0.0  # It has just ended.
