"""Same entries in, same state, replies and effects out: in any process, whatever its hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

PROGRAM = """
import random, sys, zlib
sys.path[:0] = [{here!r}, {root!r}]
from leto.keyspace.effects import Kind
from tests.keyspace.batches import Bench, entry
bench = Bench(random=random.Random().random)
bench.machine.watch(Kind.CHANGES)
rnd = random.Random(11)
key = lambda: b"key:%d" % rnd.randrange(60)
value = lambda: rnd.choice([b"", b"1", b"0.25", b"abc", b"x" * 50])
commands = [
    lambda: [b"SET", key(), value()],
    lambda: [b"SET", key(), value(), b"PX", b"%d" % rnd.randrange(1, 2000)],
    lambda: [b"DEL", key(), key()],
    lambda: [b"INCR", key()],
    lambda: [b"INCRBYFLOAT", key(), b"0.1"],
    lambda: [b"APPEND", key(), value()],
    lambda: [b"RENAME", key(), key()],
    lambda: [b"RANDOMKEY"],
    lambda: [b"SCAN", b"0", b"COUNT", b"7"],
    lambda: [b"KEYS", b"*1*"],
    lambda: [b"PEXPIRE", key(), b"%d" % rnd.randrange(-5, 2000)],
    lambda: [b"PTTL", key()],
]
seen = 0
for _ in range(300):
    bench.wait(rnd.randrange(50))
    requests = [tuple(rnd.choice(commands)()) for _ in range(10)]
    requests.append([b"%d " % rnd.randrange(300) + key(), rnd.choice(commands)()])
    done = bench.machine.apply(entry(bench.machine.applied + 1, *requests, time_ms=bench.now))
    assert done.effects.changes
    seen = zlib.crc32(repr((done.replies, done.effects)).encode(), seen)
    packed = bench.machine.expired(bench.now, 5)
    if packed is not None and rnd.random() < 0.5:
        bench.packed(packed)
    bench.machine.query([b"RANDOMKEY"], bench.now)
writer = bench.machine.snapshot()
payload = b"".join(iter(lambda: writer.next_slice(1000), b""))
print(bench.machine.digest(), seen, zlib.crc32(payload), len(bench.machine.database.data))
"""


def outcome(seed):
    program = PROGRAM.format(here=str(HERE), root=str(HERE.parent.parent))
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_every_process_computes_the_same_state_replies_and_effects():
    first = outcome("0")
    assert first.startswith("(")
    assert int(first.split()[-1]) > 10
    assert {outcome(seed) for seed in ("1", "4242")} == {first}
