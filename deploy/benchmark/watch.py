"""How far everything is behind the journal: one psql that stays and is asked again and again.

A psql for each question would cost a process and a connection each time, and the processor is what
is measured.
"""

import json
import subprocess
import threading
import time

from .programs import Failure, end, find, start
from .stack import environment

MODELS = ("balance", "history", "stats", "fraud")
RELAY = "relay"

SAMPLE_EVERY_S = 0.1
# A sample that takes longer finds a machine on which no figure counts.
STATEMENT_DEADLINE = "10s"
# Without a move for so long, something stands still.
STALL_S = 60

# Plans are made once, while tables are small: nothing but index look-ups then.
_SETTINGS = f"""
SET statement_timeout = '{STATEMENT_DEADLINE}'; SET jit = off; SET enable_seqscan = off;
SET enable_hashjoin = off; SET enable_mergejoin = off;
"""

# For each read model and the relay: its position and the head, over all partitions, and the age of
# the oldest event that it lacks. One line of JSON.
_PLACES = f"""
PREPARE places AS
WITH place AS (
  SELECT name, p.partition, p.head_position AS head, coalesce(c.position, 0) AS position
    FROM partitions p CROSS JOIN unnest(ARRAY{list(MODELS)}) AS name
    LEFT JOIN checkpoints c ON c.projection = name AND c.partition = p.partition
  UNION ALL
  SELECT '{RELAY}', p.partition, p.head_position, coalesce(r.position, 0)
    FROM partitions p LEFT JOIN relay_cursors r ON r.partition = p.partition),
behind AS (
  SELECT place.name, sum(place.position) AS position, sum(place.head) AS head,
         extract(epoch FROM clock_timestamp() - min(e.recorded_at)) AS age
    FROM place
    LEFT JOIN events e ON e.partition = place.partition AND e.position = place.position + 1
   GROUP BY place.name)
SELECT json_build_object('at', extract(epoch FROM clock_timestamp()), 'places',
         json_object_agg(name, json_build_array(position, head, greatest(age, 0))))
  FROM behind;
"""


class Session:
    """A psql that is given statements one by one; each answers with one line. A context manager."""

    def __init__(self, stack, preparation=""):
        self._url, self._preparation = stack.admin_url(), _SETTINGS + preparation

    def __enter__(self):
        arguments = [find("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._psql = start(arguments, text=True, env=environment(self._url), **pipes)
        self._psql.stdin.write(self._preparation)
        return self

    def __exit__(self, *_):
        end(self._psql)

    def ask(self, statement):
        """The line that Postgres answers."""
        try:
            self._psql.stdin.write(statement + ";\n")
            self._psql.stdin.flush()
            line = self._psql.stdout.readline()
        except OSError:
            line = ""
        if not line:
            end(self._psql)
            raise Failure(f"psql failed: {self._psql.stderr.read().strip()[-1000:]}")
        return line.rstrip("\n")


class Places(Session):
    """Tells where the read models and the relay are."""

    def __init__(self, stack):
        super().__init__(stack, _PLACES)

    def now(self):
        """The time by Postgres's clock, and by name: position, head, and for how many seconds the
        next event has waited."""
        sample = json.loads(self.ask("EXECUTE places"))
        return sample["at"], {name: tuple(place) for name, place in sample["places"].items()}

    def await_head(self, names, every, look=lambda places: None):
        """The samples until all of these are at the head. `look` sees each."""
        samples, moved = [self.now()], time.monotonic()
        while True:
            _, places = samples[-1]
            look(places)
            if all(places[name][0] >= places[name][1] for name in names):
                return samples
            if time.monotonic() > moved + STALL_S:
                raise Failure(f"for {STALL_S} s nothing moved: {places}")
            time.sleep(every)
            samples.append(self.now())
            if samples[-1][1] != places:
                # The age of the next event grows by itself.
                before, after = ({name: place[0] for name, place in its.items()}
                                 for its in (places, samples[-1][1]))
                moved = time.monotonic() if before != after else moved


class Lags:
    """Samples, for as long as it is open, how old the oldest event is that each of them lacks. What
    lies between two samples is not seen, so a peak may have been higher by their distance."""

    def __init__(self, stack):
        self._places = Places(stack)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure = None
        self.times, self.highest, self.last = [], dict.fromkeys((*MODELS, RELAY), 0.0), {}

    def __enter__(self):
        self._places.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._thread.join()
        self._places.__exit__()

    def _run(self):
        try:
            while not self._closing.wait(SAMPLE_EVERY_S):
                _, places = self._places.now()
                self.times.append(time.monotonic())
                self.last = {name: age for name, (_, _, age) in places.items()}
                for name, age in self.last.items():
                    self.highest[name] = max(self.highest[name], age or 0.0)
        except (Failure, ValueError) as failure:
            self._failure = failure

    @property
    def problems(self):
        """Why the highest lags are not to be trusted."""
        if self._failure:
            return [f"the lag was not sampled to the end: {self._failure}"]
        return []

    @property
    def longest_gap(self):
        """The seconds between two samples, at most."""
        return max((after - before for before, after in zip(self.times, self.times[1:])), default=0)
