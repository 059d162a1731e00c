"""The queue of one client's runs: what may start when, and what is sent when.

- Replies leave in the order of the requests: `pending` holds the runs (leto.clients.runs), and is flushed from its
  head; one write to the output for all that is answered within a reactor turn.
- Writes are handed to the replica as they come; reads wait until the writes before them are resolved, a write waits
  until the reads before it are evaluated.
- When the client is read from, and what is kept of it, is leto.clients.flow's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice

from twisted.logger import Logger

from leto.clients.accounts import Accounts
from leto.clients.flow import Flow, Owner
from leto.clients.identity import Identity
from leto.clients.lone import LoneRead, LoneWrite
from leto.clients.long import is_long
from leto.clients.output import Output
from leto.clients.runs import REQUEST_BYTES, MixedRun, ReadRun, Run, WriteRun, compat_reply
from leto.clients.state import ServerState
from leto.resp.codec import Request, encode
from leto.vocabulary.replies import Push, Reply
from leto.vocabulary.steps import Steps

log = Logger()


def _ignore(is_reading: bool) -> None:
    """There is nobody to read from any more."""


class RunQueue(Flow):
    """The leto.clients.runs.Client. `reading` are the runs under way that read, in order; `writing` counts the write
    runs under way. `silent`: the request at hand gets no reply (CLIENT REPLY)."""

    # More attributes than the interpreter keeps in an object without a dictionary of its own (30): each look at one of
    # them, and each call of a method, would go through that.
    __slots__ = (
        "_flush_planned",
        "_begun",
        "_pushes",
        "_unstarted",
        "accounts",
        "backlog",
        "compat_leto",
        "pending",
        "proceeding",
        "prompt_until",
        "query",
        "reading",
        "readonly",
        "receiving",
        "resp3",
        "silent",
        "writing",
    )

    def __init__(
        self,
        owner: Owner,
        state: ServerState,
        identity: Identity,
        output: Output,
        set_reading: Callable[[bool], None],
    ) -> None:
        super().__init__(owner, state, identity, output, set_reading)
        self.accounts = Accounts(state, identity)
        self.compat_leto = state.config.compat == "leto"
        query: Callable[[Request, int], Reply] = state.replica.machine.begin_query
        self.query = partial(_compat_query, query) if self.compat_leto else query
        self.readonly = False  # READONLY: reads of this connection may be stale
        self.resp3 = False
        self.silent = False
        self.writing = 0
        self.prompt_until = 0.0  # a request that comes by then follows the last reply at once
        self.reading: deque[ReadRun | MixedRun | LoneRead] = deque()
        self.pending: deque[Run | LoneRead | LoneWrite] = deque()
        self._unstarted: deque[Run] = deque()
        self.backlog: deque[Request] = deque()  # requests behind a blocking one
        self.receiving = False  # in the middle of a chunk: all its answers leave together
        self.proceeding = False
        self._flush_planned = False
        self._begun: Run | None = None  # part of its reply is sent
        self._pushes: list[bytes] = []  # what waits for the end of that reply

    def answer(self, reply: Reply) -> None:
        """Queue a reply that is known already."""
        run = Run(0, b"" if self.silent else encode(reply, self.resp3))
        run.size += len(run.output or b"")
        self.pending_bytes += run.size
        self.pending.append(run)

    def push(self, message: Push) -> None:
        """Send what the client did not ask for: after the replies that are made, before those to come, never inside
        one. As in Redis it is sent even where replies are not wanted (CLIENT REPLY OFF).

        Raises ValueError for a client that could not tell it from a reply: one of RESP2 that is not subscribed.
        """
        if not (self.resp3 or self.is_subscribed):
            raise ValueError("a client of RESP2 takes messages only while it is subscribed")
        if self.closing:
            return
        self._flush_now()
        data = encode(message, self.resp3)
        if self._begun is not None:
            self._pushes.append(data)
            self.pushed_bytes += len(data)
            self.mind_burden()
            return
        self._send(data)
        self._mind_limits()

    def add(self, run: Run) -> None:
        """Queue a run, and start it if nothing is before it."""
        pending = self.pending
        self.pending_bytes += run.size
        if pending:
            pending.append(run)
            self._unstarted.append(run)
            return
        pending.append(run)
        try:
            run.start()  # nothing is before it
        except Exception:  # noqa: BLE001 - as in proceed()
            self.fault()

    def proceed(self) -> None:
        """Start what may start, evaluate what may be evaluated, send what is answered. Called whenever a run ends.
        A fault of ours is logged, and ends this connection only."""
        if self.proceeding or self.closed:
            return
        unstarted, reading = self._unstarted, self.reading
        if unstarted or reading:
            turns, seconds = self.state.turns, self.state.seconds
            self.proceeding = True
            try:
                while True:
                    if reading and reading[0].ready:
                        if self.is_full and reading[0].may_wait:
                            break  # until drained()
                        if turns.is_over:
                            turns.wait(self)
                            break
                        began = seconds()
                        whole = reading[0].evaluate()  # type: ignore[union-attr]  # others are never ready
                        turns.spent(seconds() - began)
                        if not whole:
                            if not self.is_full or not reading[0].may_wait:
                                turns.wait(self)
                            break  # else until drained()
                        reading.popleft()
                    elif unstarted and not (reading if unstarted[0].is_write else self.writing):
                        unstarted.popleft().start()
                    else:
                        break
            except Exception:  # noqa: BLE001 - see above
                self.fault()
            finally:
                self.proceeding = False
        if self.blocked == "exec" and (not self.pending or self.pending[-1].output is not None):
            self.owner.resume("exec")
        elif not self.receiving:
            self._flush()

    @property
    def has_unstarted(self) -> bool:
        """Whether a run waits for others to end."""
        return bool(self._unstarted)

    @property
    def request_bytes(self) -> int:
        """About what the requests here take."""
        return self.held + self.pending_bytes + REQUEST_BYTES * len(self.backlog)

    def keeps_requests(self) -> None:
        """More of them than before: leto.clients.memory is told."""
        if not self.closed:
            self.state.memory.keeps_requests(self.owner)

    def resume(self, reason: str) -> None:
        """What held the client back for that reason is over."""
        if not self.closed:
            self.owner.resume(reason)

    # what its runs ask the keyspace -------------------------------------------------------------------

    def read(self, argv: Request, clock_ms: int) -> Reply:
        """query(), whole."""
        reply = self.query(argv, clock_ms)
        return reply.finish() if type(reply) is Steps else reply

    def timed_query(self, argv: Request, clock_ms: int) -> Reply:
        """query(), and the command's time noted; that of a long one is once it is made and encoded."""
        seconds = self.state.seconds
        started = seconds()
        reply = self.query(argv, clock_ms)
        if not is_long(reply):
            self.accounts.note_query(argv, (seconds() - started) * 1e6)
        return reply

    # what is answered ---------------------------------------------------------------------------------

    def has_started_writes_after(self, run: Run) -> bool:
        """Whether a write that came after `run`, which is not answered, was handed to the replica."""
        pending = self.pending
        waiting = set(map(id, self._unstarted))
        later = islice(pending, pending.index(run) + 1, None)
        return any(after.is_write and id(after) not in waiting for after in later)

    def is_alone(self, run: Run) -> bool:
        """Whether that run, which is answered now, is all that the client waits for: its reply may be sent at once."""
        pending = self.pending
        return (
            len(pending) == 1
            and pending[0] is run
            and not (self.receiving or self.proceeding or self.closing or self.half_closed or self.blocked)
            and not self.backlog
            and self.takes
            and not self.output.unsent
        )

    def is_next(self, run: Run) -> bool:
        """Whether every run before it has been sent its reply."""
        return bool(self.pending) and self.pending[0] is run

    def answer_alone(self, run: WriteRun, output: bytes) -> None:
        """Send the reply of a run that is_alone(): what proceed() comes to for it."""
        self.pending.popleft()
        self.pending_bytes -= run.size
        if not run.silent:
            self.state.counters.output_bytes += len(output)
            self.output.write(output)
            if self.output.unsent:
                self._mind_limits()

    def send_rest(self, output: bytes, sent: int) -> None:
        """So much of the reply of a request that was alone was sent at once; it is counted."""
        self.output.write(output[sent:])
        if self.output.unsent:
            self._mind_limits()

    def _flush(self) -> None:
        pending = self.pending
        if len(pending) > 1 and pending[-1].output is None and pending[0].output is not None:
            # More is under way and may be answered in this very turn: one write for all of it.
            if not self._flush_planned:
                self._flush_planned = True
                self.state.soon(self._flush_as_planned)
            return
        self._flush_now()

    def _flush_as_planned(self) -> None:
        if self._flush_planned and not self.closed:
            self._flush_now()

    def _flush_now(self) -> None:
        self._flush_planned = False
        pending = self.pending
        if pending and pending[0].output is not None:
            run = pending.popleft()
            self.pending_bytes -= run.size
            data: bytes = run.output  # type: ignore[assignment]
            if self._begun is not None:  # it was that run's
                self._begun = None
                data = self._with_pushes(data)
            if pending and pending[0].output is not None:
                outputs = [data]
                while pending and pending[0].output is not None:
                    run = pending.popleft()
                    self.pending_bytes -= run.size
                    outputs.append(run.output)  # type: ignore[arg-type]
                data = b"".join(outputs)
            if data:
                self.state.counters.output_bytes += len(data)
                self.output.write(data)
        if not pending and not self.closed and (self.closing or (self.half_closed and not (self.backlog or self.held))):
            self.closing = True
            self.output.close()
        self._mind_limits()

    def _send(self, data: bytes) -> None:
        self.state.counters.output_bytes += len(data)
        self.output.write(data)

    def _with_pushes(self, data: bytes) -> bytes:
        """`data`, and what was pushed while it was made."""
        if self._pushes:
            data = b"".join((data, *self._pushes))
            self._drop_pushes()
        return data

    def _drop_pushes(self) -> None:
        self._pushes.clear()
        self.pushed_bytes = 0

    def send_early(self, run: Run, data: bytes, value: bytes | None = None) -> None:
        """Part of the reply of `run`, which is being evaluated: every run before it is answered.

        `value` follows `data` and is ended by CRLF. It is not copied: all clients that wait for it share it.
        """
        pending = self.pending
        while pending and pending[0] is not run:
            before = pending.popleft()
            self.pending_bytes -= before.size
            data = (before.output or b"") + data
        self._begun = run
        self._send(data)
        if value is not None:
            self._send(value)
            self._send(b"\r\n")
        self._mind_limits()

    def drained(self) -> None:
        """The client has taken everything."""
        self._end_soft_limit()
        self.proceed()

    # the end -----------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> bool:
        return bool(self.pending or self.backlog or self.held)

    def end_of_input(self) -> None:
        """The client closed its half: what it asked for is answered, then the connection closes."""
        self.half_closed = True
        self.proceed()

    def close(self) -> None:
        """The node stops: send what is answered, then close."""
        self.closing = True
        self._flush_now()
        self.output.close()

    def kill(self) -> None:
        """Close at once; what waits is dropped."""
        self.closing = True
        self.drop_held()
        self._drop_pushes()
        self.output.abort()

    def fault(self) -> None:
        """A bug of ours while answering: the exception at hand is logged. The client must not wait for ever."""
        log.failure("answering {client} failed: its connection is closed", client=self.identity.peer)
        self.kill()

    def lost(self) -> None:
        """The connection is gone. What is in the log goes its way; nothing more is started."""
        self.closed = self.closing = True
        state = self.state
        state.clients.forget(self.owner)
        state.memory.forget(self.owner)
        state.pump.discard(self)
        self._flush_planned = False
        self._end_soft_limit()
        self.drop_held()
        for run in self.pending:
            run.drop()
        self.pending.clear()
        self._unstarted.clear()
        self._drop_pushes()
        self.reading.clear()
        self.backlog.clear()
        self._set_reading = _ignore
        self.output.detach()
        del self.owner  # nothing that holds itself stays behind


def _compat_query(query: Callable[[Request, int], Reply], argv: Request, clock_ms: int) -> Reply:
    reply = query(argv, clock_ms)
    return reply if type(reply) is Steps else compat_reply(argv, reply)
