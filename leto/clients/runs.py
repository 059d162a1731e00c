"""The slots of one client's reply order. A run is one or more requests that are carried out, and answered, as one.

A run is started when the session's rules allow it (leto.clients.session), and holds its reply bytes in `output`
once it is done. Its place in the session's queue keeps replies in the order of the requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from leto.clients.long import LONG_KINDS, LongReply, is_long
from leto.clients.outcomes import refusal, refused_writes
from leto.clients.table import WRITE, Known
from leto.clients.turns import SLICE_SECONDS
from leto.errors import NotLeader
from leto.keyspace.replies import OK, Error, Reply
from leto.resp.codec import Request, encode

if TYPE_CHECKING:
    from leto.clients.session import Session

Tally = Sequence[tuple[Known, int]]  # which commands a run holds, and how many of each

_OVERHEAD = 256  # bytes that a run itself takes, roughly
REQUEST_BYTES = 120  # a small parsed request takes so much more than its bytes
_SLICE = 1 << 18  # bytes of replies made before they are handed to the output
_LARGE = 4096  # a bulk reply of this size is counted towards the slice
_OK_LINE = b"+OK\r\n"


class Run:
    """A slot. `output` is None until the reply is known; `size`: bytes that it keeps, its requests' for the most."""

    __slots__ = ("output", "size")
    is_write = False

    def __init__(self, size: int, output: bytes | None = None) -> None:
        self.size = size + _OVERHEAD
        self.output = output

    def start(self) -> None:
        """Carry it out; called once, if there is no output yet."""


class WriteRun(Run):
    """Requests that go to the log together: one leto.interfaces.replica.WriteRequest."""

    __slots__ = ("commands", "count", "payload", "resp3", "returns", "session", "silent", "tally")
    is_write = True

    def __init__(self, session: Session, commands: Sequence[Request], payload: bytes, tally: Tally) -> None:
        self.output = None
        self.session = session
        self.commands = commands
        count = self.count = len(commands)
        self.size = len(payload) + REQUEST_BYTES * count + _OVERHEAD
        self.payload = payload
        self.tally = tally
        self.resp3 = session.resp3
        self.silent = session.silent

    def start(self) -> None:
        session = self.session
        state = session.state
        self.returns = not session.writing and state.seconds() < session.prompt_until
        session.writing += 1
        state.replica.submit_write(self)

    def applied(self, replies: Sequence[Reply], start: int, microseconds: float) -> None:
        session, count = self.session, self.count
        session.prompt_until = session.state.replica.prompt_until
        try:
            for known, calls in self.tally:
                known.calls += calls
                known.microseconds += microseconds * calls
            if microseconds >= session.state.slowlog.notable:
                session.note_long(self.tally, self.commands[0], microseconds)  # the first stands for all
            if count == 1 and replies[start] is OK:
                self._end(_OK_LINE)
            else:
                self.finish(replies[start : start + count])
        except Exception:  # noqa: BLE001 - one client's misfortune is no other's
            session.fault()

    def refused(self, error: Exception) -> None:
        try:
            self.finish(self.refusals(error))
        except Exception:  # noqa: BLE001 - as in applied()
            self.session.fault()

    def refusals(self, error: Exception) -> Sequence[Reply]:
        """What each request is told."""
        return refused_writes(error, self.commands, self.session.state.config.on_follower)

    def finish(self, replies: Sequence[Reply]) -> None:
        """These are the replies."""
        session = self.session
        if session.compat_leto:
            replies = [compat_reply(argv, reply) for argv, reply in zip(self.commands, replies, strict=True)]
        if replies.count(OK) == len(replies):
            self._end(_OK_LINE * len(replies))
            return
        for argv, reply in zip(self.commands, replies, strict=True):
            if type(reply) is Error:
                session.count_error(reply, argv)
        self._end(b"".join([encode(reply, self.resp3) for reply in replies]))

    def _end(self, output: bytes) -> None:
        session = self.session
        session.writing -= 1
        if session.is_alone(self):
            session.answer_alone(self, output)
        else:
            self.output = b"" if self.silent else output
            session.proceed()


