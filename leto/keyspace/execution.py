"""Commands run against the database, in the order of the log: one after another, or as a transaction.

Few of them are one step, from _some() alone. What is long goes on in generators, one step at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from itertools import islice
from operator import itemgetter

from leto.errors import InapplicableEntry, UnknownEntry
from leto.keyspace.database import Database
from leto.keyspace.internal import INTERNAL
from leto.keyspace.parsing import Request, Watched
from leto.vocabulary.registry import Registry, Spellings, spellings
from leto.vocabulary.replies import NULL_ARRAY, OK, Error, Refused, Reply
from leto.vocabulary.steps import LONG, Steps, all_steps, timed

FAULT = Error(b"ERR internal error, the same on every node: their logs say more")
FIRST = itemgetter(0)
EntrySteps = Generator[None, None, list[Reply]]  # an entry's, to come: they give its replies


class Execution:
    """What a Machine does with an entry's commands."""

    words_a_step = LONG  # of the commands that one step of an entry applies, about
    database: Database

    def __init__(self, commands: Registry) -> None:
        self._commands = commands
        self.on_fault: Callable[[bytes, Exception], None] = lambda name, error: None
        # What transactions' commands take is measured, where there is a clock for it. Nothing else depends on it.
        self.seconds: Callable[[], float] = lambda: 0.0
        self.took: dict[int, list[float]] = {}
        self._applies: Spellings = spellings((*commands.values(), *INTERNAL.values()))
        self._known = frozenset(self._applies)

    def _check_known(self, commands: Iterable[list[bytes]]) -> None:
        """Raises UnknownEntry for a command of a later version: to answer it by an error would part the nodes.
        InapplicableEntry for a MULTI or EXEC that is not where it belongs."""
        if self._known.issuperset(map(FIRST, commands)):
            return
        for argv in commands:
            name = argv[0].upper()
            if name in (b"MULTI", b"EXEC"):
                raise InapplicableEntry(f"batch holds a {name.decode()} that is no transaction's")
            if argv[0] not in INTERNAL and self._commands.find(argv) is None:
                words = b" ".join(argv[:2] if name in self._commands else argv[:1])
                raise UnknownEntry(f"this version does not know the command {words[:64].decode('ascii', 'replace')!r}")

    def _begin_requests(self, requests: list[Request], replies: list[Reply]) -> EntrySteps | None:
        """The first step of an entry's requests, which is all of them where none is long; else the steps to come.
        `replies` receives the replies."""
        took: dict[int, list[float]] = {}
        for number, (watched, run) in enumerate(requests):
            answers = replies
            times: list[float] | None = None
            if watched is not None:
                if len(watched) > LONG:
                    return self._run_requests(requests[number:], replies, took)
                answers = []
                took[len(replies)] = times = []
                if watched and self._has_changed(watched):
                    replies.append(NULL_ARRAY)
                    continue
            if run:
                done = self._some(run, 0, answers, self.words_a_step, times)
                if done < len(run) or answers[-1].__class__ is Steps:
                    return self._rest_of_requests(requests[number:], done, answers, replies, took)
            if watched is not None:
                replies.append(answers)
        self.took = took
        return None

    def _rest_of_requests(
        self,
        requests: list[Request],
        done: int,
        answers: list[Reply],
        replies: list[Reply],
        took: dict[int, list[float]],
    ) -> EntrySteps:
        """The steps that follow on those of _begin_requests(), which came to command `done` of the first of these."""
        watched, run = requests[0]
        if watched is None:
            yield from self._rest(run, done, answers, None)
        else:
            yield from self._rest(run, done, answers, took[len(replies)])
            replies.append(answers)
        return (yield from self._run_requests(requests[1:], replies, took))

    def _run_requests(self, requests: list[Request], replies: list[Reply], took: dict[int, list[float]]) -> EntrySteps:
        """All of these in steps. `replies` has those of the requests before, and receives theirs."""
        for watched, run in requests:
            if watched is None:
                yield from self._rest(run, 0, replies, None)
            else:
                times: list[float] = []
                took[len(replies)] = times
                replies.append((yield from self._transaction(watched, run, times)))
        self.took = took
        return replies

    # transactions -------------------------------------------------------------------------------

    def _transaction(
        self, watched: Watched, commands: list[list[bytes]], took: list[float]
    ) -> Generator[None, None, Reply]:
        """All or nothing; nothing if a watched key changed."""
        aborted = False
        for start in range(0, len(watched), LONG):
            if start:
                yield
            aborted |= self._has_changed(watched[start : start + LONG])
        return NULL_ARRAY if aborted else (yield from self._rest(commands, 0, [], took))

    def _has_changed(self, watched: Watched) -> bool:
        """Whether one of them has, so that the transaction aborts. A key that expired meanwhile is deleted by the
        way."""
        db = self.database
        changed = False
        for index, key in watched:
            if db.changed_since(key, index):
                changed = True
            db.touch(key)
        return changed

    # a run of commands --------------------------------------------------------------------------

    def _rest(
        self, commands: list[list[bytes]], done: int, replies: list[Reply], took: list[float] | None
    ) -> EntrySteps:
        """The steps that follow on those of _some(), which came to `done`. Gives all the replies."""
        while True:
            if replies and replies[-1].__class__ is Steps:
                steps = self._finished(commands[done - 1][0], replies[-1])
                if took is None:
                    replies[-1] = yield from steps
                else:
                    replies[-1], more = yield from timed(steps, self.seconds)
                    took[-1] += more
            if done == len(commands):
                return replies
            done = self._some(commands, done, replies, self.words_a_step, took)
            if done < len(commands):
                yield

    def _some(
        self, commands: list[list[bytes]], done: int, replies: list[Reply], words: int, took: list[float] | None
    ) -> int:
        """Apply the commands from number `done` on, until they have more than so many words or one has Steps to come,
        which are the last of `replies` then. The number of the next command. SETs that follow each other are as one.
        `took` receives the seconds of each, if that is wanted."""
        db, table = self.database, self._applies
        last = len(commands)
        work = 0
        if took is not None:
            seconds = self.seconds
            started = seconds()
        while done < last and work <= words:
            argv = commands[done]
            name = argv[0]
            count = len(argv)
            first = done
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
                replies += [OK] * (done - first)
                work += len(pairs)
            else:
                found = table.get(name)
                function = found[0] if found is not None and found[1] <= count <= found[2] else self._run_resolved
                try:
                    reply = function(db, argv)
                except Refused as refused:
                    reply = refused.error
                except Exception as error:  # noqa: BLE001 - one bad command must not end all nodes, now and at each restart
                    reply = self._fault(name, error)
                replies.append(reply)
            if took is not None:
                ended = seconds()
                took += [(ended - started) / (done - first)] * (done - first)
                started = ended
            if replies[-1].__class__ is Steps:
                break
        return done

    def _finished(self, name: bytes, steps: Steps) -> Generator[None, None, Reply]:
        """The reply of a command that has Steps to come."""
        try:
            return (yield from all_steps(steps))
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
