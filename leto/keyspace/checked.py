"""A state machine that holds its own invariants after each entry, before anybody hears of its replies."""

from __future__ import annotations

from collections.abc import Generator

from leto.errors import BrokenKeyspace
from leto.keyspace.effects import Applied
from leto.keyspace.invariants import checking
from leto.keyspace.machine import LogEntry, Machine


class CheckedMachine(Machine):
    """Raises BrokenKeyspace from begin(), go_on() and apply(). A large keyspace takes further steps of an entry for it:
    as many as it has keys by the thousand."""

    _done: Applied | None = None  # what the entry did that was applied, and is checked
    _checking: Generator[None, None, None] | None = None

    def begin(self, entry: LogEntry) -> Applied | None:
        if self._checking is not None:
            raise ValueError(f"entry {self.applied} is being checked")
        return self._applied(super().begin(entry))

    def go_on(self) -> Applied | None:
        return self._applied(super().go_on()) if self._checking is None else self._check(self._checking)

    @property
    def is_whole(self) -> bool:
        return self._checking is None and super().is_whole

    def _applied(self, applied: Applied | None) -> Applied | None:
        if applied is None:
            return None
        self._done = applied
        self._checking = checking(self.database)
        return self._check(self._checking)

    def _check(self, steps: Generator[None, None, None]) -> Applied | None:
        try:
            next(steps)
        except StopIteration:
            self._checking = None
            done, self._done = self._done, None
            return done
        except BrokenKeyspace as error:
            raise BrokenKeyspace(f"the keyspace is not as it must be after entry {self.applied}: {error}") from error
        return None
