"""Both sides of the handshake, without I/O: frames in, frames out, and in the end a Session or a Refusal.

    dialler  -> HELLO       who I am, whom I want, nonce
    acceptor -> CHALLENGE   who I am, nonce                     or REFUSED
    dialler  -> PROOF       I know the secret                   or REFUSED
    acceptor -> ACCEPTED    so do I; messages may follow        or REFUSED

With a cluster secret each proof covers HELLO and CHALLENGE whole (both nonces, ids, the cluster's id, the
addresses) and the direction, and the frames that follow are sealed by keys of that session alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from leto.errors import ProtocolError
from leto.peer.frames import CHECKSUM, Kind, Seal, frame
from leto.peer.greetings import (
    PROTOCOL_VERSION,
    Accepted,
    Challenge,
    Hello,
    Proof,
    Refusal,
    RefusalCode,
    Refused,
    check_address,
    decode,
    decode_hello,
    encode,
    incarnation_mark,
    printable,
    refused_by_peer,
)
from leto.peer.secrecy import ACCEPTOR, DIALLER, Transcript


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a node says of itself at the moment of a handshake."""

    cluster_id: str
    server_id: str
    instance: bytes
    address: str
    client_address: str
    configuration_index: int
    incarnation: str = ""
    level: int = 1  # what it understands
    release: str = ""  # of Leto
    cluster_level: int = 1  # what a member must understand


@dataclass(frozen=True, slots=True)
class Session:
    """A completed handshake: who the other side is, and how frames are checked from now on."""

    server_id: str
    instance: bytes
    address: str  # Raft address it gave ("" from an acceptor: it was dialled)
    client_address: str
    configuration_index: int
    sends: Seal
    receives: Seal
    incarnation: str = ""  # of the dialler's data directory
    level: int = 1  # what it understands
    release: str = ""


class DiallerHandshake:
    """The side that connected."""

    def __init__(
        self, own: Introduction, dialled_id: str, secret: bytes | None, nonce: bytes, *, only_asks: bool = False
    ) -> None:
        """`nonce`: 32 unpredictable bytes, used once. `only_asks`: who is there; a refusal with MET is the answer."""
        self._nonce = nonce
        self._own = own
        self._dialled_id = dialled_id
        self._secret = secret
        self.nonce = nonce
        self._hello = encode(
            Hello(
                PROTOCOL_VERSION,
                own.cluster_id,
                own.server_id,
                dialled_id,
                own.instance,
                nonce,
                secret is not None,
                own.address,
                own.client_address,
                own.configuration_index,
                own.incarnation,
                only_asks,
                own.level,
                own.release,
            )
        )
        self._challenge: Challenge | None = None
        self._transcript: Transcript | None = None
        self.result: Session | Refusal | None = None

    def open(self) -> bytes:
        """The bytes to send first."""
        return frame(Kind.HELLO, self._hello)

    def is_incarnation(self, incarnation: str) -> bool:
        """Whether who answered runs on that data directory, as far as it says so (older versions do not)."""
        mark = self._challenge.incarnation if self._challenge is not None else b""
        return not mark or mark == incarnation_mark(self._nonce, incarnation)

    def receive(self, kind: int, body: bytes) -> bytes:
        """Take one frame; the bytes to send next. Look at `result` then. Raises ProtocolError."""
        if kind == Kind.REFUSED:
            refused = decode(body, Refused)
            if refused.code == RefusalCode.MET and self._challenge is None:
                raise ProtocolError("it says that it is met, and not who it is")
            self._take_refusal(refused)
            return b""
        if kind == Kind.CHALLENGE and self._challenge is None:
            return self._answer(body)
        if kind == Kind.ACCEPTED and self._challenge is not None:
            return self._finish(self._challenge, decode(body, Accepted))
        raise ProtocolError(f"a frame of kind {kind} has no place in the handshake")

    def _answer(self, body: bytes) -> bytes:
        self._challenge = challenge = decode(body, Challenge)
        check_address(challenge.client_address)
        if challenge.server_id != self._dialled_id:
            return self._refuse(
                RefusalCode.WRONG_ID, f"{challenge.server_id!r} answered where {self._dialled_id!r} was dialled"
            )
        refusal = level_refusal(challenge.server_id, challenge.level, self._own.cluster_level)
        if refusal is not None:
            return self._refuse(RefusalCode.LEVEL, refusal.reason)
        if challenge.authenticates != (self._secret is not None):
            return self._refuse(RefusalCode.AUTHENTICATION, secret_mismatch(self._secret is not None))
        if self._secret is None:
            return frame(Kind.PROOF, encode(Proof(b"")))
        self._transcript = Transcript(self._secret, self._hello, body)
        return frame(Kind.PROOF, encode(Proof(self._transcript.proof(DIALLER))))

    def _finish(self, challenge: Challenge, accepted: Accepted) -> bytes:
        transcript = self._transcript
        if transcript is not None and not transcript.proves(accepted.proof, ACCEPTOR):
            return self._refuse(RefusalCode.AUTHENTICATION, "the cluster secrets differ")
        self.result = Session(
            challenge.server_id,
            challenge.instance,
            "",
            challenge.client_address,
            challenge.configuration_index,
            transcript.seal(DIALLER) if transcript else CHECKSUM,
            transcript.seal(ACCEPTOR) if transcript else CHECKSUM,
            level=challenge.level,
            release=printable(challenge.release),
        )
        return b""

    @property
    def peer_level(self) -> int:
        """The level that the peer has told; 0 before it has."""
        return 0 if self._challenge is None else self._challenge.level

    def _take_refusal(self, refused: Refused) -> None:
        transcript = self._transcript
        if self._secret is None:
            proved = True
        else:
            proved = transcript is not None and transcript.proves(refused.proof, ACCEPTOR, refusal_words(refused))
        self.result = refused_by_peer(refused, proved)

    def _refuse(self, code: RefusalCode, reason: str) -> bytes:
        self.result = Refusal(code, reason)
        return frame(Kind.REFUSED, encode(self.result.as_frame_value()))


