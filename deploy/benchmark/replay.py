"""What reads the whole journal, or the past: the verbs, what a rebuild costs those beside it, and a
wallet as it was.

Every verb is a process of the measured program, with the stack at rest beside it. One that the
program does not have is said to be missing, and the others are measured all the same.
"""

import dataclasses
import json
import math
import os
import random
import statistics
import subprocess
import tempfile
import time
import urllib.parse

from . import unbroken, verbs
from .heavy import FILL_CONNECTIONS, HOT_WALLET, need_room, settle
from .load import Load, Nothing, grow, measure, quantile
from .programs import Failure, Meter, end, run, start
from .report import Figure, Outcome, table, up
from .throughput import BYTES_AN_EVENT, BYTES_BESIDE, TRANSFERS, WALLETS, load_of, open_wallets
from .watch import MODELS, RELAY, Places

MISSING = "not in this program"
HEAD_LOOK_EVERY_S = 0.5
# Beside the journal: a second generation of every read model, or a file of all events and a second
# journal.
MORE_BYTES_AN_EVENT = 2_500
# Verbs that have verbs.
GROUPS = ("fraud", "snapshot")
# Where the read models are put as they were, and the journal once more.
PAST, IMPORTED = "as_it_was", "imported"
MIGRATED_S = 60

# Other thresholds than the live ones, so that there is something to compare.
CANDIDATE = "[rules.manyReceivers]\ncount = 8\nwindowSeconds = 120\n"

CONNECTIONS = 64
# Well below what two cores bear, so that it is the latency that shows a rebuild.
FIXED_RATE = 1_000
SLOWDOWN_TARGET_PERCENT = 25
# A statement that is under way may have to end first.
REBUILD_ENDS_S = 30

ASKED = 200
WALLET = HOT_WALLET.removesuffix("/deposit")
AT_TARGET_MS = 50


