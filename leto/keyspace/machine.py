"""The state machine: applies log entries to the database, in order, and answers reads between them.

Same entries in, same state and replies out, on every node: nothing here sees a clock, randomness or the order
of hashing. Time is the highest stamp applied so far; commands that draw at random (RANDOMKEY) draw, while an
entry is applied, from a generator seeded by the entry's index.

How commands run is in leto.keyspace.execution, what reads do in leto.keyspace.queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Protocol

import hiredis

import leto.keyspace.commands  # noqa: F401 - registers every command
from leto.keyspace import batch, loading, snapshot
from leto.keyspace.database import Database
from leto.keyspace.draws import Draws, mix
from leto.keyspace.effects import Applied, Kind, Noting
from leto.keyspace.execution import FIRST, EntrySteps, Execution
from leto.keyspace.internal import INTERNAL
from leto.keyspace.parsing import Request, group, grouping, parse, parse_pairs, parsing, watched_by
from leto.keyspace.queries import Queries
from leto.keyspace.types.value import MASK
from leto.vocabulary.levels import highest
from leto.vocabulary.registry import KEYSPACE, Registry
from leto.vocabulary.replies import OK, Reply
from leto.vocabulary.steps import LONG, Steps, pieces

COMMAND = 1  # leto.raft.messages.EntryKind.COMMAND


def understood(commands: Registry = KEYSPACE) -> int:
    """The level of a version with these commands: this one's."""
    return highest((*commands.levels(), *INTERNAL.levels(), *batch.LEVELS.values()))


