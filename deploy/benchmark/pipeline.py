"""How the read models follow a constant load: how fast it may be, and how soon they have an event.

The load has a rate, and does not wait for anybody: what is measured is what a service does that has
so many clients, and not the most that the machine can bear.
"""

import datetime
import http.client
import json
import math
import threading
import time

from .load import Load, Nothing, measure, quantile
from .programs import Failure
from .report import Figure, Outcome, table, up
from .throughput import WALLETS, open_wallets
from .watch import MODELS, RELAY, Lags, Session

CONNECTIONS = 64
# The steps of the sustained rate: up from the first until one fails, or down until one holds.
FIRST_RATE = 3_000
RATE_STEP = 1_000
MAX_RATE = 20_000
# What is offered beyond a step, so that the step itself is reached: the last requests are cut off.
SURPLUS = 0.01
MAX_LAG_S = 1.0
# Longer, and a lag may hide between two samples: then nothing is said to hold.
MAX_GAP_S = 0.5

LATENCY_RATE = 1_000
PROBES_A_SECOND = 20
# Beyond the wait that the service itself allows to a read.
PROBE_DEADLINE_S = 10
PROBE_AMOUNT = {"amount": "1.00", "currency": "USD"}
POSITION = "Florin-Position"

# Returns when the checkpoint has the position; each look is a statement with a snapshot of its own.
_AWAIT = """
CREATE FUNCTION pg_temp.seen(model text, part integer, wanted bigint) RETURNS numeric
LANGUAGE plpgsql AS $$
BEGIN
  WHILE coalesce((SELECT c.position FROM checkpoints c
                   WHERE c.projection = model AND c.partition = part), 0) < wanted LOOP
    PERFORM pg_sleep(0.001);
  END LOOP;
  RETURN extract(epoch FROM clock_timestamp());
END $$;
"""


class _Watched(Nothing):
    """The lags during the measured run."""

    def __init__(self, stack):
        super().__init__()
        self.lags = Lags(stack)

    def __enter__(self):
        self.lags.__enter__()
        return self

    def __exit__(self, *_):
        self.lags.__exit__()


def sustained(stack, options, report):
    """The highest rate of transfers at which no read model is ever more than a second behind."""
    cells = []
    with stack:
        report(f"Postgres aged in {stack.age():.0f} s")
        open_wallets(stack)
        rate = FIRST_RATE
        while 0 < rate <= MAX_RATE:
            cells.append(_step(stack, rate, options))
            report(_said(cells[-1]))
            # Up while it holds, down while it does not; back on its own way it ends.
            rate += RATE_STEP if cells[-1]["holds"] else -RATE_STEP
            if any(cell["asked"] == rate for cell in cells):
                break
    holding = [cell["rate"] for cell in cells if cell["holds"]]
    figure = Figure(
        f"transfers/s sustained for {options.pipeline_seconds} s, read models at most "
        f"{MAX_LAG_S:g} s behind", [max(holding, default=0.0)], "≥", 3_000, aim=5_000,
        detail=f"{CONNECTIONS} connections, {WALLETS:,} wallets; a step is offered with "
        f"{SURPLUS:.0%} more and holds when its rate was reached and no sample showed a read model "
        f"more than {MAX_LAG_S:g} s behind, from the first second to the last; lags are sampled "
        "ten times a second, and what lies between two samples is not seen",
    )
    return Outcome([figure], cells, table=_steps_table(cells))


