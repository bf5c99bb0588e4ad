"""Figures and their targets, the header, and the tables.

Nothing is rounded in its own favour: rates down, latencies up, and a figure away from its target.
"""

import dataclasses
import datetime
import math
import os
import platform
import statistics
import subprocess
import sys
import textwrap
import time

from .stack import sql

SETTINGS = (
    "server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method",
    "wal_level", "data_checksums", "shared_buffers", "wal_buffers", "max_wal_size",
    "checkpoint_timeout", "autovacuum", "max_connections", "jit",
)
LATENCIES = {
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "service_p50_ms": "inside: p50",
    "service_p99_ms": "p99 ms",
}
IN_MEMORY = ("tmpfs", "ramfs")
IDLE_LOOK_S = 1.0
# Foreign processes that use more of the cores than this make numbers that nobody gets again.
QUIET = 0.1


@dataclasses.dataclass
class Figure:
    """A number with a target: one value a round, of which the median counts. Without a target it is
    there to be known, and the bound says only which way it is rounded."""

    label: str
    values: list
    bound: str
    target: float = None
    aim: float = None
    unit: str = ""
    detail: str = ""

    @property
    def median(self):
        return statistics.median(self.values)

    def reaches(self, target):
        return self.median >= target if self.bound == "≥" else self.median <= target

    def json(self):
        reached = None if self.target is None else self.reaches(self.target)
        return {**dataclasses.asdict(self), "median": self.median, "reached": reached}

    def row(self):
        if self.target is None:
            target, verdict = "", ""
        else:
            target = f"{self.bound} {self.target:,g}{self.unit}"
            verdict = "reached" if self.reaches(self.target) else "MISSED"
        if self.aim is not None:
            verdict += f" (aim {self.aim:,g}: {'reached' if self.reaches(self.aim) else 'missed'})"
        against = math.floor if self.bound == "≥" else math.ceil
        value, low, high = (
            _rounded(number, against)
            for number in (self.median, min(self.values), max(self.values))
        )
        return (self.label, value + self.unit, f"{low}–{high}", target, verdict)


@dataclasses.dataclass
class Outcome:
    """What a measure comes to: figures, and the cells that they are computed from, shown in an
    order or in a table of their own."""

    figures: list
    cells: list = dataclasses.field(default_factory=list)
    order: tuple = ()
    table: str = ""


def _rounded(number, against):
    if number >= 1000:
        return f"{against(number):,}"
    return f"{against(number * 100) / 100:.2f}"


def up(number):
    """A latency, a lag: never less than it is."""
    return _rounded(number, math.ceil)


def table(headings, rows):
    """Columns: numbers to the right, the first and those without a heading to the left."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    text = []
    for line in lines:
        cells = [
            cell.rjust(width) if heading else cell.ljust(width)
            for cell, width, heading in zip(line, widths, headings)
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def cells_table(cells, order):
    """Medians of the rounds."""
    rows = []
    for name, connections in order:
        mine = [cell for cell in cells if cell["name"] == name.strip()]
        mine = [cell for cell in mine if cell["connections"] == connections]
        rates = [math.floor(cell["rate"]) for cell in mine]
        errors = sum(cell["errors"] for cell in mine)
        rows.append((
            name, str(connections), f"{math.floor(statistics.median(rates)):,}",
            f"{min(rates):,}–{max(rates):,}",
            *(_latency(mine, key) for key in LATENCIES),
            _catch_up(mine), _foreign(mine), str(errors),
        ))
    headings = ("", "conns", "/s", "min–max", *LATENCIES.values(), "rest", "others", "errors")
    return table(headings, rows)


def _foreign(cells):
    return f"{math.ceil(max(cell['foreign_cpu'] for cell in cells) * 100)} %"


def _latency(cells, key):
    if key not in cells[0]:
        return ""
    return up(statistics.median(cell[key] for cell in cells))


def _catch_up(cells):
    times = [cell["catch_up_s"] for cell in cells]
    return "never" if None in times else f"{statistics.median(times):.1f}"


def figures_table(figures):
    headings = ("", "median", "min–max", "target", "")
    return table(headings, [figure.row() for figure in figures])


def machine():
    """What the numbers were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _field("/proc/cpuinfo", "model name"),
        "memory_mb": int(_field("/proc/meminfo", "MemTotal").split()[0]) * 1024 // 1_000_000,
        "kernel": platform.release(),
        "idle_before": _idle(),
    }


