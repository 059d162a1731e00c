"""What a client may send: the request readers, and a whole session over a node in memory."""

from __future__ import annotations

import sys
from pathlib import Path

import hiredis

from leto.errors import ProtocolError
from leto.resp.codec import RequestReader, pack
from leto.resp.strict import StrictReader
from tests.fuzz.source import cut_source

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "resp"))
from tests.clients.conversation import Node

LIMIT = 1 << 20
CUTS = bytes(10)
HABITS = [
    b"*1\r\n$4\r\nPING\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
    b"SET k 'a b'\r\nGET k\r\n",
    b"*2\r\n$3\r\nGET\r\n$01\r\na\r\n",
    b"*0\r\n*-1\r\n\r\n*1\rX$4\rXPINGzz",
    b"*2147483647\r\n$536870912\r\nx",
    b"MULTI\r\nINCR n\r\nWATCH k\r\nEXEC\r\nDISCARD\r\n",
    b"HELLO 3\r\nCLIENT REPLY SKIP\r\nMGET a b\r\nRESET\r\nAUTH x y\r\n",
    b"*1\r\n$1000\r\n" + b"x" * 90,
]
SEEDS = [CUTS + data for data in HABITS] + [bytes([8, *range(3, 12)]) + data * 2 for data in HABITS]


def readers(data: bytes) -> None:
    """The fast path, however the bytes are cut, gives what the strict reader gives at once, and the same error."""
    source, stream = cut_source(data)
    strict = StrictReader(LIMIT)
    strict.push(stream)
    expected, error = [], None
    try:
        while (request := strict.next()) is not None:
            expected.append(request)
    except ProtocolError as problem:
        error = str(problem)
    reader = RequestReader(LIMIT)
    found, raw = [], b""
    for piece in source.cuts(stream):
        found += [list(request) for request in reader.feed(piece)]
        raw += reader.raw
    assert found == expected, (found, expected)
    assert reader.error == error, (reader.error, error)
    assert raw == b"".join(pack(tuple(request)) for request in expected)
    if error is None:
        assert reader.buffered <= 66 * len(stream) + 64, "more is kept than came"


def session(data: bytes) -> None:
    """Whatever comes is answered with whole replies, in any cut the same, and no exception gets out."""
    source, stream = cut_source(data)
    password = "secret" if source.byte() & 1 else None
    answers = []
    for pieces in ([stream], source.cuts(stream)):
        client = Node(password=password).client()
        heard = b""
        for piece in pieces:
            client.send(piece)
            heard += client.hear()
        if not client.is_closed and not client.session.queue.blocked:
            client.send(b"")
        reader = hiredis.Reader()
        reader.feed(heard)
        while reader.gets() is not False:
            pass
        assert not reader.has_data(), "half a reply"
        answers.append((heard, client.is_closed))
    if not any(word in stream.upper() for word in TELLING):
        assert answers[0] == answers[1], answers


# Commands whose reply tells of the connection, of counters or of the memory that a request in pieces takes.
TELLING = (b"CLIENT", b"INFO", b"HELLO", b"MEMORY", b"SLOWLOG", b"LATENCY", b"COMMAND", b"SHUTDOWN", b"DEBUG", b"RAFT")
