"""The state machine: applies log entries to the database, in order, and answers reads between them.

Same entries in, same state and replies out, on every node: nothing here sees a clock, randomness or the order
of hashing. Time is the highest stamp applied so far; commands that draw at random (RANDOMKEY) draw, while an
entry is applied, from a generator seeded by the entry's index.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from typing import Protocol

import hiredis

import leto.keyspace.commands  # noqa: F401 - registers every command
from leto.errors import InapplicableEntry, UnknownEntry
from leto.keyspace import batch, costs, loading, snapshot
from leto.keyspace.database import Database, Refused
from leto.keyspace.effects import Applied, Kind, Noting
from leto.keyspace.levels import highest
from leto.keyspace.parsing import Request, Watched, group, grouping, parse, parse_pairs, parsing
from leto.keyspace.registry import KEYSPACE, Command, Registry
from leto.keyspace.replies import NULL_ARRAY, OK, Error, Reply
from leto.keyspace.steps import LONG, Steps, exhaust, pieces, timed
from leto.keyspace.types.value import MASK, size

COMMAND = 1  # leto.raft.messages.EntryKind.COMMAND
UNBOUNDED = 1 << 62
SHORT = 64  # commands of a transaction of reads that is evaluated in one go
_LONG_READS = frozenset((b"KEYS", b"SCAN", b"RANDOMKEY", b"LCS"))  # however few words they have

INTERNAL = Registry()  # commands of the log that no client can send
_FIRST = itemgetter(0)
WRITE_IN_READ = Error(b"ERR a write command cannot be run as a read")
FAULT = Error(b"ERR internal error, the same on every node: their logs say more")


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


class Draws:
    """Pseudo-random numbers in [0, 1), the same for the same entry on every node (splitmix64)."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = 0

    def __call__(self) -> float:
        self.state = state = (self.state + 0x9E3779B97F4A7C15) & MASK
        return (_mix(state) >> 11) / (1 << 53)


def _mix(number: int) -> int:
    """Spread 64 bits over 64 bits, one to one (splitmix64's finalizer)."""
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & MASK
    return number ^ number >> 31


@INTERNAL.add(
    "EXPIRED",
    -2,
    "write",
    keys=(1, -1, 1),
    group="generic",
    since="1.0.0",
    summary="Delete those of the keys that are expired by the log's time",
    syntax="key [key ...]",
)
def expired(db: Database, argv: list[bytes]) -> Reply:
    """How many were deleted. Proposed by the leader (Machine.expired); harmless whenever it applies."""
    count = 0
    for key in argv[1:]:
        record = db.data.get(key)
        if record is not None and 0 < record.expire_at < db.now:
            db.delete(key)
            count += 1
    return count


