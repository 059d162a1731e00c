"""Replies that take long to make or to encode, a piece at a time, so that others have their turn in between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import chain, islice
from typing import Any, Final

from leto.interfaces.replica import Replica
from leto.keyspace.types.long_string import LongString
from leto.resp.codec import ONLY_STRINGS, encode, strings
from leto.vocabulary.replies import Error, NullArray, Pairs, Reply, Set, Status
from leto.vocabulary.steps import Steps

MANY: Final = 2048  # elements of a reply that are encoded in one go
LARGE: Final = 1 << 18  # bytes of a string that is handed on as it is

LONG_KINDS: Final = frozenset((list, Pairs, Steps, LongString))  # is_long() of nothing else

_TWO: Final = Status(b"")  # in the place of a pair's head

Then = Callable[[Reply], Generator[None, None, Reply]]


def is_long(reply: Reply) -> bool:
    """Whether a reply that is no string is more than one turn should make and encode."""
    kind = type(reply)
    if kind is Pairs:
        reply, kind = reply.items, list
    return kind is Steps or kind is LongString or (kind is list and (len(reply) > MANY or _bytes_of(reply) > LARGE))


def _bytes_of(items: list[Any]) -> int:
    """Those of the strings among them, at least."""
    try:
        return sum(map(len, filter(None, items)))  # what MGET answers: strings and nulls
    except TypeError:
        return sum([len(item) for item in items if type(item) is bytes or type(item) is LongString])


class LongReply:
    """The reply that `steps` make (or that is there already), in pieces. `then` goes on with it before it is encoded.

    Steps that hold the keyspace as it is do so from the first to the last; close() if the reply is not wanted any more.
    """

    __slots__ = ("_held", "_pieces", "_replica", "_resp3", "_steps", "_then")

    def __init__(self, reply: Reply | Steps, resp3: bool, replica: Replica, then: Then | None = None) -> None:
        self._replica = replica
        self._resp3 = resp3
        self._then = then
        self._held = False
        self._steps: Steps | None = None
        self._pieces: Iterator[bytes] = iter(())
        if type(reply) is Steps:
            self._steps = reply
        else:
            self._made(reply)

    @property
    def is_made(self) -> bool:
        """Nothing but encoding is left: it may wait for the client as long as that takes."""
        return self._steps is None

    def step(self) -> bytes | None:
        """One more step: bytes of the reply, b"" if there are none yet, None if there is no more to come. It made no
        progress if it `is_blocked`."""
        steps = self._steps
        if steps is None:
            return next(self._pieces, None)
        if steps.holds and not self._held:
            self._held = self._replica.hold()
            if not self._held:
                return b""
        if steps.advance():
            if self._then is None:
                self.close()
            self._made(steps.reply)
        return b""

    @property
    def is_blocked(self) -> bool:
        """It must wait until another one that needs one instant is made, and what is committed has been applied."""
        return self._steps is not None and self._steps.holds and not self._held

    def close(self) -> None:
        """Hold the keyspace no longer; no step follows but those of a reply that is made."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        if self._held:
            self._held = False
            self._replica.release()

    def _made(self, reply: Reply) -> None:
        if self._then is not None:
            self._steps, self._then = Steps(self._then(reply), holds=self._held), None
        else:
            self._pieces = encode_in_pieces(reply, self._resp3)


def encode_in_pieces(reply: Reply, resp3: bool) -> Iterator[bytes]:
    """encode(), a bounded number of elements at a time; a long string is a piece of its own, and not copied."""
    kind = type(reply)
    if kind is bytes and len(reply) > LARGE:
        yield b"$%d\r\n" % len(reply)
        yield reply
        yield b"\r\n"
        return
    if kind is LongString:
        yield b"$%d\r\n" % len(reply)
        yield from map(bytes, reply.parts())
        yield b"\r\n"
        return
    items: Iterator[Any]
    if kind is list or kind is tuple:
        mark, count, items = b"*", len(reply), iter(reply)
    elif kind is Pairs:
        mark, count, items = b"*", len(reply.items), iter(reply.items)
        if resp3:
            count, items = count // 2, chain.from_iterable((_TWO, *pair) for pair in zip(items, items, strict=True))
    elif kind is Set:
        mark, count, items = (b"~" if resp3 else b"*"), len(reply.items), iter(reply.items)
    elif kind is dict:
        mark, count, items = (b"%", len(reply), chain.from_iterable(reply.items()))
        if not resp3:
            mark, count = b"*", 2 * count
    else:
        yield encode(reply, resp3)
        return
    parts = [b"%b%d\r\n" % (mark, count)]
    size = 0
    while some := list(islice(items, MANY)):
        if ONLY_STRINGS(map(type, some)) and sum(map(len, some)) <= LARGE:
            parts.append(strings(some))
            yield b"".join(parts)
            parts, size = [], 0
        else:
            parts, size = yield from _mixed(some, resp3, parts, size)
    if parts:
        yield b"".join(parts)


def _mixed(
    items: list[Any], resp3: bool, parts: list[bytes], size: int
) -> Generator[bytes, None, tuple[list[bytes], int]]:
    """Pieces of these, behind what is made already and has so many bytes: what is left, and its size."""
    for item in items:
        if type(item) is bytes and len(item) <= LARGE or type(item) in _SHORT:
            parts.append(b"*2\r\n" if item is _TWO else encode(item, resp3))
            size += len(parts[-1])
            if len(parts) >= MANY or size > LARGE:
                yield b"".join(parts)
                parts, size = [], 0
        else:
            if parts:
                yield b"".join(parts)
                parts, size = [], 0
            yield from encode_in_pieces(item, resp3)
    return parts, size


_SHORT: Final = frozenset((int, type(None), bool, float, Status, Error, NullArray))