class AcceptorHandshake:
    """The side that was connected to."""

    def __init__(
        self,
        own: Introduction,
        secret: bytes | None,
        nonce: bytes,
        admit: Callable[[Hello], Refusal | None],
        barred: Refusal | None = None,
        confirms: bool = False,
    ) -> None:
        """`admit` judges a dialler whose identity is proved: None lets it in. `barred`: what every Hello of this
        connection is answered with, whoever it is. `confirms`: nobody is let in before conclude(), since without a
        secret nothing is proved."""
        self._own = own
        self._secret = secret
        self._admit = admit
        self._barred = barred
        self._confirms = confirms
        self._nonce = nonce
        self._hello: Hello | None = None
        self._transcript: Transcript | None = None
        self.claim: Hello | None = None  # by which another cluster's member, as far as it can prove that, dials this id
        self.claimed_id = ""  # who the dialler says it is, proved or not
        self.unconfirmed: Hello | None = None  # all is said: conclude() is waited for
        self.result: Session | Refusal | None = None

    def receive(self, kind: int, body: bytes) -> bytes:
        """Take one frame; the bytes to send next. Look at `result` and `unconfirmed` then. Raises ProtocolError."""
        if kind == Kind.HELLO and self._hello is None:
            return self._challenge(body)
        if kind == Kind.PROOF and self._hello is not None and self.unconfirmed is None:
            return self._judge(self._hello, decode(body, Proof))
        if kind == Kind.REFUSED:
            self.result = refused_by_peer(decode(body, Refused), proved=self._secret is None)
            return b""
        raise ProtocolError(f"a frame of kind {kind} has no place in the handshake")

    def refuse(self, code: RefusalCode, reason: str, configuration_index: int = 0) -> bytes:
        """End the handshake with a refusal; the bytes to send."""
        self.result = refusal = Refusal(code, reason, configuration_index)
        value = refusal.as_frame_value()
        if self._transcript is not None:
            value = refusal.as_frame_value(self._transcript.proof(ACCEPTOR, refusal_words(value)))
        return frame(Kind.REFUSED, encode(value))

    def _challenge(self, body: bytes) -> bytes:
        hello = decode_hello(body)
        own = self._own
        if isinstance(hello, int):
            return self.refuse(
                RefusalCode.VERSION, f"this node speaks version {PROTOCOL_VERSION} of the peers' protocol, not {hello}"
            )
        self.claimed_id = hello.server_id
        barred = self._barred
        is_starting = barred is not None and barred.code == RefusalCode.STARTING
        if barred is not None and not is_starting:
            return self.refuse(RefusalCode(barred.code), barred.reason)
        if hello.cluster_id != own.cluster_id:
            is_claim = hello.dialled_id == own.server_id != hello.server_id and not hello.only_asks
            if not is_claim or hello.authenticates != (self._secret is not None):
                return self._refuse_foreigner()
            if self._secret is None:
                self.claim = hello
                if self._confirms:
                    self.unconfirmed = hello
                    return b""
                return self._refuse_foreigner()
            return self._question(hello, body)
        if barred is not None and not hello.only_asks:
            return self.refuse(RefusalCode(barred.code), barred.reason)
        if hello.server_id == own.server_id:
            if hello.instance == own.instance:
                return self.refuse(RefusalCode.OWN_ID, f"node {own.server_id!r} dialled itself")
            return self.refuse(RefusalCode.OWN_ID, f"this node is {own.server_id!r} too; ids must be unique")
        if hello.dialled_id != own.server_id:
            return self.refuse(RefusalCode.WRONG_ID, f"this node is {own.server_id!r}, not {hello.dialled_id!r}")
        if hello.authenticates != (self._secret is not None):
            return self.refuse(RefusalCode.AUTHENTICATION, secret_mismatch(self._secret is not None))
        return self._question(hello, body)

    def _question(self, hello: Hello, body: bytes) -> bytes:
        own = self._own
        self._hello = hello
        challenge = encode(
            Challenge(
                own.server_id,
                own.instance,
                self._nonce,
                self._secret is not None,
                own.client_address,
                own.configuration_index,
                incarnation_mark(hello.nonce, own.incarnation),
                own.level,
                own.release,
            )
        )
        if self._secret is not None:
            self._transcript = Transcript(self._secret, body, challenge)
        return frame(Kind.CHALLENGE, challenge)

    def _refuse_foreigner(self) -> bytes:
        if self._barred is not None:  # it belongs to no cluster yet
            return self.refuse(RefusalCode(self._barred.code), self._barred.reason)
        return self.refuse(RefusalCode.CLUSTER, f"this node belongs to cluster {self._own.cluster_id}")

    def _judge(self, hello: Hello, proof: Proof) -> bytes:
        transcript = self._transcript
        if transcript is not None and not transcript.proves(proof.proof, DIALLER):
            self._transcript = None  # nothing is proved to one who proved nothing
            return self.refuse(RefusalCode.AUTHENTICATION, "the cluster secrets differ")
        if hello.cluster_id != self._own.cluster_id:
            self.claim = hello
            return self._refuse_foreigner()
        if hello.only_asks:
            return self.refuse(RefusalCode.MET, f"this is {self._own.server_id!r}, as was asked")
        refusal = self._admit(hello)
        if refusal is None and self._confirms:
            self.unconfirmed = hello
            return b""
        return self._end(hello, refusal)

    def conclude(self, unconfirmed: str) -> bytes:
        """The one of `unconfirmed` is who it says ("": judge it again, as time has passed), or why that is not known;
        the bytes to send."""
        hello, self.unconfirmed = self.unconfirmed, None
        if hello is None:
            raise ValueError("nobody waits to be confirmed")
        if hello.cluster_id != self._own.cluster_id:
            if unconfirmed:
                self.claim = None
            return self._refuse_foreigner()
        return self._end(hello, Refusal(RefusalCode.UNCONFIRMED, unconfirmed) if unconfirmed else self._admit(hello))

    def _end(self, hello: Hello, refusal: Refusal | None) -> bytes:
        if refusal is not None:
            return self.refuse(RefusalCode(refusal.code), refusal.reason, refusal.configuration_index)
        transcript = self._transcript
        self.result = Session(
            hello.server_id,
            hello.instance,
            hello.address,
            hello.client_address,
            hello.configuration_index,
            transcript.seal(ACCEPTOR) if transcript else CHECKSUM,
            transcript.seal(DIALLER) if transcript else CHECKSUM,
            hello.incarnation,
            hello.level,
            printable(hello.release),
        )
        return frame(Kind.ACCEPTED, encode(Accepted(transcript.proof(ACCEPTOR) if transcript else b"")))