class MixedRun(WriteRun):
    """Reads and writes that go to the log together on the leader: the log keeps their order.

    If the node turns out not to lead, nothing was appended: the writes are refused, the reads served as such. Writes
    that come after wait for that, as for any read; where one is under way already, the reads are refused too, for
    they might see it.
    """

    __slots__ = ("clock_ms", "error")
    ready = False  # among session.reading: never evaluated as a ReadRun is
    may_wait = True

    def refused(self, error: Exception) -> None:
        session = self.session
        if isinstance(error, NotLeader) and not session.closed and not session.has_started_writes_after(self):
            self.error = error
            session.reading.append(self)
            session.state.replica.read().addCallbacks(self._serve_reads, self._refuse_reads)
        else:
            super().refused(error)

    def _is_write(self, argv: Request) -> bool:
        known = self.session.state.table.resolve(argv)
        return type(known) is Known and known.kind == WRITE

    def _serve_reads(self, clock_ms: int) -> None:
        turns = self.session.state.turns
        if turns.is_held:
            self.clock_ms = clock_ms
            turns.wait(self)
            return
        read = self.session.read
        try:
            self._finish_apart([None if self._is_write(argv) else read(argv, clock_ms) for argv in self.commands])
        except Exception:  # noqa: BLE001 - as in applied()
            self.session.fault()

    def drop(self) -> None:
        """The connection is gone."""

    def proceed(self) -> None:
        """The next slice of reads has begun."""
        if not self.session.closed:
            self._serve_reads(self.clock_ms)

    def _refuse_reads(self, failure: Failure) -> None:
        self._finish_apart([refusal(failure, False)] * len(self.commands))

    def _finish_apart(self, reads: list[Reply]) -> None:
        reading = self.session.reading
        if reading and reading[0] is self:  # else the connection is gone
            reading.popleft()
        writes = self.refusals(self.error)
        self.finish(
            [
                write if self._is_write(argv) else read
                for argv, read, write in zip(self.commands, reads, writes, strict=True)
            ]
        )


class ReadRun(Run):
    """Requests that only read: one leto.interfaces.replica.ReadRequest, then one query each."""

    __slots__ = (
        "at",
        "clock_ms",
        "commands",
        "error",
        "long",
        "long_since",
        "ready",
        "resp3",
        "returns",
        "session",
        "silent",
        "spent",
        "tally",
    )

    def __init__(self, session: Session, commands: Sequence[Request], size: int, tally: Tally) -> None:
        self.size = size + _OVERHEAD
        self.long: LongReply | None = None  # of the command before `at`, which is being answered
        self.spent = 0.0  # seconds, in earlier turns
        self.output = None
        self.session = session
        self.commands = commands
        self.tally = tally
        self.resp3 = session.resp3
        self.silent = session.silent
        self.ready = False  # it may be evaluated: `clock_ms` is known, or the `error`
        self.error: Exception | None = None
        self.at = 0  # commands before it are answered

    def start(self) -> None:
        session = self.session
        state = session.state
        session.reading.append(self)
        if session.readonly:
            self.confirmed(state.replica.read_local())
        else:
            self.returns = len(session.reading) == 1 and state.seconds() < session.prompt_until
            state.replica.submit_read(self)

    def confirmed(self, clock_ms: int) -> None:
        self.clock_ms = clock_ms
        self.ready = True
        session = self.session
        session.prompt_until = session.state.replica.prompt_until
        session.proceed()

    def refused(self, error: Exception) -> None:
        self.error = error
        self.ready = True
        self.session.proceed()

    def evaluate(self) -> bool:
        """Answer what is asked; False if it stopped: the client must take its replies first, or others have their turn.

        What is evaluated later than the read was confirmed sees a later committed state, never an older one.
        """
        if self.error is not None:
            error = refusal(self.error, False)
            for argv in self.commands:
                self.session.count_error(error, argv)
            self.output = b"" if self.silent else encode(error) * len(self.commands)
            return True
        seconds = self.session.state.seconds
        started = seconds()
        try:
            return self._answer(started)
        finally:
            self.spent += seconds() - started

    @property
    def may_wait(self) -> bool:
        """Whether it may wait for the client to take its replies: not while it holds the keyspace."""
        return self.long is None or self.long.is_made

    def _answer(self, started: float) -> bool:
        session = self.session
        if self.long is not None and not self._go_on(started):
            return False
        tally, cheap = self.tally, self._is_cheap
        query, clock_ms, resp3 = session.query if cheap else session.timed_query, self.clock_ms, self.resp3
        seconds = session.state.seconds
        parts: list[bytes] = []
        size = 0
        commands = self.commands[self.at :] if self.at else self.commands
        for argv in commands:
            reply = query(argv, clock_ms)
            if type(reply) is bytes:
                length = len(reply)
                if length > _SLICE and not self.silent:
                    self.at += len(parts) + 1
                    session.send_early(self, b"".join((*parts, b"$%d\r\n" % length)), reply)
                    parts, size = [], 0
                    if self.at < len(self.commands) and (session.is_full or seconds() - started > SLICE_SECONDS):
                        return False
                    continue
                parts.append(b"$%d\r\n%b\r\n" % (length, reply))
                if length < _LARGE:
                    continue
            else:
                if type(reply) is Error:
                    session.count_error(reply, argv)
                elif is_long(reply):
                    self.at += len(parts) + 1
                    if parts and not self.silent:
                        session.send_early(self, b"".join(parts))
                    parts, size = [], 0
                    self._begin_long(LongReply(reply, resp3, session.state.replica), started)
                    if not self._go_on(started):
                        return False
                    continue
                parts.append(encode(reply, resp3))
                length = len(parts[-1])
            size += length
            if size > _SLICE:
                self.at += len(parts)
                if not self.silent:
                    session.send_early(self, b"".join(parts))
                parts, size = [], 0
                if self.at < len(self.commands) and (session.is_full or seconds() - started > SLICE_SECONDS):
                    return False
        for known, calls in tally:
            known.calls += calls
        if cheap:  # not worth a clock each: the average tells
            share = (self.spent + seconds() - started) * 1e6 / len(self.commands)
            for known, calls in tally:
                known.microseconds += share * calls
            if share >= session.state.slowlog.notable:
                session.note_long(tally, self.commands[0], share)
        self.output = b"" if self.silent else parts[0] if len(parts) == 1 else b"".join(parts)
        return True

    @property
    def _is_cheap(self) -> bool:
        tally = self.tally
        return tally[0][0].fast if len(tally) == 1 else all(known.fast for known, _ in tally)

    def _begin_long(self, long: LongReply, started: float) -> None:
        self.long = long
        self.long_since = self.spent + self.session.state.seconds() - started

    def _go_on(self, started: float) -> bool:
        """Further steps of the long reply: whether it is answered. `started`: when this turn's evaluation was."""
        session, long = self.session, self.long
        assert long is not None
        seconds = session.state.seconds
        while True:
            data = long.step()
            if data is None:
                self.long = None
                microseconds = (self.spent + seconds() - started - self.long_since) * 1e6
                if not self._is_cheap:
                    session.note_query(self.commands[self.at - 1], microseconds)
                return True
            if data and not self.silent:
                session.send_early(self, data)
            if long.is_blocked or seconds() - started > SLICE_SECONDS or (long.is_made and session.is_full):
                return False

    def drop(self) -> None:
        """The connection is gone."""
        if self.long is not None:
            self.long.close()


