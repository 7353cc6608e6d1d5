"""What viewers are shown while everything goes wrong at random.

    make faults                      30 schedules of 60 s with 200 viewers, one after the other
    make faults SEED=7               one of them again
    make faults RUNS=200 VIEWERS=2000
    python -m tests.faults --list    the faults there are; --only upstream takes some of them
    make faults CLUSTER=1            the same with two processes on a bus (needs redis-server)
    python -m tests.faults cluster   a larger cluster, judged by its own rules: `cluster.py`

A real server in a process of its own has two boards, prices and scores. Its sources, an oracle and
the viewers are here. A schedule of faults follows from a seed: what comes when, for how long, and
what each fault does. After it everything must be well again, and at no time may anything have been
shown that was never so, older than what was shown before, or old without saying so.

A fault is a function with a name (`schedule.fault`), in `upstream`, `viewers`, `network`, `process`
and `bus`:

    @fault("upstream: drips", logs=[...])
    async def drips(world: World, rng: random.Random, seconds: float) -> None: ...

It does its harm for so long and undoes it. Several are there at the same time.
"""
