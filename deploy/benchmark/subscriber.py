"""A service beside Florin: how many events a second reach it.

The subscriber is an example of `florin-client`, in a process of its own on the same machine: typed
events, in order, each position counted, each batch acknowledged; nothing is made of them. The events
lie in the stream before it begins, and the read models are at rest. By pages it is what a subscription
is repaired with.
"""

import json
import os
import statistics

from .drain import LOOK_EVERY_S
from .heavy import FILL_CONNECTIONS, need_room, settle
from .load import grow
from .programs import Failure, Meter, run
from .report import Figure, Outcome, table
from .throughput import BYTES_AN_EVENT, BYTES_BESIDE, TRANSFERS, load_of, open_wallets
from .watch import MODELS, RELAY, Places

TARGET = 20_000
DEADLINE_S = 600
WAYS = {"stream": "by the stream", "pages": "by GET /events"}


def follow(stack, program, options, report):
    """Reads a backlog of transfers' events from the first on, several times."""
    events = options.subscriber_events
    need_room(os.path.dirname(stack.directory), 2 * events * BYTES_AN_EVENT + BYTES_BESIDE)
    cells = []
    with stack, Places(stack) as places:
        open_wallets(stack)
        load = load_of(TRANSFERS, not options.no_keys)
        grow(stack, load, FILL_CONNECTIONS, events, report)
        places.await_head((*MODELS, RELAY), LOOK_EVERY_S)
        settle(stack)
        for number in range(1, options.rounds + 1):
            for way, name in WAYS.items():
                cells.append({"round": number, **_read(stack, program, way)})
                report(f"{name}: {cells[-1]['rate']:,.0f} events/s")
    detail = (
        f"{cells[0]['events']:,} events of transfers, all published before; from the first batch to "
        "the last event; one process of the client, its positions counted, each batch acknowledged"
    )
    figures = [
        Figure(f"events/s that reach a subscriber, {name}",
               [cell["rate"] for cell in cells if cell["way"] == way], "≥",
               TARGET if way == "stream" else None, detail=detail if way == "stream" else "")
        for way, name in WAYS.items()
    ]
    return Outcome(figures, cells, table=_table(cells))


def _read(stack, program, way):
    recorded = stack.events()
    urls = {"FLORIN_URL": stack.url, "NATS_URL": stack.urls["NATS_URL"]}
    with Meter(stack.pid) as meter:
        printed = json.loads(run([program, way], DEADLINE_S, env=stack.variables() | urls))
    if printed["events"] < recorded:
        raise Failure(f"{printed['events']:,} of {recorded:,} events reached the subscriber")
    return {
        "name": f"a subscriber, {WAYS[way]}", "way": way, "connections": 0, "errors": 0,
        "problems": [], "rate": printed["events"] / printed["seconds"], **printed,
        "cores": meter.cores, "foreign_cpu": meter.foreign,
    }


def _table(cells):
    # What has ended by now is the subscriber.
    programs = {"load": "subscriber", "florin": "florin", "postgres": "postgres",
                "nats-server": "nats-server"}
    rows = []
    for way, name in WAYS.items():
        its = [cell for cell in cells if cell["way"] == way]
        rates = [cell["rate"] for cell in its]
        first = max(cell["first_after_s"] for cell in its)
        used = (statistics.median(cell["cores"].get(program, 0) for cell in its)
                for program in programs)
        rows.append((
            name, f"{statistics.median(rates):,.0f}", f"{min(rates):,.0f}–{max(rates):,.0f}",
            f"{first:.2f} s", *(f"{cores:.2f}" for cores in used),
            f"{max(cell['foreign_cpu'] for cell in its):.0%}",
        ))
    headings = ("", "events/s", "min–max", "first after", *programs.values(), "others")
    named = ", ".join(programs.values())
    return table(headings, rows) + f"\n({named}: cores that each kept busy)"
