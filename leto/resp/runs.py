"""The slots of one client's reply order. A run is one or more requests that are carried out, and answered, as one.

A run is started when the session's rules allow it (leto.resp.session), and holds its reply bytes in `output`
once it is done. Its place in the session's queue keeps replies in the order of the requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from leto.errors import NotLeader
from leto.keyspace.replies import OK, Error, Reply
from leto.resp.codec import Request, encode
from leto.resp.outcomes import refusal, refused_writes
from leto.resp.table import WRITE, Known

if TYPE_CHECKING:
    from leto.resp.session import Session

Tally = Sequence[tuple[Known, int]]  # which commands a run holds, and how many of each

_OVERHEAD = 256  # bytes that a run itself takes, roughly
_SLICE = 1 << 20  # bytes of replies made before they are handed to the output
_LARGE = 4096  # a bulk reply of this size is counted towards the slice


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
    """Requests that go to the log together: one Replica.write()."""

    __slots__ = ("commands", "payload", "resp3", "session", "silent", "started", "tally")
    is_write = True

    def __init__(self, session: Session, commands: Sequence[Request], payload: bytes, tally: Tally) -> None:
        super().__init__(len(payload))
        self.session = session
        self.commands = commands
        self.payload = payload
        self.tally = tally
        self.resp3 = session.resp3
        self.silent = session.silent

    def start(self) -> None:
        session = self.session
        session.writing += 1
        self.started = session.state.reactor.seconds()
        session.state.replica.write(self.payload, len(self.commands)).addCallbacks(self._applied, self._failed)

    def _applied(self, replies: list[Reply]) -> None:
        session = self.session
        try:
            if session.compat_leto:
                replies = [compat_reply(argv, reply) for argv, reply in zip(self.commands, replies, strict=True)]
            microseconds = (session.state.reactor.seconds() - self.started) * 1e6
            session.account(self.tally, len(self.commands), microseconds)
            session.note_if_slow(self.commands[0], microseconds)  # the first stands for all: they took as long
            self.finish(replies)
        except BaseException:
            session.fault()
            raise

    def _failed(self, failure: Failure) -> None:
        policy = self.session.state.config.on_follower
        self.finish(list(refused_writes(failure, self.commands, policy)))

    def finish(self, replies: list[Reply]) -> None:
        count = len(replies)
        if self.silent:
            self.output = b""
        elif replies.count(OK) == count:
            self.output = b"+OK\r\n" * count
        else:
            self.output = b"".join([encode(reply, self.resp3) for reply in replies])
            for argv, reply in zip(self.commands, replies, strict=True):
                if type(reply) is Error:
                    self.session.count_error(reply, argv)
        session = self.session
        session.writing -= 1
        session.proceed()


class MixedRun(WriteRun):
    """Reads and writes that go to the log together on the leader: the log keeps their order.

    If the node turns out not to lead, nothing was appended: the writes are refused, the reads served as such.
    """

    __slots__ = ()

    def _failed(self, failure: Failure) -> None:
        if failure.check(NotLeader) is None:
            super()._failed(failure)
            return
        self.session.state.replica.read().addCallbacks(
            self._serve_reads, self._refuse_reads, callbackArgs=(failure,), errbackArgs=(failure,)
        )

    def _is_write(self, argv: Request) -> bool:
        known = self.session.state.table.resolve(argv)
        return type(known) is Known and known.kind == WRITE

    def _serve_reads(self, clock_ms: int, refused: Failure) -> None:
        query = self.session.query
        try:
            reads = [None if self._is_write(argv) else query(argv, clock_ms) for argv in self.commands]
            self._finish_apart(refused, reads)
        except BaseException:
            self.session.fault()
            raise

    def _refuse_reads(self, failure: Failure, refused: Failure) -> None:
        self._finish_apart(refused, [refusal(failure, False)] * len(self.commands))

    def _finish_apart(self, refused: Failure, reads: list[Reply]) -> None:
        writes = refused_writes(refused, self.commands, self.session.state.config.on_follower)
        self.finish(
            [
                write if self._is_write(argv) else read
                for argv, read, write in zip(self.commands, reads, writes, strict=True)
            ]
        )


class ReadRun(Run):
    """Requests that only read: one Replica.read(), then one query each."""

    __slots__ = ("at", "clock_ms", "commands", "failure", "resp3", "session", "silent", "tally")

    def __init__(self, session: Session, commands: Sequence[Request], size: int, tally: Tally) -> None:
        super().__init__(size)
        self.session = session
        self.commands = commands
        self.tally = tally
        self.resp3 = session.resp3
        self.silent = session.silent
        self.clock_ms = -1  # until the read is confirmed
        self.failure: Failure | None = None
        self.at = 0  # commands before it are answered

    @property
    def ready(self) -> bool:
        return self.clock_ms >= 0 or self.failure is not None

    def start(self) -> None:
        session = self.session
        session.reading.append(self)
        if session.readonly:
            self.clock_ms = session.state.replica.read_local()
            session.proceed()
        else:
            session.state.replica.read().addCallbacks(self._confirmed, self._failed)

    def _confirmed(self, clock_ms: int) -> None:
        self.clock_ms = clock_ms
        self.session.proceed()

    def _failed(self, failure: Failure) -> None:
        self.failure = failure
        self.session.proceed()

    def evaluate(self) -> bool:
        """Answer what is asked; False if it stopped because the client must take its replies first.

        What is evaluated later than the read was confirmed sees a later committed state, never an older one.
        """
        if self.failure is not None:
            error = refusal(self.failure, False)
            for argv in self.commands:
                self.session.count_error(error, argv)
            self.output = b"" if self.silent else encode(error) * len(self.commands)
            return True
        session = self.session
        cheap = all(known.fast for known, _ in self.tally)
        query, clock_ms, resp3 = session.query if cheap else session.timed_query, self.clock_ms, self.resp3
        started = session.state.reactor.seconds()
        parts: list[bytes] = []
        size = 0
        commands = self.commands[self.at :] if self.at else self.commands
        for argv in commands:
            reply = query(argv, clock_ms)
            if type(reply) is bytes:
                length = len(reply)
                parts.append(b"$%d\r\n%b\r\n" % (length, reply))
                if length < _LARGE:
                    continue
            else:
                if type(reply) is Error:
                    session.count_error(reply, argv)
                parts.append(encode(reply, resp3))
                length = len(parts[-1])
            size += length
            if size > _SLICE:
                self.at += len(parts)
                if not self.silent:
                    session.send_early(self, b"".join(parts))
                parts, size = [], 0
                if session.output.unsent > session.state.output_bytes and self.at < len(self.commands):
                    return False
        share = session.account(self.tally, len(self.commands), (session.state.reactor.seconds() - started) * 1e6)
        if cheap:
            session.note_if_slow(self.commands[0], share)  # not worth a clock each: the average tells
        self.output = b"" if self.silent else b"".join(parts)
        return True


class Task(Run):
    """A connection command whose reply is not there at once; the session goes no further until it is."""

    __slots__ = ("argv", "resp3", "session", "silent")

    def __init__(self, session: Session, argv: Request, size: int) -> None:
        super().__init__(size)
        self.session = session
        self.argv = argv
        self.resp3 = session.resp3
        self.silent = session.silent

    def done(self, reply: Reply) -> None:
        try:
            if type(reply) is Error:
                self.session.count_error(reply, self.argv)
            self.output = b"" if self.silent else encode(reply, self.resp3)
        except BaseException:
            self.session.fault()
            raise
        self.session.resume("task")

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
