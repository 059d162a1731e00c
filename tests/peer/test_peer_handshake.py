"""The handshake's two sides, wired together in memory; every way it can end."""

from __future__ import annotations

import hmac
from dataclasses import replace
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.errors import ProtocolError
from leto.peer.frames import FrameReader, Kind
from leto.peer.greetings import (
    Accepted,
    Challenge,
    Hello,
    Proof,
    Refusal,
    RefusalCode,
    Refused,
    decode,
    encode,
)
from leto.peer.handshake import AcceptorHandshake, DiallerHandshake, Introduction, Session, admission

CLUSTER = "0123456789abcdef" * 2
A = Introduction(CLUSTER, "id1", b"a" * 16, ":15379", "127.0.0.1:5379", 7)
B = Introduction(CLUSTER, "id2", b"b" * 16, "host.example:16379", "127.0.0.1:6379", 9)
NONCE_A, NONCE_B = b"\x01" * 32, b"\x02" * 32


def frames(data):
    return list(FrameReader().feed(data))


def shake(dialler, acceptor, tamper=lambda direction, kind, body: (kind, body)):
    """Pass frames to and fro until nobody has any; all that went over the wire."""
    wire = []
    to_acceptor, to_dialler = dialler.open(), b""
    while to_acceptor or to_dialler:
        sent, to_acceptor = to_acceptor, b""
        for kind, body in frames(sent):
            wire.append((kind, body))
            to_dialler += acceptor.receive(*tamper(">", kind, body))
        sent, to_dialler = to_dialler, b""
        for kind, body in frames(sent):
            wire.append((kind, body))
            to_acceptor += dialler.receive(*tamper("<", kind, body))
    return wire


def sides(own=A, dialled="id2", acceptor=B, secrets=(None, None), admit=lambda hello: None, barred=None):
    return (
        DiallerHandshake(own, dialled, secrets[0], NONCE_A),
        AcceptorHandshake(acceptor, secrets[1], NONCE_B, admit, barred),
    )


@pytest.mark.parametrize("secret", [None, b"s3cret"])
def test_both_sides_learn_who_the_other_is(secret):
    dialler, acceptor = sides(secrets=(secret, secret))
    wire = shake(dialler, acceptor)
    assert [kind for kind, _ in wire] == [Kind.HELLO, Kind.CHALLENGE, Kind.PROOF, Kind.ACCEPTED]
    ours, theirs = dialler.result, acceptor.result
    assert isinstance(ours, Session) and isinstance(theirs, Session)
    assert (ours.server_id, ours.instance, ours.client_address, ours.configuration_index) == (
        "id2",
        b"b" * 16,
        "127.0.0.1:6379",
        9,
    )
    assert (theirs.server_id, theirs.instance, theirs.address, theirs.client_address) == (
        "id1",
        b"a" * 16,
        ":15379",
        "127.0.0.1:5379",
    )
    assert theirs.receives.holds(ours.sends.header.unpack(ours.sends.head(Kind.PING, b""))[1], Kind.PING, b"")
    assert ours.receives.holds(theirs.sends.header.unpack(theirs.sends.head(Kind.PONG, b""))[1], Kind.PONG, b"")


def test_the_greetings_byte_by_byte():
    hello = Hello(1, "c", "a", "b", b"i" * 16, b"n" * 32, False, ":1", "", 5)
    assert encode(hello) == (
        b"\x9e\x01\xa1c\xa1a\xa1b\xc4\x10" + b"i" * 16 + b"\xc4\x20" + b"n" * 32 + b"\xc2\xa2:1\xa0\x05\xa0\xc2\x01\xa0"
    )
    challenge = Challenge("b", b"i" * 16, b"n" * 32, True, "", 300)
    assert (
        encode(challenge)
        == b"\x99\xa1b\xc4\x10" + b"i" * 16 + b"\xc4\x20" + b"n" * 32 + b"\xc3\xa0\xcd\x01\x2c\xc4\x00\x01\xa0"
    )
    assert encode(Proof(b"")) == b"\x91\xc4\x00"
    assert encode(Accepted(b"x")) == b"\x91\xc4\x01x"
    assert encode(Refused(5, "no", 17, b"")) == b"\x94\x05\xa2no\x11\xc4\x00"


