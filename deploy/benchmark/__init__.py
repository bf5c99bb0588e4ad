"""What `deploy/bench` is made of.

    programs.py    programs: found, started, measured, ended
    stack.py       `florin dev` in a fresh directory, its Postgres, and the service's log
    load.py        wrk against the service; load.lua makes the requests
    baseline.py    pgbench against the same Postgres; *.sql are its transactions
    throughput.py  the rounds: Florin and the baseline by turns
    bulk.py        transfers in bulks of several sizes
    nats.py        messages into a stream
    intake.py      messages of other services, until all is done that they ask for
    heavy.py       the measures that take minutes: memory, a long wallet, a grown journal
    watch.py       how far the read models and the relay are behind the journal
    pipeline.py    a constant load: how fast it may be, and how soon the read models have an event
    drain.py       a backlog: one projection alone, and the memory of a worker
    replay.py      verbs over the whole journal, the service beside a rebuild, a wallet as it was
    reads.py       GETs: balances, and pages of a very long history
    report.py      figures and their targets, the header, the tables
"""
