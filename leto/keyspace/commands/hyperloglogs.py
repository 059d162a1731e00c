"""HyperLogLog: PFADD PFCOUNT PFMERGE PFDEBUG. What is in their strings is leto.keyspace.hyperloglog's."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

from leto.keyspace import hyperloglog as hll
from leto.keyspace.database import Database
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import OK, Error, Refused, Reply, Status
from leto.vocabulary.steps import STEP, Steps, exhaust

NOT_ONE: Final = Error(b"WRONGTYPE Key is not a valid HyperLogLog string value.")
DAMAGED: Final = Error(b"INVALIDOBJ Corrupted HLL object detected")
NO_KEY: Final = Error(b"ERR The specified key does not exist")
NOT_SPARSE: Final = Error(b"ERR HLL encoding is not sparse")
FEW: Final = 2  # keys whose registers one step takes
SETS: Final = 16  # registers of a sparse one that one step sets


def _checked(value: object) -> bytes:
    """Raises Refused for a string that is none."""
    data = bytes(value)  # type: ignore[call-overload]
    if not hll.is_one(data):
        raise Refused(NOT_ONE)
    return data  # type: ignore[no-any-return]


def _find(db: Database, key: bytes) -> bytes | None:
    value = db.find_string(key)
    return None if value is None else _checked(value)


def _registers(data: bytes) -> bytes:
    try:
        return hll.registers(data)
    except hll.Damaged:
        raise Refused(DAMAGED) from None


@KEYSPACE.add(
    "PFADD",
    -2,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="hyperloglog",
    since="2.8.9",
    summary="Adds the specified elements to the specified HyperLogLog.",
    complexity="O(1) to add every element.",
    syntax="key [element [element ...]]",
    categories="write hyperloglog fast",
    key_flags="RW insert",
    level=2,
)
def pfadd(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/pfadd"""
    adding = _added(db, argv)
    return exhaust(adding) if len(argv) <= STEP else Steps(adding)


def _added(db: Database, argv: list[bytes]) -> Generator[None, None, Reply]:
    record = db.touch_string(argv[1])
    data = hll.new() if record is None else bytearray(_checked(record.value))
    changed = record is None
    try:
        for number, element in enumerate(argv[2:]):
            changed |= hll.add(data, element)
            if number % STEP == STEP - 1:
                yield
    except hll.Damaged:
        return DAMAGED
    if changed:
        data[15] |= 0x80
        db.store(argv[1], bytes(data), record.expire_at if record is not None else 0, b"pfadd")
    return int(changed)


@KEYSPACE.add(
    "PFCOUNT",
    -2,
    "readonly",
    keys=(1, -1, 1),
    group="hyperloglog",
    since="2.8.9",
    summary="Return the approximated cardinality of the set(s) observed by the HyperLogLog at key(s).",
    complexity="O(1) with a very small average constant time when called with a single key. O(N) with N being the"
    " number of keys, and much bigger constant times, when called with multiple keys.",
    syntax="key [key ...]",
    categories="read hyperloglog slow",
    key_flags="RW access",
    level=2,
)
def pfcount(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/pfcount"""
    found = [data for data in (_find(db, key) for key in argv[1:]) if data is not None]
    if len(argv) == 2 and found and not found[0][15] & 0x80:  # Redis has told it, and it is not out of date
        return int.from_bytes(found[0][8:16], "little")
    counting = _counted(found)
    return exhaust(counting) if len(found) <= FEW else Steps(counting)


def _counted(found: Sequence[bytes]) -> Generator[None, None, int]:
    return hll.cardinality((yield from _largest(found))) if found else 0


def _largest(found: Sequence[bytes]) -> Generator[None, None, bytes]:
    """Of all their registers. Raises Refused."""
    values = _registers(found[0])
    for number, data in enumerate(found[1:]):
        values = hll.largest(values, _registers(data))
        if number % FEW:
            yield
    return values


@KEYSPACE.add(
    "PFMERGE",
    -2,
    "write denyoom",
    keys=(1, -1, 1),
    group="hyperloglog",
    since="2.8.9",
    summary="Merge N different HyperLogLogs into a single one.",
    complexity="O(N) to merge N HyperLogLogs, but with high constant times.",
    syntax="destkey sourcekey [sourcekey ...]",
    categories="write hyperloglog slow",
    key_flags="RW access insert; RO access",
    level=2,
)
def pfmerge(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/pfmerge"""
    return Steps(_merged(db, argv))


def _merged(db: Database, argv: list[bytes]) -> Generator[None, None, Reply]:
    found = [data for data in (_find(db, key) for key in argv[1:]) if data is not None]
    values = (yield from _largest(found)) if found else b""
    record = db.touch_string(argv[1])
    data = hll.new() if record is None else bytearray(_checked(record.value))
    try:
        if any(one[4] == hll.DENSE for one in found):
            hll.make_dense(data)
        for register, value in enumerate(values):
            if value:
                hll.put(data, register, value)
            if register % SETS == SETS - 1 and data[4] == hll.SPARSE:
                yield
    except hll.Damaged:
        return DAMAGED
    data[15] |= 0x80
    db.store(argv[1], bytes(data), record.expire_at if record is not None else 0, b"pfadd")
    return OK


@KEYSPACE.add(
    "PFDEBUG",
    3,
    "write denyoom admin",
    keys=(2, 2, 1),
    group="hyperloglog",
    since="2.8.9",
    summary="Internal commands for debugging HyperLogLog values",
    complexity="N/A",
    syntax="subcommand key",
    categories="write hyperloglog admin slow dangerous",
    key_flags="RW access",
    level=2,
)
def pfdebug(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/pfdebug"""
    record = db.touch_string(argv[2])
    if record is None:
        return NO_KEY
    data = bytearray(_checked(record.value))
    name = argv[1].lower()
    if name not in (b"getreg", b"decode", b"encoding", b"todense"):
        return Error(b"ERR Unknown PFDEBUG subcommand '%b'" % argv[1])
    if len(argv) != 3:
        return Error(b"ERR Wrong number of arguments for the '%b' subcommand" % argv[1])
    was_sparse = data[4] == hll.SPARSE
    if name == b"encoding":
        return Status(b"sparse" if was_sparse else b"dense")
    if name == b"decode":
        if not was_sparse:
            return NOT_SPARSE
        texts = [f"{kind}:{value},{length}" if value else f"{kind}:{length}" for kind, value, length in hll.runs(data)]
        return " ".join(texts).encode()
    values = _registers(bytes(data))
    if was_sparse:
        hll.make_dense(data)
        db.store(argv[2], bytes(data), record.expire_at, b"")
    return list(values) if name == b"getreg" else int(was_sparse)
