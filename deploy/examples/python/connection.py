"""The connection to NATS: NATS_URL says where and as whom (tls:// is encrypted), NATS_CA whom to trust."""

import os
import ssl
from urllib.parse import urlsplit

import nats

NATS_URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
NATS_CA = os.environ.get("NATS_CA")
RETRY_S = 0.5


async def to_nats():
    """A client that comes back by itself."""
    url = urlsplit(NATS_URL)
    options = {}
    if url.username and url.password:
        # An inbox that nobody else may read: see deploy/nats/server.conf.
        options["inbox_prefix"] = f"_INBOX_{url.username}".encode()
    if url.scheme == "tls":
        options["tls"] = ssl.create_default_context(cafile=NATS_CA)
    return await nats.connect(
        NATS_URL, max_reconnect_attempts=-1, reconnect_time_wait=RETRY_S, **options
    )