def _step(stack, rate, options):
    watched = _Watched(stack)
    load = Load("transfers", WALLETS, not options.no_keys, rate=round(rate * (1 + SURPLUS)))
    times = (options.pipeline_seconds, min(10, max(2, options.pipeline_seconds // 5)))
    cell = measure(stack, load, CONNECTIONS, *times, beside=watched)
    lags = watched.lags
    problems = cell["problems"] + lags.problems
    behind = max(lags.highest[name] for name in MODELS)
    is_watched = bool(lags.times) and lags.longest_gap <= MAX_GAP_S
    return {
        "name": f"transfers, {rate:,} a second", "connections": CONNECTIONS, "round": 1, **cell,
        "asked": rate, "lag_s": lags.highest, "samples": len(lags.times),
        "longest_gap_s": lags.longest_gap, "problems": problems,
        "holds": behind <= MAX_LAG_S and cell["rate"] >= rate and is_watched and not problems,
    }


def _said(cell):
    lags = ", ".join(f"{name} {lag:.2f} s" for name, lag in cell["lag_s"].items())
    cores = ", ".join(f"{name} {used:.2f}" for name, used in sorted(cell["cores"].items()))
    return (f"{cell['asked']:,}/s: {cell['rate']:,.0f}/s, p99 {cell['p99_ms']:.1f} ms, behind "
            f"{lags}; cores {cores}")


def _steps_table(cells):
    programs = {"florin": "florin", "postgres": "postgres", "nats-server": "nats", "load": "wrk"}
    headings = ("", "reached", "p50 ms", "p99 ms", *MODELS, RELAY, "unseen", *programs.values(),
                "others", "errors", "holds")
    rows = [(
        f"{cell['asked']:,}/s", f"{math.floor(cell['rate']):,}",
        *(up(cell[latency]) for latency in ("p50_ms", "p99_ms")),
        *(up(cell["lag_s"][name]) + " s" for name in (*MODELS, RELAY)),
        up(cell["longest_gap_s"]) + " s",
        *(f"{cell['cores'].get(name, 0):.2f}" for name in programs),
        f"{cell['foreign_cpu']:.0%}", str(cell["errors"]), "yes" if cell["holds"] else "no",
    ) for cell in sorted(cells, key=lambda cell: cell["asked"])]
    legend = (f"({', '.join(MODELS)}, {RELAY}: the longest that each was behind; unseen: the "
              f"longest between two looks; {', '.join(programs.values())}: cores that each kept "
              "busy)")
    return table(headings, rows) + "\n" + legend


class Probes(Nothing):
    """Deposits to wallets of its own, one series for each read model, while it is open: when had
    the read model what was answered?

    By turns it asks Postgres, which sees the commit itself, and the service, with the position as
    `minPosition`: that contains the request and the answer. Both count from `recordedAt`, so the
    append is part of it."""

    def __init__(self, stack):
        super().__init__()
        self._stack = stack
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self.seen = {model: [] for model in MODELS}
        self.read = {model: [] for model in MODELS}
        self.problems = []
        self._threads = [
            threading.Thread(target=self._run, args=(model,), daemon=True) for model in MODELS
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def _run(self, model):
        try:
            with Session(self._stack, _AWAIT) as session:
                self._probe(model, session)
        except (Failure, OSError, http.client.HTTPException, ValueError, KeyError) as failure:
            self.problems.append(f"the probe of {model} ended early: {failure!r}")

    def _probe(self, model, session):
        connection, due, number = self._stack.connection(), time.monotonic(), 0
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            due, number = due + 1 / PROBES_A_SECOND, number + 1
            partition, position, recorded = self._deposit(connection, model)
            if number == 1:
                continue  # It opened the wallet and the connections.
            if number % 2:
                place = f"'{model}', {partition}, {position}"
                seen = float(session.ask(f"SELECT pg_temp.seen({place})"))
                self.seen[model] += _corrected(seen - recorded)
            elif (answered := self._await(connection, model, partition, position)) is not None:
                self.read[model] += _corrected(answered - recorded)
        connection.close()

    def _deposit(self, connection, model):
        path = f"/wallets/probe-{model}/deposit"
        answer = self._ask(connection, "POST", path, json.dumps(PROBE_AMOUNT))
        if answer.status != 201:
            raise Failure(f"POST {path}: {answer.status}")
        body = json.loads(answer.text)
        with self._lock:
            # The first one opens the wallet, too.
            self.events += 2 if body["version"] == 2 else 1
        recorded = datetime.datetime.fromisoformat(body["recordedAt"].replace("Z", "+00:00"))
        return body["partition"], body["position"], recorded.timestamp()

    def _await(self, connection, model, partition, position):
        """When the service answered from a read model that has the position; None if it does not
        say from which it answers."""
        path = {
            "balance": "/wallets/probe-balance?", "history": "/wallets/probe-history/history?",
            "stats": "/wallets/probe-stats/stats?", "fraud": "/fraud/alerts?wallet=probe-fraud&",
        }[model] + f"minPosition={partition}-{position}"
        deadline = time.monotonic() + PROBE_DEADLINE_S
        while time.monotonic() < deadline:
            answer = self._ask(connection, "GET", path)
            answered = time.time()
            if answer.status == 404 or not answer.position:
                return None
            if answer.status == 200 and answer.position.get(partition, 0) >= position:
                return answered
        raise Failure(f"GET {path}: {answer.status}, {POSITION} {answer.position}")

    def _ask(self, connection, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.text = answer.read()
        answer.position = _positions(answer.getheader(POSITION, ""))
        with self._lock:
            self.statuses[answer.status] += 1
        return answer


def _corrected(seconds):
    """The milliseconds of a probe, and of those that would have been sent while it waited: like
    wrk's, corrected for coordinated omission."""
    between = 2 / PROBES_A_SECOND
    return [(seconds - number * between) * 1e3 for number in range(1 + int(seconds / between))]


def _positions(header):
    """By partition, of `<partition>-<position>, …`."""
    pairs = (pair.strip().partition("-") for pair in header.split(",") if "-" in pair)
    return {int(partition): int(position) for partition, _, position in pairs}


def latency(stack, options, report):
    """How long after an event was recorded each read model has it."""
    with stack:
        report(f"Postgres aged in {stack.age():.0f} s")
        open_wallets(stack)
        probes = Probes(stack)
        load = Load("transfers", WALLETS, not options.no_keys, rate=LATENCY_RATE)
        times = (options.pipeline_seconds, min(10, max(2, options.pipeline_seconds // 5)))
        cell = measure(stack, load, CONNECTIONS, *times, beside=probes)
    cell = {"name": f"transfers, {LATENCY_RATE:,} a second", "connections": CONNECTIONS, "round": 1,
            **cell, "seen_ms": probes.seen, "read_ms": probes.read}
    cell["problems"] = cell["problems"] + probes.problems
    missing = [model for model in MODELS if not probes.read[model]]
    if missing:
        cell["problems"].append(
            f"{', '.join(missing)}: no answer to a GET said its {POSITION}, so only the commit is "
            "measured")
    report(f"{sum(map(len, probes.seen.values()))} probes of the commit, "
           f"{sum(map(len, probes.read.values()))} by GET")
    detail = (
        f"{cell['rate']:,.0f} transfers/s; {PROBES_A_SECOND} deposits/s for each read model beside "
        "them, and from `recordedAt` to the answer of a GET with `minPosition`, or to the first "
        "look at which the checkpoint had it, a millisecond apart; both contain the append, and "
        "are corrected for coordinated omission"
    )
    figures = [
        Figure(f"event to read model, p99: {model}, {how}", [quantile(times[model], 0.99)], "≤",
               100, unit=" ms")
        for how, times in (("by GET", probes.read), ("committed", probes.seen))
        for model in MODELS if times[model]
    ]
    if figures:
        figures[0].detail = detail
    return Outcome(figures, [cell], table=_probes_table(probes))


def _probes_table(probes):
    rows = []
    for model in MODELS:
        for how, times in (("by GET", probes.read[model]), ("committed", probes.seen[model])):
            if times:
                shares = (quantile(times, share) for share in (0.5, 0.9, 0.99, 1.0))
                rows.append((model, how, str(len(times)), *map(up, shares)))
    return table(("", "", "probes", "p50 ms", "p90 ms", "p99 ms", "highest"), rows)
