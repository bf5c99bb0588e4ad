"""The baseline: what a service with row locks would ask of the same Postgres, by pgbench.

pgbench is as close to Postgres as a client can be: no HTTP, no JSON, no idempotency, prepared
statements, as many threads as there are cores. So the baseline is an upper bound of such a service.
"""

import glob
import os
import re

from .load import quantile
from .programs import Meter, find, run
from .stack import environment, sql

HERE = os.path.dirname(os.path.abspath(__file__))
DATABASE = "baseline"
# What pgbench may take beyond its duration.
SLACK_S = 60

_RATE = re.compile(r"^tps = ([0-9.]+) \(", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)


class Baseline:
    """A second database in the Postgres of a stack."""

    def __init__(self, stack, wallets):
        self._stack, self._wallets = stack, wallets
        stack.sql(f"CREATE DATABASE {DATABASE}")
        self._url = stack.admin_url(DATABASE)
        with open(os.path.join(HERE, "baseline.sql"), encoding="utf-8") as file:
            sql(self._url, file.read().replace(":wallets", str(wallets)))
        sql(self._url, "VACUUM ANALYZE")

    def measure(self, script, clients, seconds, warm_up):
        """One cell, in the shape of those of `load`."""
        logs = os.path.join(self._stack.directory, "pgbench")
        self._pgbench(script, clients, warm_up)
        with Meter(self._stack.pid) as meter:
            printed = self._pgbench(script, clients, seconds, ["--log", f"--log-prefix={logs}"])
        times = list(_times(logs))
        failed = _FAILED.search(printed)
        errors = int(failed[1]) if failed else 0
        rest = self._stack.rest()
        return {
            "rate": float(_RATE.search(printed)[1]),
            "p50_ms": quantile(times, 0.50) / 1e3,
            "p99_ms": quantile(times, 0.99) / 1e3,
            "max_ms": max(times) / 1e3,
            "requests": len(times),
            "catch_up_s": rest,
            "foreign_cpu": meter.foreign,
            "errors": errors,
            "problems": [f"{errors} transactions failed"] if errors else [],
        }

    def _pgbench(self, script, clients, seconds, options=()):
        threads = min(clients, len(os.sched_getaffinity(0)))
        arguments = [find("pgbench"), "-n", "-M", "prepared", "-c", clients, "-j", threads]
        arguments += ["-T", seconds, "-D", f"wallets={self._wallets}"]
        arguments += ["-f", os.path.join(HERE, script), *options]
        return run(arguments, seconds + SLACK_S, env=environment(self._url))


def _times(logs):
    """The microseconds of each transaction; the logs are removed."""
    for path in glob.glob(logs + ".*"):
        with open(path, encoding="ascii") as file:
            for line in file:
                microseconds = line.split()[2]
                if microseconds.isdigit():  # Otherwise it failed.
                    yield int(microseconds)
        os.remove(path)