def _field(path, name):
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "unknown"


def _idle():
    """The share of all cores that nobody used, just now."""

    def times():
        with open("/proc/stat", encoding="ascii") as file:
            return [int(ticks) for ticks in file.readline().split()[1:9]]

    before = times()
    time.sleep(IDLE_LOOK_S)
    spent = [after - then for after, then in zip(times(), before)]
    return (spent[3] + spent[4]) / max(1, sum(spent))


def file_system(path):
    """The type and the device below a path."""
    best = ("", "unknown", "unknown")
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            device, place, kind, *_ = line.split(" ")
            if os.path.commonpath([place, path]) == place and len(place) >= len(best[0]):
                best = (place, kind, device)
    return best[1], best[2]


def commit(root):
    def git(*arguments):
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    name = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return name + (", with changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def settings(url):
    """As the service's own role sees them."""
    shown = ", ".join(f"current_setting('{name}', true)" for name in SETTINGS)
    return dict(zip(SETTINGS, sql(url, f"SELECT {shown}").split("|")))


def header(florin, given, root, directory, options):
    """Everything that a reader of the numbers has to know."""
    kind, device = file_system(directory)
    version = subprocess.run([florin, "--version"], capture_output=True, text=True).stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "commit": commit(root),
        "program": f"{version}, {florin}" + (" (given: of an unknown commit)" if given else ""),
        "set": dict(options.set),
        "machine": machine(),
        "file_system": f"{kind} on {device}",
        "durable": kind not in IN_MEMORY,
        "seconds": options.seconds,
        "warm_up": options.warm_up,
        "rounds": options.rounds,
        "partitions": options.partitions or 1,
        "keys": not options.no_keys,
    }


def header_text(facts):
    m = facts["machine"]
    postgres = ", ".join(f"{name} {value}" for name, value in facts["postgres"].items())
    keys = "a fresh requestId in every request" if facts["keys"] else "no idempotency keys"
    rounds = f"rounds {facts['rounds']}, a cell {facts['seconds']} s after {facts['warm_up']} s"
    variables = "".join(f", {name}={value}" for name, value in facts["set"].items())
    notes = [
        ("date", facts["date"]),
        ("commit", facts["commit"]),
        ("program", facts["program"]),
        ("machine", f"{m['cores']} cores of {m['cpu']}, {m['memory_mb']:,} MB, "
         f"Linux {m['kernel']}, {facts['file_system']}; it runs service, Postgres, NATS and load"),
        ("before the run", f"{m['idle_before']:.0%} of the processor time was idle"),
        ("Postgres", postgres),
        ("service", f"partitions {facts['partitions']}{variables or ', otherwise as by default'}"),
        ("its log", "JSON lines into a file, one a request, as by default: the cost is included"),
        ("load", f"wrk, 1 thread, {keys}; {rounds} of warm-up"),
        ("p50, p99", "wrk's are corrected for coordinated omission: a stall counts for every "
         "request that it kept from being sent; pgbench's are not"),
        ("inside", "the same requests by the service's own log, uncorrected"),
        ("others", "the share of all cores that foreign processes used in the worst round"),
        ("rest", "seconds that the stack was busy after the last answer"),
    ]
    width = max(len(name) for name, _ in notes) + 2
    return "\n".join(wrapped(name.ljust(width), text) for name, text in notes)


def wrapped(first, text):
    """A paragraph that hangs below its first words."""
    indents = {"initial_indent": first, "subsequent_indent": " " * len(first)}
    return textwrap.fill(text, 100, break_on_hyphens=False, **indents)
