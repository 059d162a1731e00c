"""What a log entry may hold: what peers forward to be appended, and what the state machine meets."""

from __future__ import annotations

import hiredis

from leto.errors import InapplicableEntry, RequestRefused
from leto.keyspace import batch
from leto.keyspace.admission import check_requests
from leto.keyspace.execution import FAULT
from leto.keyspace.machine import Machine
from leto.raft.messages import Entry, EntryKind
from leto.vocabulary.levels import BASE
from leto.vocabulary.registry import KEYSPACE
from tests.fuzz.source import Source

NOW = 1_700_000_000_000
WORDS = (
    *(b"SET", b"set", b"APPEND", b"DEL", b"EXPIRE", b"SETRANGE", b"INCRBYFLOAT", b"RENAME", b"COPY", b"GET", b"KEYS"),
    *(b"MULTI", b"EXEC", b"EXPIRED", b"OBJECT", b"ENCODING", b"NOSUCH", b"a", b"b", b"", b"1", b"-1", b"17"),
    *(b"9223372036854775807", b"1e400", b"nan", b"PX", b"NX", b"\xff\x00", b"*1234567", b"\r\n"),
)


def _requests(source: Source) -> bytes:
    """Requests made of those words, some of them spoilt."""
    made = b""
    for _ in range(source.byte() % 5):
        words = tuple(source.choice(WORDS) for _ in range(1 + source.byte() % 5))
        made += hiredis.pack_command(words)  # type: ignore[arg-type]
    spoil = source.byte()
    if spoil < 100 and made:
        at = source.byte() % len(made)
        made = made[:at] + source.bytes(source.byte() % 4) + made[at + spoil % 3 :]
    return made


def _machine() -> Machine:
    machine = Machine(random=lambda: 0.5)
    setup = hiredis.pack_command((b"SET", b"a", b"1"))  # type: ignore[arg-type]
    machine.apply(Entry(1, 1, EntryKind.COMMAND, batch.encode(NOW, 1, setup)))
    return machine


def forwarded(data: bytes) -> None:
    """What a leader lets through applies, with one reply a request, and no command fails in an unforeseen way."""
    source = Source(data)
    count = source.number() if source.byte() > 200 else source.byte() % 6
    requests = source.rest() if source.byte() > 200 else _requests(source)
    try:
        check_requests(requests, count, commands=KEYSPACE, longest=200, level=BASE)
    except RequestRefused as error:
        assert "\n" not in str(error) and "\r" not in str(error)
        return
    machine = _machine()
    faults: list[object] = []
    machine.on_fault = lambda name, error: faults.append(error)
    payload = batch.encode(NOW, count, requests)
    assert len(machine.apply(Entry(2, 1, EntryKind.COMMAND, payload)).replies) == count
    assert not faults


def entries(data: bytes) -> None:
    """Any payload applies, or is refused by its own error with nothing changed: and so on another node."""
    source = Source(data)
    made = source.byte()
    if made < 100:
        head = batch.HEADER.pack(source.choice((1, 1, 2, 2, 0, 3)), NOW, source.byte() % 6)
        payload = head + (_requests(source) if made < 60 else source.rest())
    else:
        payload = source.rest()
    machine, other = _machine(), _machine()
    before = machine.digest()
    entry = Entry(2, 1, EntryKind.COMMAND, payload)
    try:
        replies = machine.apply(entry).replies
    except InapplicableEntry:
        assert machine.digest() == before
        try:
            other.apply(entry)
        except InapplicableEntry:
            machine.skip(2)
            machine.apply(Entry(3, 1, EntryKind.COMMAND, batch.encode(NOW, 0, b"")))
            return
        raise AssertionError("one node applies what another cannot") from None
    assert len(replies) == batch.decode_header(payload)[2]
    assert FAULT not in replies
    assert other.apply(entry).replies == replies
    assert other.digest() == machine.digest()


def _packed(*words: bytes) -> bytes:
    return hiredis.pack_command(words)  # type: ignore[arg-type]


FORWARDED_SEEDS = [
    bytes([0, 1, 255]) + _packed(b"SET", b"a", b"b"),
    bytes([0, 1, 255]) + _packed(b"MULTI", b"1", b"a") + _packed(b"SET", b"a", b"b") + _packed(b"EXEC"),
    bytes([0, 2, 255]) + _packed(b"APPEND", b"a", b"b") + _packed(b"GET", b"a"),
    bytes([255, 210, 255]) + _packed(b"DEL", b"a"),
    bytes([0, 1, 0, 1, 2, 0, 17, 18, 200]),
    bytes([0, 2, 0, 2, 4, 5, 2, 17, 22, 3, 17, 200]),
    bytes([0, 1, 0, 3, 0, 11, 2, 0, 17, 18, 0, 12, 200]),
]
ENTRY_SEEDS = [
    bytes([255]) + batch.encode(NOW, 1, _packed(b"SET", b"a", b"b")),
    bytes([255]) + batch.encode(NOW, 1, _packed(b"SET", b"a", b"b", b"NX")),
    bytes([255]) + batch.encode(NOW, 1, _packed(b"MULTI") + _packed(b"SET", b"a", b"b") + _packed(b"EXEC")),
    bytes([255]) + batch.encode(NOW, 2, _packed(b"SET", b"a", b"b") + b"*1\r\n%1\r\n+a\r\n#t\r\n"),
    bytes([255]) + batch.encode(NOW, 1, b"*2147483647\r\n$1\r\na\r\n"),
    bytes([0, 0, 2, 2, 2, 0, 17, 18, 2, 4, 17, 18, 200]),
    bytes([70, 2, 1]) + b"$1\r\na\r\n$1\r\nb\r\n",
]