class LogEntry(Protocol):
    """What is applied: leto.raft.messages.Entry."""

    @property
    def index(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def payload(self) -> bytes: ...


class Machine(Execution, Queries):
    """The StateMachine of leto.interfaces.machine."""

    def __init__(self, *, random: Callable[[], float], commands: Registry | None = None) -> None:
        """`random` returns floats in [0, 1): for reads (RANDOMKEY), never for what is applied. `commands`: other ones
        than this version's."""
        commands = KEYSPACE if commands is None else commands
        Execution.__init__(self, commands)
        Queries.__init__(self, commands)
        self.understands = understood(commands)
        self.applied = 0
        self.time_ms = 0
        self._random = random
        self._draws = Draws()
        self._noting = Noting()
        self.database = Database(random)
        self._applying: EntrySteps | None = None  # the entry under way
        self._is_half = False  # it has begun to change the state
        self._last_digest = self.digest()

    @property
    def level(self) -> int:
        """The cluster's, set by an entry of the log: alike on every node at the same index."""
        return self.database.level

    @level.setter
    def level(self, level: int) -> None:
        self.database.level = level

    # applying -----------------------------------------------------------------------------------

    def apply(self, entry: LogEntry) -> Applied:
        """begin(), and all the steps that follow."""
        applied = self.begin(entry)
        while applied is None:
            applied = self.go_on()
        return applied

    def begin(self, entry: LogEntry) -> Applied | None:
        """Apply a COMMAND entry: one reply a request of the batch. Other kinds only move `applied`; no replies.
        None if more is to be done than one step's work: go_on() does it, and until it is done the state is half an
        entry's, which nobody may read (`is_whole`).

        Raises, here or from go_on(), having changed nothing, InapplicableEntry for a payload that is no batch,
        UnknownEntry for one that only a later version can apply, and here ValueError for an entry that was applied
        already. A command that fails in another way than by Refused is told to on_fault and answered by an error: it
        does so on every node alike.
        """
        index = entry.index
        if index <= self.applied or self._applying is not None:
            raise ValueError(f"entry {index} was applied already; the state is at {self.applied}")
        if entry.kind != COMMAND:
            self.applied = self.database.index = index
            return Applied([])
        payload = entry.payload
        if len(payload) >= batch.LARGE:
            self._applying = self._apply_in_steps(index, payload)
            return self.go_on()
        form, time_ms, count = batch.decode_header(payload)
        if form == batch.PAIRS:  # most entries
            pairs = parse_pairs(payload, count)
            self._start(index, time_ms)
            self.database.store_strings(pairs)
            self.database.random = self._random
            replies: list[Reply] = [OK] * count
        else:
            commands = parse(payload, count)
            requests: list[Request] | None = None
            if len(commands) != count:
                requests = self._requests(commands, count)
            elif not (commands[0][0] in self._known if count == 1 else self._known.issuperset(map(FIRST, commands))):
                self._check_known(commands)
            self._start(index, time_ms)
            replies = []
            try:
                if requests is not None:
                    self._applying = self._begin_requests(requests, replies)
                elif (done := self._some(commands, 0, replies, self.words_a_step, None)) < count or (
                    replies and replies[-1].__class__ is Steps
                ):
                    self._applying = self._rest(commands, done, replies, None)
            finally:
                self.database.random = self._random
            if self._applying is not None:
                return None
        self._is_half = False  # _ended() without its call
        self.applied = index
        noting = self.database.noting
        return Applied(replies) if noting is None else Applied(replies, noting.take())

    def _requests(self, commands: list[list[bytes]], count: int) -> list[Request]:
        """What a batch with transactions holds, all of it known."""
        if count == 1 and commands[0][0] == b"MULTI" and commands[-1][0] == b"EXEC":
            run = commands[1:-1]
            if self._known.issuperset(map(FIRST, run)):  # so it is one transaction and nothing else
                return [(watched_by(commands[0]), run)]
        requests = group(commands, count)
        for _, run in requests:
            if not self._known.issuperset(map(FIRST, run)):
                self._check_known(run)
        return requests

    def go_on(self) -> Applied | None:
        """The next step of the entry that was begun: what it did, or None if it takes another one."""
        db, steps = self.database, self._applying
        assert steps is not None
        if self._is_half:
            db.now, db.random = self.time_ms, self._draws
        try:
            next(steps)
        except StopIteration as end:
            self._applying = None
            return self._ended(end.value)
        except BaseException:
            self._applying = None
            raise
        finally:
            db.random = self._random
        return None

    def _ended(self, replies: list[Reply]) -> Applied:
        """The entry is applied."""
        db = self.database
        self._is_half = False
        self.applied = db.index
        return Applied(replies) if db.noting is None else Applied(replies, db.noting.take())

    @property
    def is_whole(self) -> bool:
        """Whether the state is that of a log index, and not that of half an entry."""
        return self._applying is None

    def _start(self, index: int, time_ms: int) -> None:
        """The entry at `index` changes the state from now on."""
        db = self.database
        if time_ms > self.time_ms:
            self.time_ms = time_ms
            if time_ms >= db.ages.due:
                db.ages.note(index, time_ms)
        self._is_half = True
        db.index = index
        db.now = self.time_ms
        self._draws.state = index
        db.random = self._draws

    def _apply_in_steps(self, index: int, payload: bytes) -> EntrySteps:
        form, time_ms, count = batch.decode_header(payload)
        pairs: list[bytes] = []
        requests: list[Request] = []
        if form == batch.PAIRS:
            pairs = parse_pairs(payload, count)
        else:
            commands = yield from parsing(payload, count)
            if len(commands) == count:
                requests = [(None, commands)]
            else:
                requests = yield from grouping(commands, count)
            for _, run in requests:
                for some in (run,) if len(run) <= LONG else pieces(run, LONG):
                    self._check_known(some)
                    if some is not run:
                        yield
        self._start(index, time_ms)
        replies: list[Reply] = []
        for some_pairs in pieces(pairs, 2 * LONG):
            self.database.store_strings(some_pairs)
            replies += [OK] * (len(some_pairs) // 2)
            yield
        return (yield from self._run_requests(requests, replies, {}))

    def skip(self, index: int) -> None:
        """Pass over the entry at `index`, for which apply() raised InapplicableEntry."""
        self.applied = self.database.index = index

    # watching -----------------------------------------------------------------------------------

    def watch(self, what: Kind | bytes) -> None:
        """Have effects of that kind, or the changes of that key, told from the next entry on: until unwatch() was
        called as often."""
        self._noting.watch(what)
        self.database.noting = self._noting

    def unwatch(self, what: Kind | bytes) -> None:
        """See watch(). Raises KeyError for what nobody watches."""
        self._noting.unwatch(what)
        if not self._noting:
            self._noting.take()
            self.database.noting = None

    # facts ----------------------------------------------------------------------------------------

    def expired(self, clock_ms: int, limit: int) -> bytes | None:
        """The packed internal command that deletes up to `limit` keys expired by clock_ms; None if there are none."""
        keys = self.database.deadlines.due(clock_ms, limit)
        return hiredis.pack_command((b"EXPIRED", *keys)) if keys else None  # type: ignore[arg-type]

    @property
    def key_count(self) -> int:
        """Keys, expired ones that are not deleted yet included."""
        return len(self.database.data)

    @property
    def volatile_count(self) -> int:
        """Those of them that have an expiry."""
        return self.database.volatile

    def digest(self) -> tuple[int, int]:
        """(index, 64-bit digest of the whole state at it). In the middle of an entry those told last."""
        if self._is_half:
            return self._last_digest
        db = self.database
        state = mix(db.check_sum & MASK)
        for part in (len(db.data), self.time_ms, db.floor, len(db.tombstones)):
            state = mix(state ^ part)
        self._last_digest = self.applied, state
        return self._last_digest

    # snapshots -----------------------------------------------------------------------------------

    def snapshot(self) -> snapshot.Writer:
        """Begin one of this instant. Only one at a time: raises RuntimeError before the last is complete or closed.
        RuntimeError also while the state is half an entry's."""
        if not self.is_whole:
            raise RuntimeError("the state is half an entry's")
        if self.database.observer is not None:
            raise RuntimeError("a snapshot of the keyspace is being taken already")
        return snapshot.Writer(self.database, self.time_ms)

    def restoring(self, chunks: Iterable[bytes], index: int) -> Iterator[None]:
        """Replace the whole state by a snapshot's payload, step by step: until the last step, which does it at once,
        the old state serves on. Raises CorruptStorage, the old state left as it is."""
        database, time_ms = yield from loading.read(chunks, index, self._random)
        database.ages.note(index, time_ms)
        database.level = self.level
        yield  # whoever needs the old state for some steps more has it until the next one
        self.database.discard_all()
        database.waste = self.database.waste
        self._noting.take()  # of the entry under way
        database.noting = self.database.noting
        self.database, self.time_ms, self.applied = database, time_ms, index
        self._applying, self._is_half = None, False  # the entry under way is in the snapshot
        self._last_digest = self.digest()

    def restore(self, chunks: Iterable[bytes], index: int) -> None:
        """All the steps of restoring()."""
        for _ in self.restoring(chunks, index):
            pass

    has_waste: Any = property(
        attrgetter("database.waste.waits"),  # no function of Python's: it is looked at with each entry
        doc="Whether something that FLUSHALL, restoring() or a large value left behind waits to be freed.",
    )

    def free_waste(self, count: int) -> bool:
        """Free about `count` objects of it; False if there was nothing, or nothing but what a snapshot being taken or a
        read may need."""
        waste = self.database.waste
        if self.database.observer is not None or waste.walks:
            return waste.free_values(count)
        found = bool(waste)
        waste.free(count)
        return found
