"""The straight way of one request that is all that its client waits for: most requests are such.

Each stands in the queue in place of a run (leto.clients.runs), and does what that does: where anything else is under
way when it is answered, it becomes one. The queue is as correct without it. Made in C, and answered by one function,
for with many clients there is nothing but these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import ClassVar, Protocol

import msgspec

from leto.clients import runs
from leto.clients.long import LONG_KINDS, is_long
from leto.clients.output import Output
from leto.clients.runs import OK_LINE, SLICE, ReadRun, Run, WriteRun
from leto.clients.table import Known
from leto.clients.turns import SLICE_SECONDS
from leto.reactor.stalls import SHORT
from leto.resp.codec import Request, encode
from leto.vocabulary.replies import OK, Error, Reply


class Client(runs.Client, Protocol):
    """What it is given of the client whose it is, besides what a run is: leto.clients.queue.RunQueue."""

    pending: deque[Run | LoneRead | LoneWrite]
    pending_bytes: int
    backlog: deque[Request]
    receiving: bool
    proceeding: bool
    closing: bool
    half_closed: bool
    blocked: str
    takes: bool
    output: Output

    def send_rest(self, output: bytes, sent: int) -> None:
        """So much of the reply was sent at once; it is counted."""


class LoneWrite(msgspec.Struct, eq=False):
    """In place of a WriteRun: a leto.interfaces.replica.WriteRequest."""

    client: Client
    commands: Sequence[Request]
    payload: bytes
    known: Known
    size: int
    returns: bool
    resp3: bool
    output: bytes | None = None
    count: ClassVar[int] = 1
    is_write: ClassVar[bool] = True

    def applied(self, replies: Sequence[Reply], start: int, microseconds: float) -> None:
        """Answer."""
        client = self.client
        try:
            reply = replies[start]
            state, pending = client.state, client.pending
            if (
                len(pending) != 1
                or pending[0] is not self
                or client.receiving
                or client.proceeding
                or client.closing
                or client.half_closed
                or client.blocked
                or client.backlog
                or not client.takes
                or (send := client.output.straight) is None
                or microseconds >= state.slowlog.notable
                or type(reply) is Error
                or client.compat_leto
            ):
                self._become_run().applied(replies, start, microseconds)
                return
            client.prompt_until = state.replica.prompt_until
            known = self.known
            known.calls += 1
            known.microseconds += microseconds
            output = OK_LINE if reply is OK else encode(reply, self.resp3)
            client.writing -= 1
            pending.popleft()
            client.pending_bytes -= self.size
            state.counters.output_bytes += len(output)
            try:
                sent = send(output)
            except OSError:  # write() meets it again
                sent = 0
            if sent < len(output):
                client.send_rest(output, sent)
        except Exception:  # noqa: BLE001 - one client's misfortune is no other's
            client.fault()

    def refused(self, error: Exception) -> None:
        """See WriteRun."""
        self._become_run().refused(error)

    def _become_run(self) -> WriteRun:
        """The run whose place it has, under way already."""
        client = self.client
        run = WriteRun(client, self.commands, self.payload, self.known.once)
        run.resp3, run.silent = self.resp3, False
        if client.pending and client.pending[0] is self:  # else the connection is gone
            client.pending[0] = run
        return run

    def start(self) -> None:
        raise AssertionError("it is under way from the beginning")

    def drop(self) -> None:
        """The connection is gone."""


class LoneRead(msgspec.Struct, eq=False):
    """In place of a ReadRun: a leto.interfaces.replica.ReadRequest."""

    client: Client
    commands: Sequence[Request]
    known: Known
    size: int
    returns: bool
    resp3: bool
    output: bytes | None = None
    is_write: ClassVar[bool] = False
    ready: ClassVar[bool] = False  # among client.reading: it becomes a run before it may be evaluated as one
    may_wait: ClassVar[bool] = True

    def confirmed(self, clock_ms: int) -> None:
        """Query the keyspace, and answer."""
        client = self.client
        try:
            state, pending = client.state, client.pending
            turns = state.turns
            if (
                len(pending) != 1
                or pending[0] is not self
                or turns.is_over
                or client.receiving
                or client.proceeding
                or client.closing
                or client.half_closed
                or client.blocked
                or client.backlog
                or not client.takes
                or (send := client.output.straight) is None
            ):
                self._become_run().confirmed(clock_ms)
                return
            argv, known, seconds = self.commands[0], self.known, state.seconds
            started = seconds()
            reply = client.query(argv, clock_ms)
            if type(reply) is bytes:
                if len(reply) > SLICE:
                    self._become_run().confirmed(clock_ms)  # sends it without a copy
                    return
                output = b"$%d\r\n%b\r\n" % (len(reply), reply)
            elif type(reply) in LONG_KINDS and is_long(reply):
                self._become_run().confirmed(clock_ms)
                return
            else:
                output = encode(reply, self.resp3)
            spent = seconds() - started
            if spent > SHORT or turns.taken + spent > SLICE_SECONDS:
                turns.spent(spent)
            else:
                turns.taken += spent
            client.prompt_until = state.replica.prompt_until
            microseconds = spent * 1e6
            known.calls += 1
            known.microseconds += microseconds
            if microseconds >= state.slowlog.notable:
                client.accounts.note_long(known.once, argv, microseconds)
            if type(reply) is Error:
                client.accounts.count_error(reply, argv)
            client.reading.popleft()
            pending.popleft()
            client.pending_bytes -= self.size
            state.counters.output_bytes += len(output)
            try:
                sent = send(output)
            except OSError:  # write() meets it again
                sent = 0
            if sent < len(output):
                client.send_rest(output, sent)
        except Exception:  # noqa: BLE001 - as in RunQueue.proceed()
            client.fault()

    def refused(self, error: Exception) -> None:
        """See ReadRun."""
        self._become_run().refused(error)

    def _become_run(self) -> ReadRun:
        """The run whose place it has, under way already."""
        client = self.client
        run = ReadRun(client, self.commands, 0, self.known.once)
        run.size, run.resp3, run.silent = self.size, self.resp3, False
        if client.pending and client.pending[0] is self:  # else the connection is gone
            client.pending[0] = client.reading[0] = run
        return run

    def start(self) -> None:
        raise AssertionError("it is under way from the beginning")

    def drop(self) -> None:
        """The connection is gone."""
