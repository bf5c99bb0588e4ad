"""Messages of other services: how many a second, from the first that is published until all have moved
their money and their services have been told.
"""

import json
import time

from .nats import Stream
from .programs import Failure, Meter
from .report import Figure, Outcome, table
from .throughput import WALLETS
from .watch import STALL_S, Session

# What a user's wallet opens with: more than they can transfer away.
FUNDS = "1000000000"
LOOK_EVERY_S = 0.1
KINDS = ("TopUp", "Transfer")
PROGRAMS = ("florin", "postgres", "nats-server")

# Where other services are told.
OUTCOMES = "OUTCOMES"

# How many transactions whose ids begin so have ended, and how many nobody was told of yet.
_DONE = """
PREPARE done (text) AS
SELECT json_build_object(
  'completed', count(*) FILTER (WHERE state = 'completed'),
  'other', count(*) FILTER (WHERE state NOT IN ('completed', 'open', 'waiting')),
  'untold', (SELECT count(*) FROM intake_outcomes WHERE told_at IS NULL),
  'letters', (SELECT count(*) FROM intake_letters))
  FROM intake_transactions WHERE transaction_id >= $1 AND transaction_id < $1 || '~';
"""


def _user(number):
    return f"user-{number % WALLETS}"


def _name(kind, number):
    """How the ids of a round begin."""
    return f"{kind}-{number}-"


def _signups():
    for number in range(WALLETS):
        body = {"id": _user(number), "firstName": "A", "lastName": "B", "email": "a@example.com"}
        yield b"user.signup", json.dumps(body).encode()


def _transactions(kind, number, count):
    """Each of an id of its own, between users by turns."""
    for index in range(count):
        body = {"transactionId": f"{_name(kind, number)}{index}", "type": kind, "amount": 1}
        if kind == "TopUp":
            body["userId"] = _user(index)
        else:
            body |= {"fromUserId": _user(index), "toUserId": _user(index * 7 + 1)}
        yield b"transaction.completed", json.dumps(body).encode()


def messages(stack, options, report):
    """Top-ups and transfers, by turns."""
    stack.with_variable("FLORIN_INTAKE_INITIAL_BALANCE", FUNDS)
    cells = []
    with stack:
        report(f"Postgres aged in {stack.age():.0f} s")
        with Stream(stack.urls["NATS_URL"]) as stream, Session(stack, _DONE) as session:
            stream.publish(_signups())
            _await_users(stack)
            for number in range(1, options.rounds + 1):
                for kind in KINDS if number % 2 else reversed(KINDS):
                    sent = list(_transactions(kind, number, options.intake_messages))
                    with Meter(stack.pid) as meter:
                        took = _run(stream, session, _name(kind, number), sent)
                    rate = len(sent) / took
                    cells.append({
                        "name": f"messages, {kind}", "connections": 1, "round": number, "errors": 0,
                        "problems": [], "rate": rate, "cores": meter.cores,
                        "foreign_cpu": meter.foreign,
                    })
                    report(f"round {number}: {kind}: {rate:,.0f}/s")
    return Outcome(_figures(cells, options), cells, table=_table(cells))


def _await_users(stack):
    deadline = time.monotonic() + STALL_S
    opened = "SELECT count(*) FROM balances WHERE owner IS NOT NULL"
    while int(stack.sql(opened)) < WALLETS:
        if time.monotonic() > deadline:
            raise Failure("the wallets of users are not opened")
        time.sleep(LOOK_EVERY_S)


def _run(stream, session, name, sent):
    """The seconds until everything is done, and everybody is told. Each that is told is a message,
    and those are counted: counting rows would keep Postgres busy, which is what is measured."""
    before = stream.last_sequence(OUTCOMES)
    begun = time.monotonic()
    stream.publish(sent)
    last = moved = None
    while (told := stream.last_sequence(OUTCOMES) - before) != len(sent):
        if told != last:
            last, moved = told, time.monotonic()
        if told > len(sent) or time.monotonic() > moved + STALL_S:
            done = session.ask(f"EXECUTE done('{name}')")
            raise Failure(f"{told} are told of {len(sent)}, and no more come: {done}")
        time.sleep(LOOK_EVERY_S)
    took = time.monotonic() - begun
    done = json.loads(session.ask(f"EXECUTE done('{name}')"))
    if done["completed"] != len(sent) or done["other"] or done["letters"]:
        raise Failure(f"not all messages moved their money: {done}")
    return took


def _figures(cells, options):
    rates = {kind: [cell["rate"] for cell in cells if cell["name"] == f"messages, {kind}"]
             for kind in KINDS}
    figures = [Figure(f"messages/s of other services: {kind}", rates[kind], "≥", 3_000)
               for kind in KINDS]
    figures[0].detail = (
        f"{options.intake_messages:,} messages at once, {WALLETS:,} users; from the first that is "
        "published until all are completed and told; the read models and the relay run beside it"
    )
    return figures


def _table(cells):
    rows = [(
        cell["name"], str(cell["round"]), f"{cell['rate']:,.0f}",
        *(f"{cell['cores'].get(program, 0):.2f}" for program in PROGRAMS),
        f"{cell['foreign_cpu']:.0%}",
    ) for cell in cells]
    headings = ("", "round", "messages/s", *PROGRAMS, "others")
    legend = f"({', '.join(PROGRAMS)}: cores that each kept busy)"
    return table(headings, rows) + "\n" + legend
