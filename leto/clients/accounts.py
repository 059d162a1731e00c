"""One client's commands: counted with their times, the slow ones told to SLOWLOG with its name and address."""

from __future__ import annotations

from collections.abc import Sequence

from leto.clients.identity import Identity
from leto.clients.state import ServerState
from leto.clients.table import QUICK, Known
from leto.resp.codec import Request
from leto.vocabulary.replies import Error

Tally = Sequence[tuple[Known, int]]  # which commands a run holds, and how many of each


class Accounts:
    """Times in microseconds."""

    __slots__ = ("_identity", "_state")

    def __init__(self, state: ServerState, identity: Identity) -> None:
        self._state = state
        self._identity = identity

    def note_time(self, known: Known, argv: Request, microseconds: float) -> None:
        """One call took so long."""
        known.microseconds += microseconds
        if microseconds >= self._state.slowlog.notable:
            self.note_long(known.once, argv, microseconds)

    def note_long(self, tally: Tally, argv: Request, microseconds: float) -> None:
        """Each call of the tally took so long, which is notable (leto.clients.slowlog); `argv` stands for them."""
        state = self._state
        if microseconds >= QUICK:
            for known, calls in tally:
                known.count_long(microseconds, calls)
        if state.slowlog.takes(microseconds) and "skip_slowlog" not in tally[0][0].command.flags:
            identity = self._identity
            state.slowlog.add(argv, microseconds, state.wall_clock(), identity.peer, identity.name)

    def note_query(self, argv: Request, microseconds: float) -> None:
        """A read took so long."""
        known = self._state.table.resolve(argv)
        if type(known) is Known:
            self.note_time(known, argv, microseconds)

    def count_error(self, error: Error, argv: Request) -> None:
        """That was its reply."""
        known = self._state.table.resolve(argv)
        if isinstance(known, Known):
            known.failed += 1
        self._state.counters.count_error(error)
