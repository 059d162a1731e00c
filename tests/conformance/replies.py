"""Replies as they are on the wire, taken apart: what a comparison can sort, round or look past."""

from __future__ import annotations

from typing import NamedTuple

AGGREGATES = {b"*": 1, b"~": 1, b">": 1, b"%": 2}  # elements for each that is counted


class Node(NamedTuple):
    """One reply: its type's mark, the bytes of a simple or bulk one (None: null), the elements of an aggregate."""

    mark: bytes
    text: bytes | None = None
    items: tuple[Node, ...] = ()

    def __str__(self) -> str:
        mark = self.mark.decode()
        if mark in "*~>%":
            return f"{mark}[{', '.join(map(str, self.items))}]"
        return f"{mark}{self.text.decode('latin-1')!r}" if self.text is not None else f"{mark}null"


def split(data: bytes, at: int = 0) -> tuple[Node, int] | None:
    """The reply that begins at `at` and where it ends; None while it is not complete."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    mark, text = data[at : at + 1], data[at + 1 : end]
    at = end + 2
    if mark in (b"$", b"="):
        size = int(text)
        if size < 0:
            return Node(mark), at
        return (Node(mark, data[at : at + size]), at + size + 2) if len(data) >= at + size + 2 else None
    if mark in AGGREGATES:
        count = int(text)
        if count < 0:
            return Node(mark, None), at
        items: list[Node] = []
        for _ in range(count * AGGREGATES[mark]):
            found = split(data, at)
            if found is None:
                return None
            items.append(found[0])
            at = found[1]
        return Node(mark, b"", tuple(items)), at
    return Node(mark, text), at
