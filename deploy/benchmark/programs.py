"""The programs of a run: found, started, measured, and ended within a bounded time."""

import functools
import glob
import os
import re
import resource
import shutil
import subprocess
import time

# After SIGTERM, and again after SIGKILL.
END_PATIENCE_S = 10

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_OURSELVES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


class Failure(Exception):
    """Why there are no numbers, in one sentence."""


def find(name):
    """The program: of the newest Postgres, past Debian's wrappers, which ask for a cluster of the
    system; otherwise of PATH."""
    versioned = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    newest = max(versioned, key=lambda path: int(re.search(r"\d+", path)[0]), default=None)
    found = newest or shutil.which(name)
    if not found:
        raise Failure(f"{name} is missing: run deploy/setup --bench")
    return found


@functools.lru_cache(maxsize=None)
def _tether():
    """What makes a child get SIGTERM when this process is killed and cannot clean up."""
    tether = ["setpriv", "--pdeathsig", "TERM", "--"]
    if not shutil.which("setpriv"):
        return []
    works = subprocess.run([*tether, "true"], capture_output=True).returncode == 0
    return tether if works else []


def start(arguments, **options):
    """Starts a program out of reach of the terminal's Ctrl-C: it is ended from here, in order."""
    arguments = [*_tether(), *map(str, arguments)]
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, start_new_session=True, **options)


def end(process, patience=END_PATIENCE_S):
    """SIGTERM, and SIGKILL if that takes too long. True when the first was enough."""
    if process.poll() is not None:
        return True
    process.terminate()
    try:
        process.wait(patience)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_PATIENCE_S)
        return False


def run(arguments, deadline, **options):
    """What a program prints. It ends within the deadline, well, or there is a Failure."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = start(arguments, **pipes, **options)
    name = os.path.basename(str(arguments[0]))
    try:
        printed, complaints = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{name} did not end within {deadline} s") from late
    finally:
        end(process)
    if process.returncode != 0:
        raise Failure(f"{name} failed ({process.returncode}): {complaints.strip()[-1000:]}")
    return printed


class Meter:
    """How much of the machine others used while this was open."""

    def __init__(self, stack_pid):
        self._pid = stack_pid
        self.foreign = None

    def __enter__(self):
        self._begun = time.monotonic()
        self._before = self._busy() - self._ours()
        return self

    def __exit__(self, *_):
        spent = (self._busy() - self._ours()) - self._before
        capacity = (time.monotonic() - self._begun) * len(os.sched_getaffinity(0))
        self.foreign = max(0.0, spent / capacity)

    def _ours(self):
        mine, *children = (resource.getrusage(who) for who in _OURSELVES)
        own = sum(usage.ru_utime + usage.ru_stime for usage in (mine, *children))
        return own + cpu_seconds(self._pid)

    def _busy(self):
        """All cores together; what the hypervisor gave to others counts as busy."""
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(ticks) for ticks in file.readline().split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS_A_SECOND


def cpu_seconds(root):
    """The processor time of a process and of all its descendants, ended ones included."""
    parents, seconds = {}, {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                # The name may contain anything, but ends at the last parenthesis.
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # It ended while we looked.
        pid = int(path.split("/")[2])
        parents[pid] = int(fields[1])
        # Its own, in user and kernel mode, and that of the children that it has waited for.
        seconds[pid] = sum(map(int, fields[11:15])) / _TICKS_A_SECOND
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(seconds.get(pid, 0) for pid in tree)


def memory_mb(pid):
    """The resident memory of one process: now, and at its highest."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file)
    kilobytes = {name: int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM")}
    return {name: size * 1024 / 1e6 for name, size in kilobytes.items()}