def _is_there(stack, verb):
    """Whether the program has a verb."""
    help_of = [stack.florin, *verb, "--help"]
    return subprocess.run(help_of, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


@dataclasses.dataclass(frozen=True)
class _Verb:
    name: str
    words: list
    # Events/s.
    target: int = None
    # What is done before each round.
    before: list = ()
    # Where it works, if not on the ledger.
    database: str = None

    def prepare(self, stack):
        for step in self.before:
            step(stack)

    def environment(self, stack):
        if self.database is None:
            return verbs.environment(stack)
        return verbs.environment(stack) | {"DATABASE_ADMIN_URL": stack.admin_url(self.database)}


def _verbs(stack, directory):
    candidate = os.path.join(directory, "candidate.toml")
    with open(candidate, "w", encoding="utf-8") as file:
        file.write(CANDIDATE)
    written = os.path.join(directory, "journal.jsonl")
    head = stack.sql("SELECT string_agg(partition || '-' || head_position, ',') FROM partitions")

    def again(stack):
        if os.path.exists(written):
            os.remove(written)

    def without_past(stack):
        stack.sql(f"DROP SCHEMA IF EXISTS {PAST} CASCADE")

    def empty_ledger(stack):
        stack.sql(f"DROP DATABASE IF EXISTS {IMPORTED}")
        stack.sql(f"CREATE DATABASE {IMPORTED}")
        migrate = [stack.florin, "migrate", "--partitions", str(head.count(",") + 1)]
        run(migrate, MIGRATED_S, env=importing.environment(stack))

    importing = _Verb("import", ["import", written], before=[empty_ledger], database=IMPORTED)
    return (
        # The stream gives its messages one by one, at a tenth of the pace of the journal.
        _Verb("verify", ["verify", "--no-stream"], 250_000),
        _Verb("verify, and the stream", ["verify"]),
        _Verb("fraud backtest", ["fraud", "backtest", "--rules", candidate]),
        _Verb("events", ["events", "--json"]),
        _Verb("checkpoint", ["checkpoint"]),
        _Verb("snapshot rebuild", ["snapshot", "rebuild"]),
        _Verb("rebuild balance", ["rebuild", "balance", "--clean"], 300_000),
        _Verb("rebuild all", ["rebuild", "all", "--clean"], 100_000),
        _Verb("as-of", ["as-of", head, "--into", PAST], before=[without_past]),
        _Verb("export", ["export", "--format", "jsonl", "--out", written],
              before=[without_past, again]),
        importing,
    )


def journal(stack, options, report):
    """The verbs on a journal of transfers, and then the service while one of them runs. Gives what
    each comes to, under its title."""
    events = options.replay_events
    need = events * (BYTES_AN_EVENT + MORE_BYTES_AN_EVENT) + BYTES_BESIDE
    need_room(os.path.dirname(stack.directory), need)
    stack.work = False
    with stack:
        open_wallets(stack)
        keys = not options.no_keys
        took = grow(stack, load_of(TRANSFERS, keys), FILL_CONNECTIONS, events, report)
        settle(stack)
        _with_read_models(stack)
        grown = (f"{stack.events():,} events of transfers between {WALLETS:,} wallets, grown in "
                 f"{took:.0f} s, all of them in the read models")
        report(grown)
        yield "the whole journal", _whole(stack, options, report, grown)
        if options.replay_verb:
            return
        if _is_there(stack, ["rebuild"]):
            yield "the service during a rebuild", _beside(stack, options, report)
            yield "a whole rebuild under load", unbroken.rebuild(stack, report)
        else:
            yield "the service during a rebuild", Outcome([], table=f"rebuild: {MISSING}")


def _with_read_models(stack):
    """Starts the stack again, with what is behind the command side, and waits until it is at the
    head."""
    stack.stop()
    stack.work = True
    stack.start()
    with Places(stack) as places:
        places.await_head((*MODELS, RELAY), HEAD_LOOK_EVERY_S)
    stack.sql("VACUUM (ANALYZE)")
    stack.sql("CHECKPOINT")
    os.sync()
    stack.rest()


def _whole(stack, options, report, grown):
    runs, missing = {}, []
    with tempfile.TemporaryDirectory(dir=os.path.dirname(stack.directory)) as directory:
        for verb in _verbs(stack, directory):
            if options.replay_verb not in (None, verb.words[0]):
                continue
            if not _is_there(stack, verb.words[:2] if verb.words[0] in GROUPS else verb.words[:1]):
                missing.append(verb.name)
                report(f"{verb.name}: {MISSING}")
                continue
            cells = [_cell(stack, verb, number, report) for number in range(1, options.rounds + 1)]
            runs[verb.name] = (verb.target, cells)
        stack.sql(f"DROP DATABASE IF EXISTS {IMPORTED}")
    if not runs and not missing:
        raise Failure(f"no verb that is measured is {options.replay_verb}")
    figures = []
    for name, (target, its) in runs.items():
        figures.append(Figure(f"florin {name}, events/s", [cell["rate"] for cell in its], "≥",
                              target))
        figures.append(Figure(f"florin {name}, memory (VmHWM)",
                              [max(cell["memory_mb"] for cell in its)], "≤", verbs.MEMORY_TARGET_MB,
                              unit=" MB"))
    if figures:
        figures[0].detail = (
            f"{grown}; the time is that of the whole process; events/s: events of the journal, also "
            "where several read models are folded from them; memory is looked at twenty times a "
            "second")
    cells = [cell for _, its in runs.values() for cell in its]
    return Outcome(figures, cells, table=_verbs_table(runs, missing))


def _cell(stack, verb, number, report):
    name = verb.name
    verb.prepare(stack)
    # What the last one left to be written is not to slow this one down.
    stack.sql("CHECKPOINT")
    os.sync()
    stack.rest()
    events = stack.events()
    ran = verbs.run(stack, verb.words, verb.environment(stack))
    problems = []
    if ran.code != 0:
        problems.append(f"florin {name} ended with {ran.code}: {ran.complaint}")
    cell = {
        "name": f"florin {name}", "connections": 0, "round": number, "errors": len(problems),
        "problems": problems, "rate": events / ran.seconds, "events": events,
        "seconds": ran.seconds, "memory_mb": ran.memory, "cores": ran.meter.cores,
        "foreign_cpu": ran.meter.foreign,
    }
    report(f"{name}: {events:,} events in {ran.seconds:.1f} s, {cell['rate']:,.0f}/s, "
           f"{ran.memory:.0f} MB" + "".join(f"; {problem}" for problem in problems))
    return cell


def _verbs_table(runs, missing):
    rows = []
    for name, (_, its) in runs.items():
        rates = [math.floor(cell["rate"]) for cell in its]
        used = (statistics.median(cell["cores"].get(program, 0) for cell in its)
                for program in ("load", "postgres", "florin"))
        rows.append((
            f"florin {name}", f"{math.floor(statistics.median(rates)):,}",
            f"{min(rates):,}–{max(rates):,}",
            up(statistics.median(cell["seconds"] for cell in its)),
            f"{math.ceil(max(cell['memory_mb'] for cell in its))}",
            *(f"{cores:.2f}" for cores in used), f"{max(cell['foreign_cpu'] for cell in its):.0%}",
        ))
    rows += [(f"florin {name}", MISSING, *[""] * 7) for name in missing]
    headings = ("", "events/s", "min–max", "seconds", "MB", "verb", "postgres", "service", "others")
    return table(headings, rows) + "\n(verb, postgres, service: cores that each kept busy)"


class _Rebuild(Nothing):
    """`florin rebuild all` for as long as a load is measured."""

    def __init__(self, stack, throttle):
        super().__init__()
        self._stack, self._throttle = stack, throttle
        self.problems = []

    def __enter__(self):
        arguments = ["rebuild", "all", "--clean", "--throttle", self._throttle]
        self._complaints = tempfile.TemporaryFile()
        self._process = start([self._stack.florin, *arguments], stdout=subprocess.DEVNULL,
                              stderr=self._complaints, env=verbs.environment(self._stack))
        return self

    def __exit__(self, *_):
        code = self._process.poll()
        end(self._process, REBUILD_ENDS_S)
        self._complaints.seek(0)
        complaint = self._complaints.read().decode(errors="replace").strip()[-300:]
        self._complaints.close()
        if code == 0:
            self.problems.append("the rebuild ended before the load did: more --replay-events, or "
                                 "a lower --replay-throttle")
        elif code is not None:
            self.problems.append(f"florin rebuild ended with {code}: {complaint}")


def _loads(options):
    """What is slowed down: name, load, and which of its numbers tells."""
    keys = not options.no_keys
    return (
        ("transfers, as many as there are answers", load_of(TRANSFERS, keys)),
        (f"transfers, {FIXED_RATE:,} offered a second",
         Load("transfers", WALLETS, keys, rate=FIXED_RATE)),
        ("GET a wallet, as many as there are answers", Load("reads", WALLETS, False)),
    )


def _beside(stack, options, report):
    """Each load without a rebuild and with one, by turns."""
    cells, loads = [], _loads(options)
    for number in range(1, options.rounds + 1):
        for name, load in loads:
            for side in ("before", "during"):
                os.sync()
                cells.append(_side(stack, options, f"{name}, {side}", load, number,
                                   side == "during"))
                report(f"{cells[-1]['name']}: {cells[-1]['rate']:,.0f}/s, "
                       f"p99 {cells[-1]['p99_ms']:.2f} ms")
                with Places(stack) as places:
                    places.await_head((*MODELS, RELAY), HEAD_LOOK_EVERY_S)

    def values(name, side, what):
        return [cell[what] for cell in cells if cell["name"] == f"{name}, {side}"]

    figures = []
    for name, _ in loads:
        rates = zip(values(name, "before", "rate"), values(name, "during", "rate"))
        slower = [max(0.0, (1 - during / before) * 100) for before, during in rates]
        figures.append(Figure(f"slowdown of {name}", slower, "≤", SLOWDOWN_TARGET_PERCENT,
                              unit=" %"))
        for side in ("before", "during"):
            figures.append(Figure(f"  p99 {side}", values(name, side, "p99_ms"), "≤", unit=" ms"))
    figures[0].detail = (
        f"while `florin rebuild all --throttle {options.replay_throttle}` runs, from before the "
        "first measured request until after the last; against the same load just before, with the "
        "read models at the head both times")
    order = tuple((f"{name}, {side}", CONNECTIONS)
                  for name, _ in loads for side in ("before", "during"))
    return Outcome(figures, cells, order)


def _side(stack, options, name, load, number, is_during):
    beside = _Rebuild(stack, options.replay_throttle) if is_during else None
    cell = measure(stack, load, CONNECTIONS, options.seconds, options.warm_up, beside)
    if beside:
        cell["problems"] = cell["problems"] + beside.problems
    return {"name": name, "connections": CONNECTIONS, "round": number, **cell}


def past(stack, options, report):
    """A wallet with very many events, as it was at times by chance."""
    events = options.replay_wallet
    need_room(os.path.dirname(stack.directory), events * BYTES_AN_EVENT + BYTES_BESIDE)
    stack.work = False
    with stack:
        took = grow(stack, Load("deposits", 1), FILL_CONNECTIONS, events, report)
        settle(stack)
        _with_read_models(stack)
        moments = _moments(stack)
        connection = stack.connection()
        # The first one tells whether it is asked of the past at all: its wallet had one deposit.
        if not _is_as_it_was(_ask(connection, moments[0][0])[0], moments[0]):
            return Outcome([], table=f"GET {WALLET}?at=TIME: {MISSING}")
        times, wrong = [], []
        with Meter(stack.pid) as meter:
            for moment in moments[1:]:
                body, took_ms = _ask(connection, moment[0])
                times.append(took_ms)
                if not _is_as_it_was(body, moment):
                    wrong.append(f"at {moment[0]} it was {moment[1:]}, and is told as "
                                 f"{body.get('version')}, {body.get('balance')}")
        connection.close()
    report(f"{len(times)} moments, p50 {quantile(times, 0.5):.2f} ms, "
           f"p99 {quantile(times, 0.99):.2f} ms")
    detail = (
        f"{events:,} events of one wallet, grown in {took:.0f} s; one connection; each answer was "
        "compared with the journal; the time is that of this client, written in Python, from the "
        "request to the last byte")
    label = f"GET a wallet of {events:,} events as it was at a time by chance"
    figures = [
        Figure(f"{label}, p99", [quantile(times, 0.99)], "≤", AT_TARGET_MS, unit=" ms",
               detail=detail),
        Figure(f"{label}, p50", [quantile(times, 0.5)], "≤", unit=" ms"),
    ]
    cell = {"name": "a wallet as it was", "connections": 1, "round": 1, "errors": len(wrong),
            "problems": wrong[:3], "foreign_cpu": meter.foreign, "cores": meter.cores,
            "at_ms": times}
    return Outcome(figures, [cell])


def _moments(stack):
    """The time of the first deposit, and then of others by chance; with the version and the balance
    that the wallet had at the end of each."""
    wallet = WALLET.rpartition("/")[2]
    last = int(stack.sql(f"SELECT max(sequence) FROM events WHERE aggregate_id = '{wallet}'"))
    numbers = [2] + [random.randint(2, last) for _ in range(ASKED)]
    # Events of one batch have one time: of all of them the last counts. Time does not run backwards,
    # so that one is near.
    rows = stack.sql(
        "SELECT to_char(a.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
        " z.sequence, z.balance"
        f" FROM unnest(ARRAY{numbers}) WITH ORDINALITY AS n (sequence, number)"
        f" JOIN events a ON a.aggregate_id = '{wallet}' AND a.aggregate_type = 'Wallet'"
        " AND a.sequence = n.sequence"
        " CROSS JOIN LATERAL (SELECT e.sequence, e.balance FROM events e"
        "   WHERE e.aggregate_id = a.aggregate_id AND e.aggregate_type = 'Wallet'"
        "     AND e.sequence BETWEEN a.sequence AND a.sequence + 10000"
        "     AND e.recorded_at = a.recorded_at ORDER BY e.sequence DESC LIMIT 1) AS z"
        " ORDER BY n.number")
    lines = (line.split("|") for line in rows.splitlines())
    return [(moment, int(version), balance) for moment, version, balance in lines]


def _ask(connection, moment):
    """The answer, and the milliseconds it took."""
    path = WALLET + "?" + urllib.parse.urlencode({"at": moment})
    begun = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read()
    took = (time.perf_counter() - begun) * 1e3
    return (json.loads(text) if answer.status == 200 else {}), took


def _is_as_it_was(body, moment):
    _, version, balance = moment
    return (body.get("version"), body.get("balance")) == (version, balance)
