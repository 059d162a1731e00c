"""Walks over the keys: KEYS, SCAN, RANDOMKEY."""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice

from leto.keyspace.database import Database
from leto.keyspace.packing import key_of
from leto.keyspace.records import BUCKETS
from leto.keyspace.types.value import type_name
from leto.keyspace.walks import compiled, matching, parse_cursor, parse_scan_options
from leto.vocabulary.glob import Compiled
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import Reply
from leto.vocabulary.steps import LONG, STEP, Steps, exhaust

DRAWS = 100  # keys that RANDOMKEY draws before it looks for one that is not expired


@KEYSPACE.add(
    "KEYS",
    2,
    "readonly",
    group="generic",
    since="1.0.0",
    summary="Find all keys matching the given pattern",
    complexity="O(N) with N being the number of keys in the database, under the assumption that the key names in"
    " the database and the given pattern have limited length.",
    syntax="pattern",
    categories="keyspace read slow dangerous",
    tips="request_policy:all_shards nondeterministic_output_order",
)
def keys(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/keys"""
    pattern = compiled(argv[1])
    if len(db.data) > LONG:
        return Steps(_keys_in_steps(db, pattern), holds=True)
    return exhaust(_keys_in_steps(db, pattern))


def _keys_in_steps(db: Database, pattern: Compiled) -> Generator[None, None, list[bytes]]:
    found: list[bytes] = []
    now, is_volatile, waste = db.now, db.volatile > 0, db.waste
    waste.walks += 1
    try:
        records = db.data.all_held()
        while some := list(islice(records, STEP)):
            if is_volatile:
                some = [held for held in some if isinstance(held, bytes) or not 0 < held.expire_at < now]
            found += yield from matching(pattern, list(map(key_of, some)))
            yield
    finally:
        waste.walks -= 1
    return found


@KEYSPACE.add(
    "SCAN",
    -2,
    "readonly",
    group="generic",
    since="2.8.0",
    summary="Incrementally iterate the keys space",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor"
    " to return back to 0. N is the number of elements inside the collection.",
    syntax="cursor [MATCH pattern] [COUNT count] [TYPE type]",
    categories="keyspace read slow",
    tips="nondeterministic_output request_policy:special",
)
def scan(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/scan. The cursor is the number of a bucket of keys: good on every node, and after a restart."""
    cursor = parse_cursor(argv[1])
    options = parse_scan_options(argv, 2, b"TYPE")
    count, pattern = options.count, compiled(options.pattern)
    walk = _scan_in_steps(db, cursor if 0 <= cursor <= BUCKETS else BUCKETS, count, pattern, options.type)
    return Steps(walk) if count > STEP else exhaust(walk)


def _scan_in_steps(
    db: Database, cursor: int, count: int, pattern: Compiled, wanted: bytes | None
) -> Generator[None, None, Reply]:
    """Each step is one page more, as of that moment."""
    found: list[bytes] = []
    now, waste = db.now, db.waste
    waste.walks += 1
    try:
        while True:
            cursor, page = db.data.page(cursor, min(count, STEP))
            count -= len(page)
            for key in (yield from matching(pattern, page)):
                db.now = now
                record = db.find(key)
                if record is not None and (wanted is None or type_name(record.value) == wanted):
                    found.append(key)
            if cursor == 0 or count <= 0:
                return [b"%d" % cursor, found]
            yield
    finally:
        waste.walks -= 1


@KEYSPACE.add(
    "RANDOMKEY",
    1,
    "readonly",
    group="generic",
    since="1.0.0",
    summary="Return a random key from the keyspace",
    categories="keyspace read slow",
    tips="request_policy:all_shards nondeterministic_output",
)
def randomkey(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/randomkey"""
    for _ in range(DRAWS):
        key = db.data.choose(db.random)
        if key is None or db.find(key) is not None:
            return key
    return Steps(_next_key(db, int(db.random() * BUCKETS)))  # nearly all keys are expired


def _next_key(db: Database, start: int) -> Generator[None, None, bytes | None]:
    """The first from that bucket on, around the table, that is not expired."""
    now, waste = db.now, db.waste
    work = 0
    waste.walks += 1
    try:
        for begin, end in ((start, BUCKETS), (0, start)):
            while begin < end:
                begin, found = db.data.stretch(begin)
                for _, key, _ in found:
                    if db.find(key) is not None:
                        return key
                work += 1 + len(found)
                if work > STEP:
                    work = 0
                    yield
                    db.now = now
    finally:
        waste.walks -= 1
    return None
