"""`florin dev` in a directory of its own: the service, its private Postgres and NATS.

The service's standard output is a file, as under a service manager, so it logs JSON lines, one for
each request. Writing them is part of what is measured; and they are read afterwards, because they
name the status of every answer without costing the load generator anything.
"""

import collections
import dataclasses
import http.client
import json
import os
import re
import time
import urllib.parse

from .programs import Failure, cpu_seconds, end, find, run, start

# initdb alone may take florin two minutes.
START_DEADLINE_S = 180
# florin gives open requests 16 s, and then Postgres 45 s.
STOP_DEADLINE_S = 90
SQL_DEADLINE_S = 300
HTTP_DEADLINE_S = 20
LOOK_EVERY_S = 0.02

# What `Stack.age` writes: more than the buffers of `florin dev` (2 GB) and half its log (4 GB),
# after which Postgres checkpoints and uses the files of its log again.
YOUTH = "youth"
YOUTH_BYTES = 3 << 30
YOUTH_STEP = 128 << 20
YOUTH_ROW = 1024

# The stack is at rest when all its processes together use less than this share of one core.
AT_REST = 0.05
REST_LOOK_S = 0.5
REST_DEADLINE_S = 120
# How long the log's own thread may take to write what it holds.
LOG_DEADLINE_S = 15

_ANSWER = re.compile(rb'"status":(\d{3})\b.*?"duration_us":(\d+)')
_TROUBLE = re.compile(rb'^.*"level":"(?:WARN|ERROR)".*$', re.MULTILINE)
_CHUNK = 1 << 22


@dataclasses.dataclass
class Answers:
    """What the log tells of answers: how often each status, and how long each took."""

    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    microseconds: list = dataclasses.field(default_factory=list)


class ServiceLog:
    """The service's log, read once, from the front."""

    def __init__(self, path):
        self.path = path
        self._read = 0
        self.trouble = []
        open(path, "ab").close()

    def forget(self):
        """Empties the file. Only while the service is at rest: it appends, so that is safe."""
        os.truncate(self.path, 0)
        self._read = 0
        self.trouble = []

    def read(self):
        """The statuses and the microseconds of the answers that were logged since the last look."""
        answers = Answers()
        with open(self.path, "rb") as file:
            file.seek(self._read)
            while chunk := file.read(_CHUNK):
                whole = chunk[: chunk.rfind(b"\n") + 1]
                if not whole:
                    break
                for status, microseconds in _ANSWER.findall(whole):
                    answers.statuses[int(status)] += 1
                    answers.microseconds.append(int(microseconds))
                self.trouble += [line.decode() for line in _TROUBLE.findall(whole)][:3]
                self._read += len(whole)
                file.seek(self._read)
        return answers

    def await_answers(self, count):
        """The same, once there are so many; fewer after the deadline."""
        answers = self.read()
        deadline = time.monotonic() + LOG_DEADLINE_S
        while len(answers.microseconds) < count and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
            more = self.read()
            answers.statuses += more.statuses
            answers.microseconds += more.microseconds
        return answers


