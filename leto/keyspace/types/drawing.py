"""Elements drawn at random from a value that has many, in steps. The value must stay as it is between them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Protocol

from leto.vocabulary.steps import STEP


class Drawn(Protocol):
    """What can be drawn from."""

    def __len__(self) -> int: ...

    def members(self) -> Iterator[bytes]:
        """All, in its order."""

    def choose(self, random: Callable[[], float]) -> bytes:
        """One, each exactly as likely."""


def draw(value: Drawn, count: int, random: Callable[[], float]) -> Generator[None, None, list[bytes]]:
    """So many, each chosen by itself: some may come more than once."""
    few = list(value.members()) if len(value) <= STEP else []
    drawn: list[bytes] = []
    for number in range(count):
        drawn.append(few[int(random() * len(few))] if few else value.choose(random))
        if number % STEP == STEP - 1:
            yield
    return drawn


def sample(value: Drawn, count: int, random: Callable[[], float]) -> Generator[None, None, list[bytes]]:
    """`count` different ones, all there are if these are fewer."""
    size = len(value)
    if 3 * count < size:
        drawn: dict[bytes, None] = {}
        while len(drawn) < count:
            for _ in range(min(STEP, count - len(drawn))):
                drawn[value.choose(random)] = None
            yield
        return list(drawn)
    members: list[bytes] = []
    walk = value.members()
    while some := list(islice(walk, STEP)):
        members += some
        yield
    if count >= size:
        return members
    for number in range(count):  # the first steps of a shuffle
        other = number + int(random() * (size - number))
        members[number], members[other] = members[other], members[number]
        if number % STEP == STEP - 1:
            yield
    return members[:count]
