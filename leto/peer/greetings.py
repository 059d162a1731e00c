"""The handshake's frames as values, and every reason for which a node refuses another. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from leto.config import Address, is_server_id
from leto.errors import ProtocolError

PROTOCOL_VERSION: Final = 1

Nonce = Annotated[bytes, Meta(min_length=32, max_length=32)]
Instance = Annotated[bytes, Meta(min_length=16, max_length=16)]
ShortText = Annotated[str, Meta(max_length=300)]
Index = Annotated[int, Meta(ge=0, le=1 << 62)]
Level = Annotated[int, Meta(ge=1, lt=1 << 31)]
Proved = Annotated[bytes, Meta(max_length=32)]


class RefusalCode(IntEnum):
    VERSION = 1  # another version of this protocol
    CLUSTER = 2  # another cluster
    WRONG_ID = 3  # not the node that was dialled
    OWN_ID = 4  # the dialler has the acceptor's id
    UNKNOWN_MEMBER = 5  # in no configuration that the refuser knows
    AUTHENTICATION = 6  # another secret, or one side has none
    DUPLICATE_ID = 7  # another process with that id is connected
    PROTECTED = 8  # no secret, and not from this host
    STARTING = 9  # not ready to be talked to yet
    UNCONFIRMED = 10  # no secret, and the member at its own address knows nothing of this connection
    MET = 11  # no fault: the dialler only asked who is there
    LEVEL = 12  # it understands less than the members have agreed on


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """Dialler: who I am and whom I want. The first field tells the version, whatever follows it."""

    version: int
    cluster_id: ShortText
    server_id: ShortText
    dialled_id: ShortText
    instance: Instance  # drawn when the process started: tells a reconnection from a second node of that id
    nonce: Nonce
    authenticates: bool  # a cluster secret is configured
    address: ShortText  # my Raft port, to dial back; its host may be empty: where I come from
    client_address: ShortText  # my Redis port, "" when unknown
    configuration_index: Index  # of the newest configuration I know
    incarnation: ShortText = ""  # of my data directory, "" for a bootstrapped one
    only_asks: bool = False  # who is there: refuse me with MET once that is proved
    level: Level = 1  # what I understand (leto.vocabulary.levels)
    release: ShortText = ""  # of Leto, for people


class Challenge(msgspec.Struct, frozen=True, array_like=True):
    """Acceptor: who I am; prove that you know the secret."""

    server_id: ShortText
    instance: Instance
    nonce: Nonce
    authenticates: bool
    client_address: ShortText
    configuration_index: Index
    incarnation: Proved = b""  # incarnation_mark() of my data directory; empty from older versions
    level: Level = 1  # what I understand
    release: ShortText = ""


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """Dialler. Empty without a secret."""

    proof: Proved


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    """Acceptor: its own proof. Messages may follow."""

    proof: Proved


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """Either side, at any time, just before it closes. `proof` is empty before the secret was proved."""

    code: int
    reason: ShortText
    configuration_index: Index = 0  # UNKNOWN_MEMBER: of the configuration that leaves the other out
    proof: Proved = b""


class Vouch(msgspec.Struct, frozen=True, array_like=True):
    """Somebody without a secret says it is `claimed_id`. To that member: is that connection yours? To another: where
    is it? Its first fields are those of a Hello."""

    version: int
    cluster_id: ShortText
    asker_id: ShortText
    claimed_id: ShortText
    incarnation: ShortText  # that the other one gave
    nonce: Nonce  # of the other one's Hello


class Vouched(msgspec.Struct, frozen=True, array_like=True):
    """`dialled`: it is this node's own, which sent that nonce to the asker. `address`: where the claimed member, if it
    is one of that incarnation, is dialled; "" when unknown."""

    dialled: bool
    address: ShortText = ""


class _VersionOnly(msgspec.Struct, frozen=True, array_like=True):
    version: int


_encoder: Final = msgspec.msgpack.Encoder()
_version: Final = msgspec.msgpack.Decoder(_VersionOnly)
T = TypeVar("T")
MALFORMED_DATA: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError)


def encode(greeting: Hello | Challenge | Proof | Accepted | Refused | Vouch | Vouched) -> bytes:
    """The body of its frame."""
    return _encoder.encode(greeting)


def decode(body: bytes, kind: type[T]) -> T:
    """Raises ProtocolError."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except MALFORMED_DATA as error:
        raise ProtocolError(f"a malformed {kind.__name__}: {error}") from None


def decode_hello(body: bytes) -> Hello | int:
    """The Hello, or the version that it speaks if that is another one. Raises ProtocolError."""
    try:
        version = _version.decode(body).version
    except MALFORMED_DATA as error:
        raise ProtocolError(f"a malformed Hello: {error}") from None
    if version != PROTOCOL_VERSION:
        return version
    hello = decode(body, Hello)
    check_server_id(hello.server_id)
    check_server_id(hello.dialled_id)
    check_address(hello.address)
    check_address(hello.client_address)
    return hello


def incarnation_mark(nonce: bytes, incarnation: str) -> bytes:
    """16 bytes by which who knows that incarnation recognises it, and nobody learns it. `nonce`: the dialler's."""
    return hashlib.sha256(b"leto incarnation\0" + nonce + incarnation.encode()).digest()[:16]


def check_server_id(text: str) -> None:
    """Raise ProtocolError unless a node may be called that."""
    if not is_server_id(text):
        raise ProtocolError(f"{text[:64]!r} is no id of a node")


def check_address(text: str) -> None:
    """Raise ProtocolError unless it is "" or host:port."""
    if text:
        try:
            Address.parse(text)
        except ValueError as error:
            raise ProtocolError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection did not come about."""

    code: int
    reason: str
    configuration_index: int = 0
    by_peer: bool = False  # else by this node
    proved: bool = True  # the refuser proved that it knows the secret (always so without a secret)

    def as_frame_value(self, proof: bytes = b"") -> Refused:
        """What is sent to the other side."""
        return Refused(int(self.code), self.reason[:300], self.configuration_index, proof)


def printable(text: str) -> str:
    """A peer's words, made fit for a log line."""
    return "".join(c if c.isprintable() else "?" for c in text)


def refused_by_peer(refused: Refused, proved: bool) -> Refusal:
    """A received refusal, its words made fit for a log line."""
    return Refusal(refused.code, printable(refused.reason), refused.configuration_index, by_peer=True, proved=proved)


def describe(value: Any) -> str:
    """A code's name, or its number if it is of a later version."""
    try:
        return RefusalCode(value).name.lower().replace("_", " ")
    except ValueError:
        return f"code {value}"