def test_the_proofs_are_what_the_specification_says():
    dialler, acceptor = sides(secrets=(b"s", b"s"))
    (_, hello), (_, challenge), (_, proof), (_, accepted) = shake(dialler, acceptor)
    seen = sha256(hello).digest() + sha256(challenge).digest()
    assert decode(proof, Proof).proof == hmac.digest(b"s", b"leto peer 1 proof dialler\0" + seen, "sha256")
    assert decode(accepted, Accepted).proof == hmac.digest(b"s", b"leto peer 1 proof acceptor\0" + seen, "sha256")


REFUSALS = [
    ("another cluster", {"own": replace(A, cluster_id="f" * 32)}, RefusalCode.CLUSTER, "acceptor"),
    ("whom it did not dial", {"dialled": "id3"}, RefusalCode.WRONG_ID, "acceptor"),
    ("its own id", {"own": replace(A, server_id="id2")}, RefusalCode.OWN_ID, "acceptor"),
    ("itself", {"own": replace(B), "dialled": "id2"}, RefusalCode.OWN_ID, "acceptor"),
    ("a secret here only", {"secrets": (None, b"s")}, RefusalCode.AUTHENTICATION, "acceptor"),
    ("a secret there only", {"secrets": (b"s", None)}, RefusalCode.AUTHENTICATION, "acceptor"),
    ("another secret", {"secrets": (b"s", b"t")}, RefusalCode.AUTHENTICATION, "acceptor"),
    (
        "a stranger",
        {"admit": lambda hello: admission(hello.server_id, False, hello.configuration_index, 9)},
        RefusalCode.UNKNOWN_MEMBER,
        "acceptor",
    ),
    (
        "a namesake",
        {"admit": lambda hello: Refusal(RefusalCode.DUPLICATE_ID, "twice")},
        RefusalCode.DUPLICATE_ID,
        "acceptor",
    ),
    ("protected mode", {"barred": Refusal(RefusalCode.PROTECTED, "stay out")}, RefusalCode.PROTECTED, "acceptor"),
    ("starting", {"barred": Refusal(RefusalCode.STARTING, "later")}, RefusalCode.STARTING, "acceptor"),
]


