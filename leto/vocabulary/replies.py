"""What a command answers, as Python values; leto.resp.codec turns them into bytes for RESP2 or RESP3.

bytes is a bulk string, int an integer, None nil, list/tuple an array, float a double (RESP2: bulk string),
bool a boolean (RESP2: 0/1), dict a map (RESP2: flat array), and the classes below the rest.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Status(msgspec.Struct, frozen=True, gc=False):
    """A simple string: +OK."""

    text: bytes


class Error(msgspec.Struct, frozen=True, gc=False):
    """An error reply, code word included: b"ERR value is not an integer or out of range". No CR or LF."""

    text: bytes


class NullArray(msgspec.Struct, frozen=True, gc=False):
    """A null array: *-1 in RESP2 (an aborted EXEC), _ in RESP3."""


class Set(msgspec.Struct, frozen=True):
    """A set (RESP3 ~), an array in RESP2."""

    items: list[Any]


class Pairs(msgspec.Struct, frozen=True):
    """Pairs in order, as the items of one flat list: members with their scores. An array of arrays of two in RESP3,
    one flat array in RESP2."""

    items: list[Any]


class Verbatim(msgspec.Struct, frozen=True, gc=False):
    """A verbatim string (RESP3 =txt:), a bulk string in RESP2."""

    text: bytes
    format: bytes = b"txt"


class Push(msgspec.Struct, frozen=True):
    """Out-of-band data (RESP3 >)."""

    items: list[Any]


class Refused(Exception):
    """A command's refusal: raised before it changed anything; the machine answers with `error`."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.text.decode("utf-8", "replace"))
        self.error = error


Reply = Any  # bytes | int | float | bool | None | list | tuple | dict | the classes above

OK = Status(b"OK")
PONG = Status(b"PONG")
QUEUED = Status(b"QUEUED")
NULL_ARRAY = NullArray()

WRONG_TYPE = Error(b"WRONGTYPE Operation against a key holding the wrong kind of value")
NOT_AN_INTEGER = Error(b"ERR value is not an integer or out of range")
NOT_POSITIVE = Error(b"ERR value is out of range, must be positive")
NOT_A_FLOAT = Error(b"ERR value is not a valid float")
SYNTAX_ERROR = Error(b"ERR syntax error")
NO_SUCH_KEY = Error(b"ERR no such key")
OUT_OF_RANGE = Error(b"ERR index out of range")