class LoneRead(ReadRun):
    """One request that was all that had come: most reads are such, of clients that wait for each reply."""

    __slots__ = ()

    def confirmed(self, clock_ms: int) -> None:
        session = self.session
        state = session.state
        if state.turns.is_over or not session.is_alone(self):
            super().confirmed(clock_ms)
            return
        session.prompt_until = state.replica.prompt_until
        try:
            argv, known, seconds = self.commands[0], self.tally[0][0], state.seconds
            started = seconds()
            reply = session.query(argv, clock_ms)
            if type(reply) is bytes:
                if len(reply) > _SLICE:
                    super().confirmed(clock_ms)  # sends it without a copy
                    return
                output = b"$%d\r\n%b\r\n" % (len(reply), reply)
            elif type(reply) in LONG_KINDS and is_long(reply):
                super().confirmed(clock_ms)
                return
            else:
                output = encode(reply, self.resp3)
            spent = seconds() - started
            state.turns.spent(spent)
            microseconds = spent * 1e6
            known.calls += 1
            known.microseconds += microseconds
            if microseconds >= state.slowlog.notable:
                session.note_long(self.tally, argv, microseconds)
            if type(reply) is Error:
                session.count_error(reply, argv)
            session.reading.popleft()
            session.answer_alone(self, output)
        except Exception:  # noqa: BLE001 - as in proceed()
            session.fault()


class Task(Run):
    """A connection command whose reply is not there at once; the session goes no further until it is."""

    __slots__ = ("argv", "session", "silent")

    def __init__(self, session: Session, argv: Request, size: int) -> None:
        super().__init__(size)
        self.session = session
        self.argv = argv
        self.silent = session.silent

    def done(self, reply: Reply) -> None:
        try:
            if type(reply) is Error:
                self.session.count_error(reply, self.argv)
            self.output = b"" if self.silent else encode(reply, self.session.resp3)  # HELLO may have changed it
            self.session.resume("task")
        except Exception:  # noqa: BLE001 - as in WriteRun.applied()
            self.session.fault()

    def failed(self, failure: Failure) -> None:
        self.done(refusal(failure, False))


def compat_reply(argv: Request, reply: Reply) -> Reply:
    """The original Leto's replies: an empty value for a missing key, OK for any DEL."""
    name = argv[0].upper()
    if name == b"GET" and reply is None:
        return b""
    if name == b"DEL" and type(reply) is int:
        return OK
    return reply
