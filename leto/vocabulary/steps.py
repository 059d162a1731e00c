"""Work that takes more than one step, so that whoever runs it can see to others in between.

A command whose work is long returns Steps in the place of its reply. While an entry is applied its steps follow each
other before the next command; a read's may be apart, with others' reads between them, and entries unless it `holds`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, TypeVar

from leto.vocabulary.replies import Refused

T = TypeVar("T")

LONG: Final = 1024  # words of a command from which it is cut into steps
STEP: Final = 512  # words, or keys, that one step sees to: a millisecond or less


class Steps:
    """A reply to come. `holds`: the keyspace must stay as it is from the first step to the last, so that the reply
    tells of one instant."""

    __slots__ = ("_generator", "holds", "reply")

    def __init__(self, generator: Generator[None, None, Any], *, holds: bool = False) -> None:
        self._generator = generator
        self.holds = holds
        self.reply: Any = None

    def advance(self) -> bool:
        """One more step: whether that was the last, and `reply` is there. What a step refuses is the reply."""
        try:
            next(self._generator)
        except StopIteration as end:
            self.reply = end.value
            return True
        except Refused as refused:
            self.reply = refused.error
            return True
        return False

    def close(self) -> None:
        """Nobody wants the reply any more."""
        self._generator.close()

    def finish(self) -> Any:
        """All the steps at once: the reply."""
        while not self.advance():
            pass
        return self.reply


def all_steps(steps: Steps) -> Generator[None, None, Any]:
    """The steps as somebody else's: the reply."""
    while not steps.advance():
        yield
    return steps.reply


def exhaust(generator: Generator[None, None, T]) -> T:
    """What it returns, all its steps done at once."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            result: T = end.value
            return result


def timed(generator: Generator[None, None, T], seconds: Callable[[], float]) -> Generator[None, None, tuple[T, float]]:
    """What it returns, and what its steps took by that clock: not what was done between them."""
    spent = 0.0
    while True:
        started = seconds()
        try:
            next(generator)
        except StopIteration as end:
            return end.value, spent + seconds() - started
        spent += seconds() - started
        yield


def pieces(items: list[T], size: int = STEP) -> Iterator[list[T]]:
    """Slices of so many."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
