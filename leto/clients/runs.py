"""The slots of one client's reply order. A run is one or more requests that are carried out, and answered, as one.

A run is started when its client's queue allows it (leto.clients.queue), and holds its reply bytes in `output`
once it is done. Its place in the queue keeps replies in the order of the requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.python.failure import Failure

from leto.clients.accounts import Accounts, Tally
from leto.clients.long import LongReply, is_long
from leto.clients.outcomes import refusal, refused_writes
from leto.clients.state import ServerState
from leto.clients.table import WRITE, Known
from leto.clients.turns import SLICE_SECONDS
from leto.errors import NotLeader
from leto.resp.codec import Request, encode
from leto.vocabulary.replies import OK, Error, Reply

OVERHEAD = 256  # bytes that a run itself takes, roughly
REQUEST_BYTES = 120  # a small parsed request takes so much more than its bytes
SLICE = 1 << 18  # bytes of replies made before they are handed to the output
_LARGE = 4096  # a bulk reply of this size is counted towards the slice
OK_LINE = b"+OK\r\n"


class Client(Protocol):
    """What a run is given of the client whose it is: leto.clients.queue.RunQueue."""

    state: ServerState
    accounts: Accounts
    resp3: bool
    silent: bool
    readonly: bool
    compat_leto: bool
    closed: bool
    writing: int
    prompt_until: float
    reading: deque[Any]  # of ReadRun, MixedRun and leto.clients.lone.LoneRead
    query: Callable[[Request, int], Reply]

    @property
    def is_full(self) -> bool:
        """So much waits for the client to take it that no more is made for now."""

    def read(self, argv: Request, clock_ms: int) -> Reply:
        """query(), whole."""

    def timed_query(self, argv: Request, clock_ms: int) -> Reply:
        """query(), and the command's time noted."""

    def has_started_writes_after(self, run: Run) -> bool:
        """Whether a write that came after `run`, which is not answered, was handed to the replica."""

    def is_alone(self, run: Run) -> bool:
        """Whether that run, which is answered now, is all that the client waits for."""

    def is_next(self, run: Run) -> bool:
        """Whether every run before it has been sent its reply."""

    def answer_alone(self, run: WriteRun, output: bytes) -> None:
        """Send the reply of a run that is_alone()."""

    def send_early(self, run: Run, data: bytes, value: bytes | None = None) -> None:
        """Part of the reply of `run`, which is being evaluated, and then `value` with its CRLF."""

    def keeps_requests(self) -> None:
        """It may keep more of its requests than was told."""

    def proceed(self) -> None:
        """A run has ended, or may be evaluated."""

    def resume(self, reason: str) -> None:
        """What held the client back for that reason is over."""

    def fault(self) -> None:
        """A bug of ours while answering: the exception at hand is logged, the connection closed."""


class Run:
    """A slot. `output` is None until the reply is known; `size`: bytes that it keeps, its requests' for the most."""

    __slots__ = ("output", "size")
    is_write = False

    def __init__(self, size: int, output: bytes | None = None) -> None:
        self.size = size + OVERHEAD
        self.output = output

    def start(self) -> None:
        """Carry it out; called once, if there is no output yet."""

    def drop(self) -> None:
        """The connection is gone."""