@pytest.mark.parametrize(("options", "code", "refuser"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_refusal_reaches_the_other_side_with_its_reason(options, code, refuser):
    dialler, acceptor = sides(**options)
    shake(dialler, acceptor)
    for side, name in ((dialler, "dialler"), (acceptor, "acceptor")):
        assert isinstance(side.result, Refusal)
        assert side.result.code == code
        assert side.result.reason
        assert side.result.by_peer is (name != refuser)
    assert dialler.result.reason == acceptor.result.reason


def test_a_removed_member_learns_the_configuration_that_left_it_out():
    for secret in (None, b"s"):
        dialler, acceptor = sides(
            secrets=(secret, secret),
            admit=lambda hello: admission(hello.server_id, False, hello.configuration_index, 9),
        )
        shake(dialler, acceptor)
        assert dialler.result.configuration_index == 9
        assert dialler.result.proved


def test_with_a_secret_a_refusal_that_is_not_proved_is_marked_so():
    forged = encode(Refused(RefusalCode.UNKNOWN_MEMBER, "you are out", 99, b"x" * 32))
    early = DiallerHandshake(A, "id2", b"s", NONCE_A)
    early.open()
    early.receive(Kind.REFUSED, forged)
    assert not early.result.proved

    def forge(direction, kind, body):
        return (Kind.REFUSED, forged) if kind == Kind.ACCEPTED else (kind, body)

    late, acceptor = sides(secrets=(b"s", b"s"))
    shake(late, acceptor, forge)
    assert not late.result.proved


def test_a_proved_refusal_cannot_be_given_another_meaning():
    def raise_index(direction, kind, body):
        if kind == Kind.REFUSED:
            refused = decode(body, Refused)
            body = encode(msgspec.structs.replace(refused, configuration_index=1000))
        return kind, body

    dialler, acceptor = sides(
        secrets=(b"s", b"s"), admit=lambda hello: admission(hello.server_id, False, hello.configuration_index, 9)
    )
    shake(dialler, acceptor, raise_index)
    assert not dialler.result.proved


def test_an_impostor_at_the_dialled_address_is_turned_down():
    dialler, _ = sides()
    dialler.open()
    out = dialler.receive(Kind.CHALLENGE, encode(Challenge("id9", b"i" * 16, NONCE_B, False, "", 0)))
    assert dialler.result.code == RefusalCode.WRONG_ID
    assert frames(out)[0][0] == Kind.REFUSED


def test_an_acceptor_without_the_secret_is_found_out():
    dialler, _ = sides(secrets=(b"s", None))
    dialler.open()
    dialler.receive(Kind.CHALLENGE, encode(Challenge("id2", b"i" * 16, NONCE_B, True, "", 0)))
    dialler.receive(Kind.ACCEPTED, encode(Accepted(b"y" * 32)))
    assert dialler.result.code == RefusalCode.AUTHENTICATION
    plain, _ = sides(secrets=(b"s", None))
    plain.open()
    plain.receive(Kind.CHALLENGE, encode(Challenge("id2", b"i" * 16, NONCE_B, False, "", 0)))
    assert plain.result.code == RefusalCode.AUTHENTICATION


def test_a_replayed_handshake_proves_nothing():
    dialler, acceptor = sides(secrets=(b"s", b"s"))
    recorded = [body for kind, body in shake(dialler, acceptor) if kind in (Kind.HELLO, Kind.PROOF)]
    admitted = []
    again = AcceptorHandshake(B, b"s", b"\x03" * 32, lambda hello: admitted.append(hello))
    again.receive(Kind.HELLO, recorded[0])
    again.receive(Kind.PROOF, recorded[1])
    assert again.result.code == RefusalCode.AUTHENTICATION
    assert not admitted


def test_a_proof_is_not_reflected():
    """What the acceptor proves cannot be sent back to it as the dialler's proof."""
    dialler, acceptor = sides(secrets=(b"s", b"s"))
    bodies = dict(shake(dialler, acceptor))
    again = AcceptorHandshake(B, b"s", NONCE_B, lambda hello: None)
    again.receive(Kind.HELLO, bodies[Kind.HELLO])
    again.receive(Kind.PROOF, bodies[Kind.ACCEPTED])
    assert isinstance(again.result, Refusal)


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.CHALLENGE])
def test_nobody_in_the_middle_can_change_a_word(kind):
    def change(direction, got, body):
        if got == kind:
            value = decode(body, Hello if kind == Kind.HELLO else Challenge)
            body = encode(msgspec.structs.replace(value, client_address="10.6.6.6:5379"))
        return got, body

    dialler, acceptor = sides(secrets=(b"s", b"s"))
    shake(dialler, acceptor, change)
    assert acceptor.result.code == dialler.result.code == RefusalCode.AUTHENTICATION


@pytest.mark.parametrize("version", [0, 2, 1 << 40])
def test_another_version_is_told_so_whatever_else_it_says(version):
    _, acceptor = sides()
    out = acceptor.receive(Kind.HELLO, msgspec.msgpack.encode([version, {"something": "new"}]))
    assert acceptor.result.code == RefusalCode.VERSION
    assert str(version) in decode(frames(out)[0][1], Refused).reason


def test_fields_that_a_later_release_appends_are_ignored():
    dialler, acceptor = sides()

    def lengthen(direction, kind, body):
        return kind, msgspec.msgpack.encode([*msgspec.msgpack.decode(body), "more"])

    shake(dialler, acceptor, lengthen)
    assert isinstance(dialler.result, Session)
    assert isinstance(acceptor.result, Session)


GOOD_HELLO = Hello(1, CLUSTER, "id1", "id2", b"i" * 16, b"n" * 32, False, ":15379", "", 0)


