"""The bytes that docs/peer-protocol.md gives are the bytes that are sent."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from leto.peer.exchange import MAX_OUTSTANDING
from leto.peer.frames import _FRAME_LIMIT, FRAGMENT_BYTES, HANDSHAKE_BYTES, MAX_MESSAGE_BYTES, Kind, frame
from leto.peer.greetings import Accepted, Challenge, Hello, Proof, RefusalCode, Vouch, Vouched, encode
from leto.peer.wire_messages import encode_message
from leto.raft.messages import AppendEntries, Entry, RequestVote

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "peer-protocol.md").read_text()
I16, N32 = b"i" * 16, b"n" * 32


def written(label):
    """The hex digits behind `label`, with 69…69 and 6e…6e written out."""
    (digits,) = re.findall(re.escape(label) + r"[\s`]+([0-9a-f… ]+)(?:$|`)", DOCUMENT, re.MULTILINE)
    digits = digits.replace("6d…6d", (b"m" * 16).hex()).replace("69…69", I16.hex()).replace("6e…6e", N32.hex())
    return bytes.fromhex("".join(digits.split()))


EXAMPLES = [
    ("A `PING` is", frame(Kind.PING, b"")),
    ("with the body `abc` is", frame(Kind.REQUEST, struct.pack(">Q", 1) + b"abc")),
    ("    HELLO   ", encode(Hello(1, "c", "a", "b", I16, N32, False, ":1", "", 5))),
    ("    CHALLENGE", encode(Challenge("b", I16, N32, False, "", 5, b"m" * 16))),
    ("    PROOF   ", encode(Proof(b""))),
    ("    ACCEPTED", encode(Accepted(b""))),
    ("    VOUCH   ", encode(Vouch(1, "c", "b", "a", "", N32))),
    ("    VOUCHED ", encode(Vouched(True))),
    (
        "one entry of index 9:",
        encode_message(
            AppendEntries("a", "b", 3, 8, 2, 7, (Entry(9, 3, 1, b"xyz"),), 5, True, 1_700_000_000_000, False, 800)
        ),
    ),
    ("of a to b for term 3:", encode_message(RequestVote("a", "b", 3, 8, 2, True, False))),
]


@pytest.mark.parametrize(("label", "expected"), EXAMPLES, ids=[label.strip() for label, _ in EXAMPLES])
def test_an_example(label, expected):
    assert written(label) == expected


def test_every_kind_of_frame_is_listed():
    listed = re.findall(r"^\| (\d+) \| ([A-Z]+) \|", DOCUMENT, re.MULTILINE)
    assert {(int(number), name) for number, name in listed} == {(int(kind), kind.name) for kind in Kind}


def test_every_refusal_is_listed():
    for code in RefusalCode:
        assert code.name.lower().replace("_", " ") in DOCUMENT


@pytest.mark.parametrize("number", [HANDSHAKE_BYTES, _FRAME_LIMIT, FRAGMENT_BYTES, MAX_OUTSTANDING], ids=str)
def test_the_limits_are_those_in_force(number):
    assert re.search(rf"\b{number}\b", DOCUMENT)
    assert MAX_MESSAGE_BYTES == 1 << 30
