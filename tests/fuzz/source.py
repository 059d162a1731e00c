"""Bytes as a source of choices, so that any input of a fuzzer means something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 9, 100, (1 << 31) - 1, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


class Source:
    """Gives what its bytes say, and zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def bytes(self, count: int) -> bytes:
        """Up to `count` bytes."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        return self.bytes(self.left)

    def byte(self) -> int:
        taken = self.bytes(1)
        return taken[0] if taken else 0

    def choice(self, of: Sequence[T]) -> T:
        return of[self.byte() % len(of)]

    def number(self) -> int:
        """A small number mostly, one at an edge else."""
        byte = self.byte()
        return byte % 8 if byte < 200 else NUMBERS[byte % len(NUMBERS)]

    def cuts(self, data: bytes) -> list[bytes]:
        """`data` in pieces, their lengths of this source's choice: a head of its own, then up to eight cuts."""
        pieces = []
        for _ in range(self.byte() % 9):
            length = self.byte()
            pieces.append(data[:length])
            data = data[length:]
        return [*pieces, data]


def cut_source(data: bytes) -> tuple[Source, bytes]:
    """Ten bytes to choose cuts from, and what is to be cut."""
    return Source(data[:10]), data[10:]