class WriteRun(Run):
    """Requests that go to the log together: one leto.interfaces.replica.WriteRequest."""

    __slots__ = ("client", "commands", "count", "payload", "resp3", "returns", "silent", "tally")
    is_write = True

    def __init__(self, client: Client, commands: Sequence[Request], payload: bytes, tally: Tally) -> None:
        self.output = None
        self.client = client
        self.commands = commands
        count = self.count = len(commands)
        self.size = len(payload) + REQUEST_BYTES * count + OVERHEAD
        self.payload = payload
        self.tally = tally
        self.resp3 = client.resp3
        self.silent = client.silent

    def start(self) -> None:
        client = self.client
        state = client.state
        self.returns = not client.writing and state.seconds() < client.prompt_until
        client.writing += 1
        state.replica.submit_write(self)

    def applied(self, replies: Sequence[Reply], start: int, microseconds: float) -> None:
        client, count = self.client, self.count
        client.prompt_until = client.state.replica.prompt_until
        try:
            for known, calls in self.tally:
                known.calls += calls
                known.microseconds += microseconds * calls
            if microseconds >= client.state.slowlog.notable:
                client.accounts.note_long(self.tally, self.commands[0], microseconds)  # the first stands for all
            if count == 1 and replies[start] is OK:
                self._end(OK_LINE)
            else:
                self.finish(replies[start : start + count])
        except Exception:  # noqa: BLE001 - one client's misfortune is no other's
            client.fault()

    def refused(self, error: Exception) -> None:
        try:
            self.finish(self.refusals(error))
        except Exception:  # noqa: BLE001 - as in applied()
            self.client.fault()

    def refusals(self, error: Exception) -> Sequence[Reply]:
        """What each request is told."""
        return refused_writes(error, self.commands, self.client.state.config.on_follower)

    def finish(self, replies: Sequence[Reply]) -> None:
        """These are the replies."""
        client = self.client
        if client.compat_leto:
            replies = [compat_reply(argv, reply) for argv, reply in zip(self.commands, replies, strict=True)]
        if replies.count(OK) == len(replies):
            self._end(OK_LINE * len(replies))
            return
        for argv, reply in zip(self.commands, replies, strict=True):
            if type(reply) is Error:
                client.accounts.count_error(reply, argv)
        self._end(b"".join([encode(reply, self.resp3) for reply in replies]))

    def _end(self, output: bytes) -> None:
        client = self.client
        client.writing -= 1
        if client.is_alone(self):
            client.answer_alone(self, output)
        else:
            self.output = b"" if self.silent else output
            client.proceed()


