"""SLOWLOG's memory: the last commands that took long, bounded in number and size as Redis bounds them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from leto.clients.table import QUICK

_ARGUMENTS = 32  # kept of one command
_ARGUMENT_BYTES = 128  # kept of one argument
_REDACTED = b"(redacted)"


@dataclass(frozen=True, slots=True)
class SlowCommand:
    number: int
    at: int  # seconds since the epoch
    microseconds: int
    arguments: tuple[bytes, ...]
    client_address: str
    client_name: bytes


class SlowLog:
    """`threshold` in microseconds (0: all, negative: none); `length`: how many are kept.

    As in Redis a command's time is that of its execution alone: what a write waits for the log is not in it (a slow
    disk or network shows in the metrics). Commands of one log entry, or of one pipeline of cheap reads, count alike.
    """

    def __init__(self, threshold: int = 10_000, length: int = 128) -> None:
        self._threshold = threshold
        self.notable = 0.0  # microseconds from which a command is worth a look: it is slow, or not the quickest
        self.threshold = threshold
        self._entries: deque[SlowCommand] = deque(maxlen=length)
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def threshold(self) -> int:
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: int) -> None:
        self._threshold = threshold
        self.notable = min(QUICK, threshold) if threshold >= 0 else QUICK

    def takes(self, microseconds: float) -> bool:
        """Whether a command that took so long is slow."""
        return microseconds >= self._threshold >= 0

    @property
    def length(self) -> int:
        return self._entries.maxlen or 0

    @length.setter
    def length(self, length: int) -> None:
        self._entries = deque(self._entries, maxlen=length)

    def clear(self) -> None:
        self._entries.clear()

    def newest(self, most: int) -> list[SlowCommand]:
        """The newest first; at most `most` (-1: all)."""
        entries = list(reversed(self._entries))
        return entries if most < 0 else entries[:most]

    def add(self, argv: Sequence[bytes], microseconds: float, at: float, address: str, name: bytes) -> None:
        arguments = [_shorten(argument) for argument in _without_secrets(argv[:_ARGUMENTS])]
        if len(argv) > _ARGUMENTS:
            arguments[-1] = b"... (%d more arguments)" % (len(argv) - _ARGUMENTS + 1)
        self._entries.append(SlowCommand(self._next, int(at), int(microseconds), tuple(arguments), address, name))
        self._next += 1


def _without_secrets(argv: Sequence[bytes]) -> Sequence[bytes]:
    """As Redis redacts them: a slow log is read by more people than passwords are for."""
    name = argv[0].upper()
    first = len(argv)
    if name == b"AUTH":
        first = 1
    elif name == b"HELLO":
        first = next((at + 1 for at, word in enumerate(argv) if word.upper() == b"AUTH"), first)
    elif name == b"CONFIG" and argv[1:2] and argv[1].upper() == b"SET":
        return [
            _REDACTED if at > 2 and at % 2 and argv[at - 1].lower() == b"requirepass" else word
            for at, word in enumerate(argv)
        ]
    last = first + 2
    return [*argv[:first], *[_REDACTED] * len(argv[first:last]), *argv[last:]]


def _shorten(argument: bytes) -> bytes:
    if len(argument) <= _ARGUMENT_BYTES:
        return argument
    return argument[:_ARGUMENT_BYTES] + b"... (%d more bytes)" % (len(argument) - _ARGUMENT_BYTES)