class Machine:
    """The StateMachine of leto.interfaces.machine."""

    words_a_step = LONG  # of the commands that one step of an entry applies, about

    def __init__(self, *, random: Callable[[], float], commands: Registry | None = None) -> None:
        """`random` returns floats in [0, 1): for reads (RANDOMKEY), never for what is applied. `commands`: other ones
        than this version's."""
        self._commands = commands = KEYSPACE if commands is None else commands
        self.understands = understood(commands)
        self.on_fault: Callable[[bytes, Exception], None] = lambda name, error: None
        # What transactions' commands take is measured, where there is a clock for it. Nothing else depends on it.
        self.seconds: Callable[[], float] = lambda: 0.0
        self.took: dict[int, list[float]] = {}
        self.applied = 0
        self.time_ms = 0
        self._random = random
        self._draws = Draws()
        self._noting = Noting()
        self.database = Database(random)
        self._applying: Generator[None, None, list[Reply]] | None = None  # the entry under way
        self._is_half = False  # it has begun to change the state
        self._applies = _spellings((*commands.values(), *INTERNAL.values()))
        self._known = frozenset(self._applies)
        self._last_digest = self.digest()
        self._reads = _spellings(command for command in commands.values() if not command.is_write)

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
            return self._ended([OK] * count)
        commands = parse(payload, count)
        if len(commands) == count:
            if not self._known.issuperset(map(_FIRST, commands)):
                self._check_known(commands)
            self._start(index, time_ms)
            return self._begin_commands(commands)
        requests = group(commands, count)
        for _, run in requests:
            if run and not self._known.issuperset(map(_FIRST, run)):
                self._check_known(run)
        self._applying = self._run_requests(requests)
        self._start(index, time_ms)
        return self.go_on()

    def _begin_commands(self, commands: list[list[bytes]]) -> Applied | None:
        """The first step of an entry of these: most are done with it."""
        replies: list[Reply] = []
        try:
            done = self._some(commands, 0, replies, self.words_a_step)
        finally:
            self.database.random = self._random
        if done < len(commands) or (replies and replies[-1].__class__ is Steps):
            self._applying = self._rest(commands, done, replies)
            return None
        return self._ended(replies)

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

    def _apply_in_steps(self, index: int, payload: bytes) -> Generator[None, None, list[Reply]]:
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
                    if not self._known.issuperset(map(_FIRST, some)):
                        self._check_known(some)
                    if some is not run:
                        yield
        self._start(index, time_ms)
        replies: list[Reply] = []
        for some_pairs in pieces(pairs, 2 * LONG):
            self.database.store_strings(some_pairs)
            replies += [OK] * (len(some_pairs) // 2)
            yield
        replies += yield from self._run_requests(requests)
        return replies

    def _run_requests(self, requests: list[Request]) -> Generator[None, None, list[Reply]]:
        replies: list[Reply] = []
        took: dict[int, list[float]] = {}
        for watched, run in requests:
            if watched is None:
                if run:
                    replies += yield from self._run(run)
            else:
                times: list[float] = []
                took[len(replies)] = times
                replies.append((yield from self._transaction(watched, run, times)))
        self.took = took
        return replies

    def skip(self, index: int) -> None:
        """Pass over the entry at `index`, for which apply() raised InapplicableEntry."""
        self.applied = self.database.index = index

    def _check_known(self, commands: Iterable[list[bytes]]) -> None:
        """Raises UnknownEntry for a command of a later version: to answer it by an error would part the nodes."""
        for argv in commands:
            name = argv[0].upper()
            if name in (b"MULTI", b"EXEC"):
                raise InapplicableEntry(f"batch holds a {name.decode()} that is no transaction's")
            if argv[0] not in INTERNAL and self._commands.find(argv) is None:
                words = b" ".join(argv[:2] if name in self._commands else argv[:1])
                raise UnknownEntry(f"this version does not know the command {words[:64].decode('ascii', 'replace')!r}")

    def _run(self, commands: list[list[bytes]]) -> Generator[None, None, list[Reply]]:
        return self._rest(commands, 0, [])

    def _rest(self, commands: list[list[bytes]], done: int, replies: list[Reply]) -> Generator[None, None, list[Reply]]:
        """The steps that follow on those of _some(), which came to `done`. Gives all the replies."""
        while True:
            if replies and replies[-1].__class__ is Steps:
                replies[-1] = yield from self._finished(commands[done - 1][0], replies[-1])
            if done == len(commands):
                return replies
            done = self._some(commands, done, replies, self.words_a_step)
            if done < len(commands):
                yield

    def _some(self, commands: list[list[bytes]], done: int, replies: list[Reply], words: int) -> int:
        """Apply the commands from number `done` on, until they have more than so many words or one has Steps to come,
        which are the last of `replies` then. The number of the next command. SETs that follow each other are as one."""
        db, table = self.database, self._applies
        work = 0
        while done < len(commands) and work <= words:
            argv = commands[done]
            name = argv[0]
            count = len(argv)
            done += 1
            work += count
            if count == 3 and (name == b"SET" or name == b"set"):  # the commonest write, straight to its work
                pairs = argv[1:]
                for argv in islice(commands, done, done + self.words_a_step):
                    if len(argv) != 3 or (argv[0] != b"SET" and argv[0] != b"set"):
                        break
                    pairs += argv[1:]
                    done += 1
                db.store_strings(pairs)
                replies += [OK] * (len(pairs) // 2)
                work += len(pairs)
                continue
            found = table.get(name)
            function = found[0] if found is not None and found[1] <= count <= found[2] else self._run_resolved
            try:
                reply = function(db, argv)
            except Refused as refused:
                reply = refused.error
            except Exception as error:  # noqa: BLE001 - one bad command must not end every node, now and at each restart
                reply = self._fault(name, error)
            replies.append(reply)
            if reply.__class__ is Steps:
                break
        return done

    def _finished(self, name: bytes, steps: Steps) -> Generator[None, None, Reply]:
        """The reply of a command that has Steps to come."""
        try:
            return (yield from _all_steps(steps))
        except Refused as refused:
            return refused.error
        except Exception as error:  # noqa: BLE001 - as in _some()
            return self._fault(name, error)

    def _run_resolved(self, db: Database, argv: list[bytes]) -> Reply | Steps:
        """One command the long way: mixed case, subcommands, unknown names, wrong arity."""
        command = INTERNAL.get(argv[0]) or self._commands.resolve(argv)
        return command if isinstance(command, Error) else command.function(db, argv)

    def _fault(self, name: bytes, error: Exception) -> Reply:
        """What no command should raise; of memory and stack this node may have less than others, so it must end."""
        if isinstance(error, MemoryError | RecursionError):
            raise error
        self.on_fault(name, error)
        return FAULT

    def _transaction(
        self, watched: Watched, commands: list[list[bytes]], took: list[float]
    ) -> Generator[None, None, Reply]:
        """All or nothing; nothing if a watched key changed. One that expired meanwhile is deleted by the way."""
        db = self.database
        aborted = False
        for number, (index, key) in enumerate(watched):
            if db.changed_since(key, index):
                aborted = True
            db.touch(key)
            if number % LONG == LONG - 1:
                yield
        return NULL_ARRAY if aborted else (yield from self._run_timed(commands, took))

    def _run_timed(self, commands: list[list[bytes]], took: list[float]) -> Generator[None, None, list[Reply]]:
        """_run() one by one, and how many seconds each took; SETs that follow each other are one, and share them."""
        seconds = self.seconds
        replies: list[Reply] = []
        done = work = 0
        while done < len(commands):
            if work > self.words_a_step:
                work = 0
                yield
            first = done
            started = seconds()
            done = self._some(commands, first, replies, 0)
            spent = seconds() - started
            if replies[-1].__class__ is Steps:
                steps = self._finished(commands[first][0], replies[-1])
                replies[-1], more = yield from timed(steps, seconds)
                spent += more
            count = done - first
            took += [spent / count] * count
            work += count * len(commands[first])
        return replies

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

    # reading ------------------------------------------------------------------------------------

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
        if len(commands) <= SHORT and sum(map(len, commands)) <= LONG and names.isdisjoint(_LONG_READS):
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
                reply, more = yield from timed(_all_steps(reply), seconds)
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

    def expired(self, clock_ms: int, limit: int) -> bytes | None:
        """The packed internal command that deletes up to `limit` keys expired by clock_ms; None if there are none."""
        keys = self.database.deadlines.due(clock_ms, limit)
        return hiredis.pack_command((b"EXPIRED", *keys)) if keys else None  # type: ignore[arg-type]

    def size_of(self, key: bytes, clock_ms: int | None = None) -> int | None:
        """Estimated bytes of memory that the key takes, None when it is missing. Expiry is judged as by query();
        without `clock_ms` as by the query before."""
        if clock_ms is not None:
            self.database.now = clock_ms if clock_ms > self.time_ms else self.time_ms
        record = self.database.find(key)
        return None if record is None else size(key, record)

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
        state = _mix(db.check_sum & MASK)
        for part in (len(db.data), self.time_ms, db.floor, len(db.tombstones)):
            state = _mix(state ^ part)
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

    @property
    def has_waste(self) -> bool:
        """Whether something that FLUSHALL, restoring() or a large value left behind waits to be freed."""
        return bool(self.database.waste)

    def free_waste(self, count: int) -> bool:
        """Free about `count` objects of it; False if there was nothing, or nothing but what a snapshot being taken or a
        read may need."""
        waste = self.database.waste
        if self.database.observer is not None or waste.walks:
            return waste.free_values(count)
        found = bool(waste)
        waste.free(count)
        return found


def _all_steps(steps: Steps) -> Generator[None, None, Reply]:
    while not steps.advance():
        yield
    return steps.reply


def _spellings(commands: Iterable[Command]) -> dict[bytes, tuple[Callable[..., Reply], int, int]]:
    """(function, least words, most words) by name, in upper and lower case. What is not here goes the long way."""
    found = {}
    for command in commands:
        if not command.subcommands:
            most = command.arity if command.arity >= 0 else UNBOUNDED
            found[command.name] = found[command.name.lower()] = (command.function, abs(command.arity), most)
    return found
