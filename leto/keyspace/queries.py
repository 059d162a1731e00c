"""Reads between entries: of one instant, and of nobody's clock but the one that they are told."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

from leto.keyspace import costs
from leto.keyspace.database import Database
from leto.keyspace.types.value import size
from leto.vocabulary.registry import Registry, Spellings, spellings
from leto.vocabulary.replies import NULL_ARRAY, Error, Refused, Reply
from leto.vocabulary.steps import LONG, Steps, all_steps, exhaust, timed

SHORT = 64  # commands of a transaction of reads that is evaluated in one go
WRITE_IN_READ = Error(b"ERR a write command cannot be run as a read")


class Queries:
    """What a Machine answers without an entry."""

    database: Database
    time_ms: int  # log time: the highest stamp applied
    seconds: Callable[[], float]

    def __init__(self, commands: Registry) -> None:
        self._commands = commands
        self._reads: Spellings = spellings(command for command in commands.values() if not command.is_write)

    def query(self, command: Sequence[bytes], clock_ms: int) -> Reply:
        """Run one read-only command now, judging expiry by max(time_ms, clock_ms)."""
        reply = self.begin_query(command, clock_ms)
        return reply.finish() if type(reply) is Steps else reply

    def begin_query(self, command: Sequence[bytes], clock_ms: int) -> Reply | Steps:
        """query(), or the steps of one that takes long. What they judge expiry by is the clock of their first step."""
        db = self.database
        db.now = clock_ms if clock_ms > self.time_ms else self.time_ms
        found = self._reads.get(command[0])
        if found is not None and found[1] <= len(command) <= found[2]:
            function = found[0]
        else:
            resolved = self._commands.resolve(command)
            if isinstance(resolved, Error):
                return resolved
            if resolved.is_write:
                return WRITE_IN_READ
            function = resolved.function
        try:
            return function(db, command)
        except Refused as refused:
            return refused.error

    def query_transaction(
        self, commands: Sequence[Sequence[bytes]], watched: Mapping[bytes, int], clock_ms: int
    ) -> Reply:
        """A MULTI/EXEC of reads alone, at one instant; NULL_ARRAY if a watched key changed after its index."""
        return exhaust(self._query_in_steps(commands, watched, clock_ms, []))

    def begin_query_transaction(
        self, commands: Sequence[Sequence[bytes]], watched: Mapping[bytes, int], clock_ms: int, took: list[float]
    ) -> Reply | Steps:
        """query_transaction(), or the steps of one that is not short, all of them at one instant. `took` receives the
        seconds of each command."""
        names = {command[0].upper() for command in commands[:SHORT]}
        if len(commands) <= SHORT and sum(map(len, commands)) <= LONG and names.isdisjoint(costs.WEIGHED):
            return exhaust(self._query_in_steps(commands, watched, clock_ms, took))
        return Steps(self._query_in_steps(commands, watched, clock_ms, took), holds=True)

    def _query_in_steps(
        self, commands: Sequence[Sequence[bytes]], watched: Mapping[bytes, int], clock_ms: int, took: list[float]
    ) -> Generator[None, None, Reply]:
        db = self.database
        db.now = clock_ms if clock_ms > self.time_ms else self.time_ms
        if any(db.changed_since(key, index) for key, index in watched.items()):
            return NULL_ARRAY
        replies: list[Reply] = []
        work = 0
        seconds = self.seconds
        for command in commands:
            started = seconds()
            reply = self.begin_query(command, clock_ms)
            spent = seconds() - started
            if type(reply) is Steps:
                reply, more = yield from timed(all_steps(reply), seconds)
                spent += more
            replies.append(reply)
            took.append(spent)
            work += len(command)
            if work > LONG:
                work = 0
                yield
        return replies

    def why_refused(self, reads: Iterable[Sequence[bytes]]) -> str:
        """Why a transaction with these reads (of leto.keyspace.costs) would cost too much now; "" if it would not."""
        return costs.refusal(self.database, reads)

    def size_of(self, key: bytes, clock_ms: int | None = None) -> int | None:
        """Estimated bytes of memory that the key takes, None when it is missing. Expiry is judged as by query();
        without `clock_ms` as by the query before."""
        if clock_ms is not None:
            self.database.now = clock_ms if clock_ms > self.time_ms else self.time_ms
        record = self.database.find(key)
        return None if record is None else size(key, record)
