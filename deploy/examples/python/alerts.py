"""Tells people what the fraud rules found, and what nothing could be made of: a line each.

    NATS_URL=nats://user:password@127.0.0.1:4222 [NATS_CA=ca.pem] [NAME=people] python alerts.py

Each is told at least once, also those from while this was not running. Put a pager where `print` is.
"""

import asyncio
import json
import os
import sys

import connection
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NothingThere

NAME = os.environ.get("NAME", "people")
BATCH, QUIET_S, RETRY_S = 50, 5, 0.5


def alert(body):
    return f"ALERT {body['id']} wallet {body['wallet']}: {body['reason']}"


def dead_letter(body):
    return f"DEAD LETTER {body['id']} wallet {body['walletId']}: {body['error']}"


async def tell(jetstream, stream, subjects, sentence):
    """Tells each message of a stream, and acknowledges it when it is told."""
    while True:
        try:
            consumer = await jetstream.pull_subscribe(subjects, NAME, stream)
            while True:
                try:
                    for message in await consumer.fetch(BATCH, QUIET_S):
                        print(sentence(json.loads(message.data)), flush=True)
                        await message.ack_sync()
                except NothingThere:
                    await consumer.consumer_info()  # An error if it is gone.
        except (NatsError, OSError) as error:
            print(f"again: {error!r}", file=sys.stderr)
            await asyncio.sleep(RETRY_S)


async def main():
    client = await connection.to_nats()
    jetstream = client.jetstream()
    await asyncio.gather(
        tell(jetstream, "ALERTS", "alerts.>", alert),
        tell(jetstream, "DEAD_LETTERS", "dead-letters.>", dead_letter),
    )


asyncio.run(main())
