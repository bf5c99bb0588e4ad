"""What the document cannot say: names that exclude each other, and values that only an answer gives."""

import json
import re

import schemathesis
from schemathesis import GenerationMode

# Of these, a request has one: the first that it comes with.
ONE_OF = [("cursor", "page", "skip"), ("limit", "take"), ("to", "before")]

# Currencies of any amount that the document allows.
TWO_DECIMALS = ("USD", "EUR", "GBP", "CHF")

# For a position that is not there yet, a read waits.
POSITIONS = re.compile(r"\d+(-\d+)?(,\d+-\d+)*")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a request that fits the schema one that fits the descriptions, too."""
    query, headers, body = case.query or {}, case.headers or {}, case.body
    for given, name in ((query, "minPosition"), (headers, "Florin-Position")):
        if POSITIONS.fullmatch(str(given.get(name, ""))):
            del given[name]
    if case.meta is not None and case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    # Only a page gives the one, and the other is of the past.
    query.pop("cursor", None)
    query.pop("at", None)
    # A page of events is of a partition that there is, and after a position that there is.
    if case.operation.path == "/events":
        for name in ("partition", "after", "type"):
            query.pop(name, None)
    # Other names of fields, which exclude those of today.
    if isinstance(body, dict):
        for name in ("clientTransactionId", "balance", "senderWalletId", "receiverWalletId"):
            body.pop(name, None)
    # A period does not end before it begins.
    if "from" in query:
        query.pop("to", None)
        query.pop("before", None)
    # An atomic bulk has a key, and its commands have none; the others the other way round.
    if isinstance(body, dict) and "commands" in body:
        body["atomic"] = False
        for name in ("requestId", "clientTransactionId"):
            body.pop(name, None)
        headers.pop("Idempotency-Key", None)
    for names in ONE_OF:
        for name in [name for name in names if name in query][1:]:
            del query[name]
    # Postgres keeps no U+0000, wherever in the metadata it is.
    if isinstance(body, dict) and "\\u0000" in json.dumps(body.get("metadata")):
        body["metadata"] = {}
    # Not every currency has two decimals, and a wallet keeps the one that it was opened with.
    if isinstance(body, dict) and body.get("currency") not in TWO_DECIMALS:
        body.pop("currency", None)
    # The key is in the header or in the body, or the same in both.
    if isinstance(body, dict) and body.get("requestId") is not None:
        headers.pop("Idempotency-Key", None)