def refusal_words(refused: Refused) -> bytes:
    """What a refusal's proof covers besides the handshake."""
    return b"refused %d %d" % (refused.code, refused.configuration_index)


def secret_mismatch(has_secret: bool) -> str:
    """The refuser's sentence when one side alone has a secret."""
    if has_secret:
        return "this node has a cluster secret, the other side has none"
    return "this node has no cluster secret, the other side has one"


def admission(server_id: str, admitted: bool, their_index: int, own_index: int) -> Refusal | None:
    """Whether a proved dialler may stay. A stranger who knows a newer configuration than this node may be a member
    of it (a node that lags must hear a leader it has not heard of: dissertation 4.1), so only one who does not is
    refused."""
    if admitted or their_index > own_index:
        return None
    return Refusal(
        RefusalCode.UNKNOWN_MEMBER,
        f"{server_id!r} is no member of the cluster (configuration {own_index})",
        own_index,
    )


def level_refusal(server_id: str, level: int, cluster_level: int) -> Refusal | None:
    """A node that understands less than the members have agreed on would not know what it reads."""
    if level >= cluster_level:
        return None
    return Refusal(
        RefusalCode.LEVEL,
        f"{server_id!r} understands level {level}, this cluster is at level {cluster_level}: "
        "start a newer version of Leto there",
    )


def protection(server_id: str) -> Refusal:
    """What nodes on other hosts are told in protected mode."""
    return Refusal(
        RefusalCode.PROTECTED,
        f"node {server_id!r} is in protected mode: it has no cluster secret and takes peers "
        "from its own host only. Give all nodes one secret (--cluster-secret-file), or switch protected mode off",
    )
