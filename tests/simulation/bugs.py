"""Bugs planted on purpose, one at a time, to see that a simulation finds them.

They are patches that last as long as a `with bugs.planted(name)` block; the code under test has no switch for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

Run = TypeVar("Run")
Plant = Callable[[ExitStack], "type[Any] | None"]  # the class of run that has the bug; None: the usual one


class Bugs(Generic[Run]):
    """The bugs that one simulation is tried with. `run_class`: what is run while nothing else is said."""

    def __init__(self, run_class: type[Run]) -> None:
        self._run_class = run_class
        self._bugs: dict[str, tuple[Plant, str, str]] = {}

    def names(self) -> list[str]:
        return sorted(self._bugs)

    def plant(self, name: str) -> Plant:
        return self._bugs[name][0]

    def shows_as(self, name: str) -> str:
        """A pattern of what the checks say when they find it."""
        return self._bugs[name][1]

    def also_shows_as(self, name: str) -> str:
        """A pattern of what else follows from it: a search that meets this goes on. Empty: nothing else does."""
        return self._bugs[name][2]

    def bug(self, name: str, shows_as: str, also: str = "") -> Callable[[Plant], Plant]:
        """Decorates the function that plants it."""

        def register(plant: Plant) -> Plant:
            self._bugs[name] = (plant, shows_as, also)
            return plant

        return register

    @contextmanager
    def planted(self, name: str) -> Iterator[type[Run]]:
        """The class to run while the bug is in; "" plants nothing."""
        with ExitStack() as stack:
            yield (self._bugs[name][0](stack) if name else None) or self._run_class
