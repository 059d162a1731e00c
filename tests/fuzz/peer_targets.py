"""What may come in at the peers' port: frames, handshakes, messages, and the core that takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from leto.errors import ProtocolError
from leto.peer import frames, greetings, requests
from leto.peer.frames import Assembler, FrameReader, Kind, frame
from leto.peer.greetings import Accepted, Challenge, Hello, Proof, Refused, Vouch, encode
from leto.peer.handshake import AcceptorHandshake, DiallerHandshake, Introduction, Session
from leto.peer.secrecy import DIALLER, Transcript
from leto.peer.wire_messages import decode_message, encode_message
from leto.raft import configuration
from leto.raft.configuration import Configuration, Member
from leto.raft.invariants import check
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    InstallSnapshot,
    Message,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNow,
)
from leto.raft.node import Node
from tests.fuzz.source import Source, cut_source
from tests.raft.small_cluster import Cluster

CLUSTER = "0123456789abcdef" * 2
A = Introduction(CLUSTER, "a", b"a" * 16, "h:1", "h:2", 7)
B = Introduction(CLUSTER, "b", b"b" * 16, "h:3", "h:4", 9)
SECRET = b"secret"


def _frames_of(source: Source) -> Iterator[tuple[int, bytes]]:
    while source.left:
        kind = source.choice((*Kind, 0, 99))
        yield kind, source.bytes(source.byte())


def frame_reader(data: bytes) -> None:
    """Cut anywhere the stream gives the same frames and the same error; only ProtocolError comes out."""
    source, stream = cut_source(data)
    if source.byte() & 1:  # frames whose checks are right, with whatever in them
        stream = b"".join(frame(kind, body) for kind, body in _frames_of(Source(stream)))
    opened, sealed = source.byte() & 1, source.byte() & 1
    seal = Transcript(SECRET, b"h", b"c").seal(DIALLER) if sealed else frames.CHECKSUM

    def read(pieces: list[bytes]) -> tuple[list[Any], list[Any], str]:
        reader, assembler = FrameReader(), Assembler(1000)
        if opened:
            reader.open(Transcript(SECRET, b"h", b"c").seal(DIALLER) if sealed else seal)
        found: list[Any] = []
        whole: list[Any] = []
        try:
            for piece in pieces:
                for kind, body in reader.feed(piece):
                    found.append((kind, body))
                    if kind == Kind.FIRST:
                        assembler.first(body)
                    elif kind == Kind.MORE and (message := assembler.more(body)) is not None:
                        whole.append(message)
        except ProtocolError as error:
            return found, whole, str(error)
        return found, whole, ""

    assert read([stream]) == read(source.cuts(stream))


def handshake(data: bytes) -> None:
    """Both sides take any frames in any order; nobody who does not know the secret gets in, nor one who waits to be
    confirmed."""
    source = Source(data)
    chosen = source.byte()
    secret = SECRET if chosen & 1 else None
    confirms = bool(chosen & 2) and secret is None
    side = (
        AcceptorHandshake(B, secret, b"\2" * 32, lambda hello: None, None, confirms)
        if source.byte() & 1
        else DiallerHandshake(A, "b", secret, b"\1" * 32)
    )
    try:
        while source.left and side.result is None:
            kind, body = source.choice((*Kind, 0)), source.bytes(source.byte())
            if source.byte() & 1:
                body = encode(_greeting(source, kind))
            if kind == Kind.VOUCH:
                greetings.decode(body, Vouch)
            out = side.receive(kind, body)
            for _ in FrameReader().feed(out):
                pass
    except ProtocolError as error:
        assert "\n" not in str(error) and "\r" not in str(error)
    if isinstance(side.result, Session):
        assert secret is None, "somebody without the secret was let in"
        assert not (confirms and isinstance(side, AcceptorHandshake)), "somebody was let in unconfirmed"
        assert side.result.server_id == ("a" if isinstance(side, AcceptorHandshake) else "b") or isinstance(
            side, AcceptorHandshake
        )


def _greeting(source: Source, kind: int) -> Any:
    name = source.choice(("a", "b", "c", "", "../x", "a\r\nb", "x" * 300))
    address = source.choice(("", "h:1", "[::1]:5", "nowhere", "h:99999", ":0"))
    if kind == Kind.CHALLENGE:
        return Challenge(name, b"i" * 16, b"n" * 32, bool(source.byte() & 1), address, source.number())
    if kind == Kind.VOUCH:
        return Vouch(1, CLUSTER, name, name, name, b"n" * 32)
    if kind == Kind.PROOF:
        return Proof(source.bytes(32))
    if kind == Kind.ACCEPTED:
        return Accepted(source.bytes(32))
    if kind == Kind.REFUSED:
        return Refused(source.number(), name, source.number(), source.bytes(32))
    return Hello(
        source.choice((1, 1, 1, 0, 2)),
        source.choice((CLUSTER, CLUSTER, "f" * 32)),
        name,
        source.choice(("b", "b", "c", "")),
        b"i" * 16,
        b"n" * 32,
        bool(source.byte() & 1),
        address,
        address,
        source.number(),
        name,
    )


def messages(data: bytes) -> None:
    """Every decoder of what peers send refuses with its own error, or gives back what encodes to the same value."""
    for decode, back, refusal in (
        (decode_message, encode_message, ProtocolError),
        (requests.decode_request, requests.encode, ProtocolError),
        (requests.decode_answer, requests.encode, ProtocolError),
        (configuration.decode, configuration.encode, ValueError),
    ):
        try:
            value = decode(data)
        except refusal:
            continue
        assert decode(back(value)) == value  # type: ignore[operator]
    try:
        replies = requests.decode_replies(data)
    except ProtocolError:
        return
    assert isinstance(replies, list)


def _entry(source: Source, index: int) -> Entry:
    kind = source.choice((*EntryKind, EntryKind.COMMAND, 3, 200))
    payload = source.bytes(source.byte() % 8)
    if kind == EntryKind.CONFIGURATION and source.byte() & 1:
        members = tuple(
            Member(i, f"{i}:1", bool(source.byte() & 1)) for i in sorted({source.choice("abcd") for _ in "12"})
        )
        payload = configuration.encode(Configuration(members))
    return Entry(index + (source.byte() > 250), source.number(), int(kind), payload)


def _message(source: Source) -> Message:
    sender, to = source.choice(("b", "c", "b", "c", "x", "a", "")), source.choice("aaaaab")
    n = source.number
    kind = source.byte() % 8
    if kind == 0:
        prev = n()
        entries = tuple(_entry(source, prev + i + 1) for i in range(source.byte() % 4))
        return AppendEntries(sender, to, n(), prev, n(), n(), entries, n(), bool(source.byte() & 1), n(), False, n())
    if kind == 1:
        return AppendEntriesReply(sender, to, n(), bool(source.byte() & 1), n(), n(), n(), n(), n(), n(), n())
    if kind == 2:
        return RequestVote(sender, to, n(), n(), n(), bool(source.byte() & 1), bool(source.byte() & 1))
    if kind == 3:
        return RequestVoteReply(sender, to, n(), bool(source.byte() & 1), bool(source.byte() & 1), n(), n())
    if kind == 4:
        return TimeoutNow(sender, to, n())
    if kind == 5:
        return ReadIndex(sender, to, n(), n())
    if kind == 6:
        return ReadIndexReply(sender, to, n(), n(), n(), n())
    members = (Member("a", "a:1", True), Member("b", "b:1", bool(source.byte() & 1)))
    return InstallSnapshot(sender, to, n(), SnapshotMeta(n(), n(), Configuration(members), n()))


def core(data: bytes) -> None:
    """A node of three takes whatever its peers send: it refuses, having changed nothing, or keeps its invariants;
    nothing committed changes."""
    source = Source(data)
    cluster = Cluster(["a", "b", "c"], lease=bool(source.byte() & 1))
    cluster.elect(source.choice("ab"))
    for number in range(source.byte() % 4):
        cluster.leader().propose(b"%d" % number, cluster.now)
        cluster.run()
    cluster.cut = {"b", "c"}
    node, disk = cluster.nodes["a"], cluster.disks["a"]
    committed = list(disk.stored[: node.commit])
    while source.left:
        what = source.byte()
        if what < 30:
            cluster.now += 0.3
            node.tick(cluster.now)
        elif what < 40:
            cluster.run()
        else:
            message = _message(source)
            before = _all_of(node)
            try:
                if what < 128 and not isinstance(message, InstallSnapshot):
                    message = decode_message(encode_message(message))
                node.step(message, cluster.now)
            except (ProtocolError, OverflowError) as error:
                assert isinstance(error, ProtocolError) or "msgspec" in str(error) or what < 128, error
                assert _all_of(node) == before, f"refused, and yet changed: {message}"
        check(node)
        assert node.commit >= len(committed)
    cluster.run()
    kept = disk.stored[max(0, len(committed) - len(disk.stored)) : len(committed)]
    if disk.first_index == 1:
        assert kept == committed, "a committed entry changed"


def _all_of(node: Node) -> tuple[Any, ...]:
    s = node._state
    return s.term, s.vote, s.role, s.commit, s.log.last_index, s.term_leader, len(s.messages), s.configuration


def _seeds_of_messages() -> list[bytes]:
    samples: list[Any] = [
        AppendEntries("b", "a", 3, 4, 2, 4, (Entry(5, 3, 1, b"x"), Entry(6, 3, 2, b"")), 7, True, 99, False, 800),
        AppendEntriesReply("b", "a", 3, False, 0, 4, 2, 1, 7, 800),
        RequestVote("b", "a", 3, 4, 2, True),
        RequestVoteReply("b", "a", 3, True),
        ReadIndex("b", "a", 3, 4),
        ReadIndexReply("b", "a", 3, 4, 5, 6),
    ]
    found = [encode_message(sample) for sample in samples]
    found += [
        requests.encode(requests.Forward(b"*1\r\n$4\r\nPING\r\n", 1)),
        requests.encode(requests.ForwardInTerm(b"*1\r\n$4\r\nPING\r\n", 1, 3)),
        requests.encode(requests.StatusQuery()),
        requests.encode(requests.SnapshotChunk(1, 2, b"abc")),
        requests.encode(requests.ForwardReply(0, requests.encode_replies([b"a", 1, None, [b"x", {b"k": 2}]]))),
        requests.encode_replies([b"a", 1, None, [b"x", {b"k": 2.5}], True]),
        configuration.encode(Configuration((Member("a", "h:1", True), Member("b", "h:2", False)))),
        msgspec.msgpack.encode([1, [[[[[[]]]]]], {"a": {}}]),
    ]
    return found


HELLO = encode(Hello(1, CLUSTER, "a", "b", b"i" * 16, b"n" * 32, False, "h:1", "", 5))
FRAME_SEEDS = [
    bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) + frame(Kind.HELLO, HELLO),
    bytes([1, 0, 0, 3, 5, 9, 2, 0, 0, 0]) + bytes([0, 3]) + b"abc" + bytes([9, 20]) + b"y" * 20,
    bytes([1, 1, 0, 8, 1, 2, 3, 4, 5, 6])
    + bytes([10, 14, 1, 8, 0, 0, 0, 0, 0, 0, 0, 8])
    + b"1234"
    + bytes([11, 5, 1])
    + b"5678",
    bytes([0, 1, 1, 4, 4, 4, 4, 4, 0, 0]) + frame(Kind.PING, b"", Transcript(SECRET, b"h", b"c").seal(DIALLER)),
    bytes(10) + b"\x80" + bytes(7) + b"\x01",
]
HANDSHAKE_SEEDS = [
    bytes([0, 1, 0, len(HELLO)]) + HELLO + bytes([0, 2, 3]) + b"\x91\xc4\x00" + bytes([0]),
    bytes([1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]),
    bytes([0, 0, 1, 0, 1, 1, 0, 0, 1, 3, 0, 1]),
]
MESSAGE_SEEDS = _seeds_of_messages()
CORE_SEEDS = [bytes([i % 2, 1, 2, *([100 + i // 2] * 3), *range(i, i + 40)]) for i in range(0, 200, 13)]
