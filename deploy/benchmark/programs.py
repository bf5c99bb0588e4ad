"""The programs of a run: found, started, measured, and ended within a bounded time."""

import collections
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
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(arguments, start_new_session=True, **options)


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
    """Who used how much of the machine while this was open: `foreign` is the share of all cores
    that went to others; `cores` says how many cores each of our programs kept busy."""

    def __init__(self, *roots):
        self._roots = roots
        self.foreign = None
        self.cores = {}

    def __enter__(self):
        self._begun = time.monotonic()
        self._busy_before, self._ours_before = self._busy(), self._ours()
        return self

    def __exit__(self, *_):
        ours = self._ours()
        spent = {name: ours[name] - self._ours_before[name] for name in ours}
        elapsed = time.monotonic() - self._begun
        foreign = self._busy() - self._busy_before - sum(spent.values())
        self.foreign = max(0.0, foreign / elapsed / len(os.sched_getaffinity(0)))
        self.cores = {name: max(0.0, seconds / elapsed) for name, seconds in spent.items()}

    def _ours(self):
        """Processor seconds by program: the load generator is a child that has ended by now."""
        mine, children = (resource.getrusage(who) for who in _OURSELVES)
        seconds = collections.Counter(
            bench=mine.ru_utime + mine.ru_stime, load=children.ru_utime + children.ru_stime
        )
        for root in self._roots:
            seconds.update(cpu_by_program(root))
        return seconds

    def _busy(self):
        """All cores together; what the hypervisor gave to others counts as busy."""
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(ticks) for ticks in file.readline().split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS_A_SECOND


def cpu_seconds(root):
    """The processor time of a process and of all its descendants, ended ones included."""
    return sum(cpu_by_program(root).values())


def cpu_by_program(root):
    """The same, by the name of the program."""
    parents, names, seconds = {}, {}, {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                # The name may contain anything, but ends at the last parenthesis.
                head, _, rest = file.read().rpartition(")")
        except OSError:
            continue  # It ended while we looked.
        pid, fields = int(path.split("/")[2]), rest.split()
        parents[pid], names[pid] = int(fields[1]), head.partition("(")[2]
        # Its own, in user and kernel mode, and that of the children that it has waited for.
        seconds[pid] = sum(map(int, fields[11:15])) / _TICKS_A_SECOND
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    programs = collections.Counter()
    for pid in tree & seconds.keys():
        programs[names[pid]] += seconds[pid]
    return programs


def memory_mb(pid):
    """The resident memory of one process: now, and at its highest."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file)
    kilobytes = {name: int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM")}
    return {name: size * 1024 / 1e6 for name, size in kilobytes.items()}