class MixedRun(WriteRun):
    """Reads and writes that go to the log together on the leader: the log keeps their order.

    If the node turns out not to lead, nothing was appended: the writes are refused, the reads served as such. Writes
    that come after wait for that, as for any read; where one is under way already, the reads are refused too, for
    they might see it.
    """

    __slots__ = ("clock_ms", "error")
    ready = False  # among client.reading: never evaluated as a ReadRun is
    may_wait = True

    def refused(self, error: Exception) -> None:
        client = self.client
        if isinstance(error, NotLeader) and not client.closed and not client.has_started_writes_after(self):
            self.error = error
            client.reading.append(self)
            client.state.replica.read().addCallbacks(self._serve_reads, self._refuse_reads)
        else:
            super().refused(error)

    def _is_write(self, argv: Request) -> bool:
        known = self.client.state.table.resolve(argv)
        return type(known) is Known and known.kind == WRITE

    def _serve_reads(self, clock_ms: int) -> None:
        turns = self.client.state.turns
        if turns.is_held:
            self.clock_ms = clock_ms
            turns.wait(self)
            return
        read = self.client.read
        try:
            self._finish_apart([None if self._is_write(argv) else read(argv, clock_ms) for argv in self.commands])
        except Exception:  # noqa: BLE001 - as in applied()
            self.client.fault()

    def proceed(self) -> None:
        """The next slice of reads has begun."""
        if not self.client.closed:
            self._serve_reads(self.clock_ms)

    def _refuse_reads(self, failure: Failure) -> None:
        self._finish_apart([refusal(failure, False)] * len(self.commands))

    def _finish_apart(self, reads: list[Reply]) -> None:
        reading = self.client.reading
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
        "client",
        "silent",
        "spent",
        "tally",
    )

    def __init__(self, client: Client, commands: Sequence[Request], size: int, tally: Tally) -> None:
        self.size = size + OVERHEAD
        self.long: LongReply | None = None  # of the command before `at`, which is being answered
        self.spent = 0.0  # seconds, in earlier turns
        self.output = None
        self.client = client
        self.commands = commands
        self.tally = tally
        self.resp3 = client.resp3
        self.silent = client.silent
        self.ready = False  # it may be evaluated: `clock_ms` is known, or the `error`
        self.error: Exception | None = None
        self.at = 0  # commands before it are answered

    def start(self) -> None:
        client = self.client
        state = client.state
        client.reading.append(self)
        if client.readonly:
            self.confirmed(state.replica.read_local())
        else:
            self.returns = len(client.reading) == 1 and state.seconds() < client.prompt_until
            state.replica.submit_read(self)

    def confirmed(self, clock_ms: int) -> None:
        self.clock_ms = clock_ms
        self.ready = True
        client = self.client
        client.prompt_until = client.state.replica.prompt_until
        client.proceed()

    def refused(self, error: Exception) -> None:
        self.error = error
        self.ready = True
        self.client.proceed()

    def evaluate(self) -> bool:
        """Answer what is asked; False if it stopped: the client must take its replies first, or others have their turn.

        What is evaluated later than the read was confirmed sees a later committed state, never an older one.
        """
        if self.error is not None:
            error = refusal(self.error, False)
            for argv in self.commands:
                self.client.accounts.count_error(error, argv)
            self.output = b"" if self.silent else encode(error) * len(self.commands)
            return True
        seconds = self.client.state.seconds
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
        client = self.client
        if self.long is not None and not self._go_on(started):
            return False
        tally, cheap = self.tally, self._is_cheap
        query, clock_ms, resp3 = client.query if cheap else client.timed_query, self.clock_ms, self.resp3
        seconds = client.state.seconds
        parts: list[bytes] = []
        size = 0
        commands = self.commands[self.at :] if self.at else self.commands
        for argv in commands:
            reply = query(argv, clock_ms)
            if type(reply) is bytes:
                length = len(reply)
                if length > SLICE and not self.silent:
                    self.at += len(parts) + 1
                    client.send_early(self, b"".join((*parts, b"$%d\r\n" % length)), reply)
                    parts, size = [], 0
                    if self.at < len(self.commands) and (client.is_full or seconds() - started > SLICE_SECONDS):
                        return False
                    continue
                parts.append(b"$%d\r\n%b\r\n" % (length, reply))
                if length < _LARGE:
                    continue
            else:
                if type(reply) is Error:
                    client.accounts.count_error(reply, argv)
                elif is_long(reply):
                    self.at += len(parts) + 1
                    if parts and not self.silent:
                        client.send_early(self, b"".join(parts))
                    parts, size = [], 0
                    self._begin_long(LongReply(reply, resp3, client.state.replica), started)
                    if not self._go_on(started):
                        return False
                    continue
                parts.append(encode(reply, resp3))
                length = len(parts[-1])
            size += length
            if size > SLICE:
                self.at += len(parts)
                if not self.silent:
                    client.send_early(self, b"".join(parts))
                parts, size = [], 0
                if self.at < len(self.commands) and (client.is_full or seconds() - started > SLICE_SECONDS):
                    return False
        for known, calls in tally:
            known.calls += calls
        if cheap:  # not worth a clock each: the average tells
            share = (self.spent + seconds() - started) * 1e6 / len(self.commands)
            for known, calls in tally:
                known.microseconds += share * calls
            if share >= client.state.slowlog.notable:
                client.accounts.note_long(tally, self.commands[0], share)
        self.output = b"" if self.silent else parts[0] if len(parts) == 1 else b"".join(parts)
        return True

    @property
    def _is_cheap(self) -> bool:
        tally = self.tally
        return tally[0][0].fast if len(tally) == 1 else all(known.fast for known, _ in tally)

    def _begin_long(self, long: LongReply, started: float) -> None:
        self.long = long
        self.long_since = self.spent + self.client.state.seconds() - started

    def _go_on(self, started: float) -> bool:
        """Further steps of the long reply: whether it is answered. `started`: when this turn's evaluation was."""
        client, long = self.client, self.long
        assert long is not None
        seconds = client.state.seconds
        while True:
            data = long.step()
            if data is None:
                self.long = None
                microseconds = (self.spent + seconds() - started - self.long_since) * 1e6
                if not self._is_cheap:
                    client.accounts.note_query(self.commands[self.at - 1], microseconds)
                return True
            if data and not self.silent:
                client.send_early(self, data)
            if long.is_blocked or seconds() - started > SLICE_SECONDS or (long.is_made and client.is_full):
                return False

    def drop(self) -> None:
        """The connection is gone."""
        if self.long is not None:
            self.long.close()


def compat_reply(argv: Request, reply: Reply) -> Reply:
    """The original Leto's replies: an empty value for a missing key, OK for any DEL."""
    name = argv[0].upper()
    if name == b"GET" and reply is None:
        return b""
    if name == b"DEL" and type(reply) is int:
        return OK
    return reply
