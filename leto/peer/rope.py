"""A large message in the parts that it is made of."""

from __future__ import annotations

from collections.abc import Sequence


class Rope:
    """Bytes in parts that are not put together: a large payload is shared by all messages that carry it."""

    __slots__ = ("_parts", "_size")

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = [memoryview(part) for part in parts]
        self._size = sum(map(len, parts))

    def __len__(self) -> int:
        return self._size

    def cut(self, start: int, stop: int) -> list[memoryview]:
        """The bytes from `start` to before `stop`."""
        found = []
        for part in self._parts:
            if start < len(part) and stop > 0:
                found.append(part[max(0, start) : stop])
            start -= len(part)
            stop -= len(part)
        return found

    def __bytes__(self) -> bytes:
        return b"".join(self._parts)