class Stack:
    """A running `florin dev`; a context manager. With `work` it also runs what is behind the
    command side: the relay and the read models, which cost the same processor."""

    def __init__(self, florin, directory, options, work=False):
        self.florin, self.directory, self.options, self.work = florin, directory, options, work
        self.log = ServiceLog(directory + ".log")
        self.worker_log = directory + ".worker.log"
        self.urls = {}
        self._process = None
        self._more = {}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self._process.pid

    @property
    def url(self):
        return self.urls["FLORIN_URL"]

    def start(self):
        """Returns when the service is ready."""
        arguments = [self.florin, "dev", "--host", "127.0.0.1", "--port", "0"]
        arguments += ["--data-dir", self.directory, "--work", "true" if self.work else "false"]
        if self.options.partitions:
            arguments += ["--partitions", self.options.partitions]
        with open(self.log.path, "ab") as log:
            self._process = start(arguments, stdout=log, stderr=log, env=self.variables())
        try:
            self._await("florin.env", self._read_urls)
            self._await("/readyz", self._is_ready)
        except BaseException:
            self.stop()
            raise

    def with_variable(self, name, value):
        """The same stack, to be started with that in its environment."""
        self._more[name] = value
        return self

    def with_variables(self, variables):
        """The same with all of those, and none that it was told before."""
        self._more = dict(variables)
        return self

    def variables(self):
        """The environment of the service."""
        foreign = ("FLORIN_", "DATABASE_", "NATS_", "OTEL_")
        variables = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        return variables | dict(self.options.set) | self._more

    def stop(self):
        if self._process and not end(self._process, STOP_DEADLINE_S):
            raise Failure(f"florin dev did not stop within {STOP_DEADLINE_S} s")
        self._process = None

    def _await(self, what, is_there):
        deadline = time.monotonic() + START_DEADLINE_S
        while not is_there():
            if self._process.poll() is not None or time.monotonic() > deadline:
                with open(self.log.path, encoding="utf-8", errors="replace") as log:
                    raise Failure(f"florin dev: no {what}: {log.read()[-2000:]}")
            time.sleep(LOOK_EVERY_S)

    def _read_urls(self):
        try:
            with open(os.path.join(self.directory, "florin.env"), encoding="utf-8") as file:
                self.urls = dict(line.rstrip("\n").split("=", 1) for line in file)
        except FileNotFoundError:
            return False
        return True

    def _is_ready(self):
        try:
            connection = self.connection()
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def connection(self):
        """A connection to the service, made."""
        where = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname, where.port, HTTP_DEADLINE_S)
        connection.connect()
        return connection

    def sql(self, statement, database=None):
        """What Postgres answers its superuser, as text."""
        return sql(self.admin_url(database), statement)

    def admin_url(self, database=None):
        url = self.urls["DATABASE_ADMIN_URL"]
        return url if database is None else url.rpartition("/")[0] + "/" + database

    def nats_pid(self):
        with open(os.path.join(self.directory, "nats", "nats.pid"), encoding="ascii") as file:
            return int(file.read())

    def events(self):
        """How many events the journal holds: positions are dense."""
        return int(self.sql("SELECT coalesce(sum(head_position), 0) FROM partitions"))

    def age(self):
        """Lets Postgres go once through what it does in its youth only: it zeroes each file of its
        log, and the kernel each of its buffers, the first time. A new cluster under full load does
        that for its first half minute, and is then faster by a third. Returns the seconds taken."""
        begun = time.monotonic()
        self.sql(f"CREATE DATABASE {YOUTH}")
        url = self.admin_url(YOUTH)
        sql(url, "CREATE TABLE filler (text text)")
        for _ in range(YOUTH_BYTES // YOUTH_STEP):
            sql(url, f"INSERT INTO filler SELECT repeat(md5(n::text), {YOUTH_ROW // 32})"
                     f" FROM generate_series(1, {YOUTH_STEP // YOUTH_ROW}) AS n")
        self.sql(f"DROP DATABASE {YOUTH}")
        self.sql("CHECKPOINT")
        self.rest()
        return time.monotonic() - begun

    def rest(self, deadline=REST_DEADLINE_S):
        """Waits until the processes have caught up with everything. Returns how long that took,
        or None when they were still busy at the deadline."""
        begun = time.monotonic()
        before = cpu_seconds(self.pid)
        while time.monotonic() < begun + deadline:
            time.sleep(REST_LOOK_S)
            now = cpu_seconds(self.pid)
            if now - before < AT_REST * REST_LOOK_S:
                return max(0.0, time.monotonic() - begun - REST_LOOK_S)
            before = now
        return None


class Worker:
    """A running `florin worker` beside a stack that does not work itself; a context manager.
    Without a list of read models it keeps all of them."""

    def __init__(self, stack, projections=None):
        self._stack, self._projections = stack, projections
        self._process = None

    @property
    def pid(self):
        return self._process.pid

    def __enter__(self):
        arguments = [self._stack.florin, "worker"]
        if self._projections:
            arguments += ["--projections", self._projections]
        urls = {name: self._stack.urls[name] for name in ("DATABASE_URL", "NATS_URL")}
        with open(self._stack.worker_log, "ab") as log:
            variables = self._stack.variables() | urls
            self._process = start(arguments, stdout=log, stderr=log, env=variables)
        return self

    def __exit__(self, *_):
        if not end(self._process, STOP_DEADLINE_S):
            raise Failure(f"florin worker did not stop within {STOP_DEADLINE_S} s")

    def must_run(self):
        if self._process.poll() is not None:
            raise Failure(f"florin worker ended with {self._process.returncode}")


def post(connection, path, body):
    """One command, answered with 201: the seconds it took."""
    begun = time.perf_counter()
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    took = time.perf_counter() - begun
    if answer.status != 201:
        raise Failure(f"POST {path}: {answer.status} {text.decode(errors='replace')}")
    return took


def environment(url):
    """Variables by which psql and pgbench connect: a password has no place on a command line."""
    where = urllib.parse.urlsplit(url)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {
        **ours,
        "PGHOST": where.hostname,
        "PGPORT": str(where.port),
        "PGUSER": where.username,
        "PGPASSWORD": where.password,
        "PGDATABASE": where.path.lstrip("/"),
        "PGCONNECT_TIMEOUT": "10",
    }


def sql(url, statement):
    """What Postgres answers, unaligned and without headings."""
    arguments = [find("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]
    return run(arguments, SQL_DEADLINE_S, env=environment(url)).strip()
