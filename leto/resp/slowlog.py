"""SLOWLOG's memory: the last commands that took long, bounded in number and size as Redis bounds them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_ARGUMENTS = 32  # kept of one command
_ARGUMENT_BYTES = 128  # kept of one argument


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
        self.threshold = threshold
        self._entries: deque[SlowCommand] = deque(maxlen=length)
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def length(self) -> int:
        return self._entries.maxlen or 0

    def resize(self, length: int) -> None:
        self._entries = deque(self._entries, maxlen=length)

    def clear(self) -> None:
        self._entries.clear()

    def newest(self, most: int) -> list[SlowCommand]:
        """The newest first; at most `most` (-1: all)."""
        entries = list(reversed(self._entries))
        return entries if most < 0 else entries[:most]

    def add(self, argv: Sequence[bytes], microseconds: float, at: float, address: str, name: bytes) -> None:
        arguments = [_shorten(argument) for argument in argv[:_ARGUMENTS]]
        if len(argv) > _ARGUMENTS:
            arguments[-1] = b"... (%d more arguments)" % (len(argv) - _ARGUMENTS + 1)
        self._entries.append(SlowCommand(self._next, int(at), int(microseconds), tuple(arguments), address, name))
        self._next += 1


def _shorten(argument: bytes) -> bytes:
    if len(argument) <= _ARGUMENT_BYTES:
        return argument
    return argument[:_ARGUMENT_BYTES] + b"... (%d more bytes)" % (len(argument) - _ARGUMENT_BYTES)
