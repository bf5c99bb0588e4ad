"""Keeps what every wallet holds, in SQLite: pip install -r requirements.txt && python subscriber.py

    FLORIN_URL=http://127.0.0.1:3000 NATS_URL=nats://user:password@127.0.0.1:4222 STATE=balances.db
    [FLORIN_TOKEN=…] [NATS_CA=ca.pem] [NAME=python-balances]

Balances and positions are saved in one transaction, so each event counts once, whatever is delivered
again and whenever this is killed. Positions are dense: what is missing is read from the journal.
"""

import asyncio
import json
import os
import sqlite3
import sys
import urllib.request

import connection
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NothingThere
from nats.js.api import AckPolicy, ConsumerConfig

FLORIN_URL = os.environ.get("FLORIN_URL", "http://127.0.0.1:3000")
NAME = os.environ.get("NAME", "python-balances")
STREAM, BATCH, QUIET_S, RETRY_S = "LEDGER", 500, 5, 0.5

state = sqlite3.connect(os.environ.get("STATE", "balances.db"), isolation_level=None)
state.executescript("""
    CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, position INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS balances (wallet TEXT PRIMARY KEY, balance TEXT NOT NULL);
""")


def at(partition):
    """The position that is saved."""
    row = state.execute("SELECT position FROM positions WHERE partition = ?", (partition,)).fetchone()
    return row[0] if row else 0


def apply(partition, position, wallet, balance):
    """Writes one event; within a transaction."""
    if position != at(partition) + 1:
        raise ValueError(f"{partition}-{position} is not the next")
    if wallet and balance:
        # Amounts are texts: a float would lose cents.
        state.execute("INSERT OR REPLACE INTO balances VALUES (?, ?)", (wallet, balance))
    state.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (partition, position))


def page(partition):
    """The next events of the journal, and where it ends in every partition."""
    query = f"partition={partition}&after={at(partition)}&limit=1000"
    request = urllib.request.Request(f"{FLORIN_URL}/events?{query}")
    if token := os.environ.get("FLORIN_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=20) as answer:
        # <partition>-<position>, …
        heads = dict(head.split("-") for head in answer.headers["Florin-Position"].split(","))
        return json.load(answer), {int(partition): int(head) for partition, head in heads.items()}


def read_journal(partition):
    """Reads on until the journal has no more; a transaction a page."""
    has_more = True
    while has_more:
        body, _ = page(partition)
        state.execute("BEGIN")
        for event in body["data"]:
            apply(partition, event["position"], event.get("walletId"), event.get("balance"))
        state.execute("COMMIT")
        has_more = body["hasMore"]


def take(messages):
    """What of these messages is the next goes in; before a gap the journal is read."""
    state.execute("BEGIN")
    for message in messages:
        header = message.headers.get
        partition, position = int(header("ce-partition")), int(header("ce-position"))
        if position > at(partition) + 1:
            state.execute("COMMIT")
            read_journal(partition)
            state.execute("BEGIN")
        if position == at(partition) + 1:
            kind, _, name = header("ce-subject").partition("/")
            apply(partition, position, name if kind == "wallet" else None, header("ce-balance"))
    state.execute("COMMIT")


async def follow(client):
    """Follows until something breaks."""
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT)
    jetstream = client.jetstream()
    consumer = await jetstream.pull_subscribe("ledger.>", NAME, STREAM, config)
    while True:
        # Also while nothing comes: what JetStream lost, or nobody publishes, is in the journal.
        _, heads = page(0)
        for partition in heads:
            read_journal(partition)
        try:
            while True:
                messages = await consumer.fetch(BATCH, QUIET_S)
                take(messages)
                for message in messages:
                    await message.ack()
        except NothingThere:
            await consumer.consumer_info()  # An error if it is gone.


async def main():
    client = await connection.to_nats()
    while True:
        try:
            await follow(client)
        except (NatsError, OSError) as error:
            if state.in_transaction:
                state.execute("ROLLBACK")
            print(f"again: {error!r}", file=sys.stderr)
            await asyncio.sleep(RETRY_S)


asyncio.run(main())