@pytest.mark.parametrize(
    "change",
    [
        {"server_id": "../../etc/passwd"},
        {"server_id": "a/b"},
        {"server_id": ""},
        {"server_id": "a" * 129},
        {"server_id": "a\0b"},
        {"server_id": "a b\r\n"},
        {"server_id": "."},
        {"dialled_id": "x/y"},
        {"server_id": 5},
        {"cluster_id": None},
        {"cluster_id": "c" * 301},
        {"instance": b"short"},
        {"nonce": b"n" * 31},
        {"nonce": "n" * 32},
        {"authenticates": 1},
        {"address": "no port"},
        {"address": "evil host:1"},
        {"address": "a" * 400},
        {"client_address": "../x:1"},
        {"configuration_index": -1},
        {"configuration_index": 1 << 63},
        {"configuration_index": 1.5},
        {"version": "1"},
        {"version": -(1 << 63) * 1.0},
    ],
    ids=str,
)
def test_a_hello_with_a_wrong_field_is_no_hello(change):
    body = msgspec.msgpack.encode(list(msgspec.structs.asdict(GOOD_HELLO).values()))
    assert body == encode(GOOD_HELLO)
    fields = {**msgspec.structs.asdict(GOOD_HELLO), **change}
    _, acceptor = sides()
    with pytest.raises(ProtocolError):
        acceptor.receive(Kind.HELLO, msgspec.msgpack.encode(list(fields.values())))
    assert acceptor.result is None


@pytest.mark.parametrize("kind", [Kind.PROOF, Kind.MESSAGE, Kind.REQUEST, Kind.CHALLENGE, Kind.FIRST, 0, 255])
def test_nothing_but_a_hello_opens(kind):
    _, acceptor = sides()
    with pytest.raises(ProtocolError):
        acceptor.receive(kind, encode(Proof(b"")))


def test_no_frame_of_the_handshake_comes_twice():
    _, acceptor = sides()
    acceptor.receive(Kind.HELLO, encode(GOOD_HELLO))
    with pytest.raises(ProtocolError):
        acceptor.receive(Kind.HELLO, encode(GOOD_HELLO))
    dialler, _ = sides()
    dialler.open()
    challenge = encode(Challenge("id2", b"i" * 16, NONCE_B, False, "", 0))
    with pytest.raises(ProtocolError):
        dialler.receive(Kind.ACCEPTED, encode(Accepted(b"")))
    dialler.receive(Kind.CHALLENGE, challenge)
    with pytest.raises(ProtocolError):
        dialler.receive(Kind.CHALLENGE, challenge)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(list(Kind)),
    st.one_of(
        st.binary(max_size=120),
        st.recursive(
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(1 << 63), (1 << 64) - 1),
                st.text(max_size=8),
                st.binary(max_size=8),
            ),
            lambda inner: st.lists(inner, max_size=12),
            max_leaves=20,
        ).map(msgspec.msgpack.encode),
    ),
)
def test_random_frames_raise_protocol_errors_and_nothing_else(kind, body):
    for side in sides(secrets=(b"s", b"s")):
        if isinstance(side, DiallerHandshake):
            side.open()
        try:
            side.receive(kind, body)
        except ProtocolError:
            continue
        assert side.result is None or isinstance(side.result, Refusal)


def test_words_of_a_stranger_are_made_fit_for_a_log_line():
    dialler, _ = sides()
    dialler.open()
    dialler.receive(Kind.REFUSED, encode(Refused(77, "line one\r\nline two \x1b[31m", 0, b"")))
    assert dialler.result.reason == "line one??line two ?[31m"


@pytest.mark.parametrize(
    ("admitted", "theirs", "own", "refused"),
    [(True, 0, 9, False), (False, 8, 9, True), (False, 9, 9, True), (False, 10, 9, False), (True, 10, 9, False)],
)
def test_only_a_stranger_to_the_newest_configuration_known_is_refused(admitted, theirs, own, refused):
    judged = admission("id7", admitted, theirs, own)
    assert (judged is not None) is refused
    if judged is not None:
        assert (judged.code, judged.configuration_index) == (RefusalCode.UNKNOWN_MEMBER, own)
