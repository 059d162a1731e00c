"""One client: what it has set, and what becomes of its requests.

- Those for the keyspace become runs (leto.clients.grouping), whose order leto.clients.queue keeps.
- A connection command is carried out when its turn to be parsed comes; one whose reply takes time (a Deferred)
  holds back what follows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter

from twisted.internet.defer import Deferred

from leto.clients import outcomes
from leto.clients.accounts import Tally
from leto.clients.describe import describe
from leto.clients.flow import NOTABLE_BYTES
from leto.clients.grouping import Group, runs_of
from leto.clients.identity import Identity
from leto.clients.lone import LoneRead, LoneWrite
from leto.clients.output import Output
from leto.clients.queue import RunQueue
from leto.clients.runs import OVERHEAD, REQUEST_BYTES, ReadRun, Run, WriteRun
from leto.clients.state import ServerState
from leto.clients.table import LOCAL, NO_REPLY, READ, WRITE, Known
from leto.clients.transaction import ReadTransaction, Transaction, Watch, WriteTransaction
from leto.clients.turns import SLICE_SECONDS
from leto.clients.waiting import LateRun, Task, WaitingRun
from leto.errors import DiskFull
from leto.resp.codec import Request, RequestReader
from leto.vocabulary.replies import QUEUED, Error, Push, Reply

_NAME = itemgetter(0)
_AT_ONCE = frozenset(("exec", "discard", "multi", "watch", "quit", "reset"))  # full names; never queued by MULTI
_ATTACKS = frozenset((b"POST", b"HOST:"))  # a browser was made to talk to us (as Redis guards against it)

ANSWERED_BYTES = 4 << 20  # of replies of connection commands are made at once

NO_AUTH = Error(b"NOAUTH Authentication required.")
NOT_IN_MULTI = Error(b"ERR Command not allowed inside a transaction")


class Session:
    """Fed by the protocol with receive(); answers through its `queue`. All in the reactor's thread."""

    __slots__ = (
        "_cut_short",
        "identity",
        "last_active",
        "last_command",
        "no_evict",
        "no_touch",
        "queue",
        "reader",
        "reply_mode",
        "state",
        "told_requests",
        "transaction",
        "watch",
    )

    def __init__(self, state: ServerState, output: Output, set_reading: Callable[[bool], None]) -> None:
        self.state = state
        settings = state.settings
        identity = Identity(state.clients.next_id(), settings.password is None, state.seconds())
        self.identity = identity
        self.queue = RunQueue(self, state, identity, output, set_reading)
        self.reader = RequestReader(settings.max_bulk_bytes, identity.authenticated)
        self.last_active = identity.created
        self.last_command = "NULL"
        self._cut_short = False  # the reader has more: not authenticated, and blocked by what may change its limits
        self.told_requests = 0  # bytes of requests that leto.clients.memory knows of
        self.no_evict = False
        self.no_touch = False
        self.reply_mode = "on"  # "on" | "off" | "skip" (the next) | "skipping" (the one at hand)
        self.transaction: Transaction | None = None
        self.watch = Watch()

    # what others ask of it ----------------------------------------------------------------------

    @property
    def output(self) -> Output:
        return self.queue.output

    @property
    def closing(self) -> bool:
        """Nothing more is taken from it."""
        return self.queue.closing

    @property
    def closed(self) -> bool:
        """The connection is gone."""
        return self.queue.closed

    @property
    def unanswered(self) -> bool:
        """It waits for a reply."""
        return self.queue.unanswered

    @property
    def input_bytes(self) -> int:
        queued = self.transaction.bytes if self.transaction is not None else 0
        return self.queue.held + self.reader.buffered + queued

    @property
    def request_bytes(self) -> int:
        """About what the client's requests take, those under way included."""
        queued = self.transaction.bytes if self.transaction is not None else 0
        return self.queue.request_bytes + self.reader.buffered + queued + self.watch.bytes

    @property
    def kept_bytes(self) -> int:
        """About what the client makes this node keep."""
        return self.request_bytes + self.queue.output.unsent + self.queue.pushed_bytes

    def describe(self) -> str:
        """A line of CLIENT LIST."""
        return describe(
            self.identity,
            self.queue,
            self.reader,
            self.transaction,
            self.watch,
            now=self.state.seconds(),
            last_active=self.last_active,
            no_evict=self.no_evict,
            no_touch=self.no_touch,
            kept_bytes=self.kept_bytes,
            last_command=self.last_command,
        )

    def admit(self) -> None:
        """It is authenticated from now on."""
        self.identity.authenticated = self.reader.trusted = True

    def reset(self) -> None:
        """As if the client had just connected."""
        queue, identity = self.queue, self.identity
        self.transaction = None
        self.watch = Watch()
        self.no_evict = self.no_touch = False
        self.reply_mode = "on"
        queue.readonly = queue.silent = queue.resp3 = False
        identity.name = b""
        identity.authenticated = self.reader.trusted = self.state.settings.password is None

    def end_of_input(self) -> None:
        """The client closed its half: what it asked for is answered, then the connection closes. A client that waits
        for something to happen is taken to have ended, as it is by Redis."""
        if self.queue.blocked == WaitingRun.reason:
            self.queue.kill()
        else:
            self.queue.end_of_input()

    def push(self, message: Push) -> None:
        """Send what the client did not ask for: see RunQueue.push()."""
        self.queue.push(message)

    def close(self) -> None:
        """The node stops: send what is answered, then close."""
        self.queue.close()

    def kill(self) -> None:
        """Close at once; what waits is dropped."""
        self.queue.kill()

    def lost(self) -> None:
        """The connection is gone. What is in the log goes its way; nothing more is started."""
        self.queue.lost()

    # requests in --------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take what has come, all in this turn."""
        queue = self.queue
        if queue.closing:
            return
        state, reader = self.state, self.reader
        state.counters.input_bytes += len(data)
        self.last_active = state.seconds()
        if queue.detours:
            queue.hold(data)
            return
        queue.receiving = True
        try:
            while True:
                whole = reader.trusted
                requests = reader.feed(data)
                if requests:
                    argv = requests[0]
                    known = state.table.spelled.get(argv[0])
                    if (
                        known is None
                        or len(requests) != 1
                        or queue.pending
                        or known.kind == LOCAL
                        or not known.low <= len(argv) <= known.high
                        or known.subcommands
                        or self.transaction is not None
                        or queue.blocked
                        or self.reply_mode != "on"
                        or queue.silent
                        or queue.readonly
                        or not whole
                        or state.pause.is_on
                        or state.replica.growth_refusal
                    ):
                        self._take(requests, reader.raw)
                    else:  # one request, and nothing before it: the hottest path
                        state.counters.commands += 1
                        self.last_command = known.full_name
                        raw, returns = reader.raw, self.last_active < queue.prompt_until
                        size = len(raw) + REQUEST_BYTES + OVERHEAD
                        queue.pending_bytes += size
                        try:
                            if known.kind == READ:
                                read = LoneRead(queue, requests, known, size, returns, queue.resp3)
                                queue.pending.append(read)
                                queue.reading.append(read)
                                state.replica.submit_read(read)
                            else:
                                write = LoneWrite(queue, requests, raw, known, size, returns, queue.resp3)
                                queue.pending.append(write)
                                queue.writing += 1
                                state.replica.submit_write(write)
                        except Exception:  # noqa: BLE001 - as in RunQueue.proceed()
                            queue.fault()
                elif reader.buffered > NOTABLE_BYTES:
                    self._mind_large_request()
                if whole or queue.closing or not (requests or reader.trusted):
                    break
                if queue.blocked:
                    self._cut_short = True
                    break
                data = b""  # the request may have authenticated the client: go on under its new limits
        finally:
            queue.receiving = False
        if reader.error is not None and not queue.closing:
            self.refuse_protocol(reader.error)
        pending = queue.pending
        if (
            len(pending) == 1
            and pending[0].output is None
            and not queue.closing
            and not queue.blocked
            and queue.pending_bytes <= state.settings.pending_bytes
            and not (queue.reading and queue.reading[0].ready)
        ):
            return  # one run is all that there is, it is under way, and the client may send more: nothing is to be done
        if queue.pending_bytes > NOTABLE_BYTES:
            state.memory.keeps_requests(self)
        queue.proceed()

    def _mind_large_request(self, too_big: str = "too big request") -> None:
        """More of a large request, or transaction, has come, and it is not complete."""
        if self.input_bytes > self.state.settings.query_buffer_limit:
            self.queue.overrun_input(too_big)
        else:
            self.state.memory.keeps_requests(self)

    def refuse_protocol(self, words: str) -> None:
        self.state.counters.protocol_errors += 1
        error = Error(f"ERR Protocol error: {words}".encode("latin-1"))
        self.state.counters.count_error(error)
        self.queue.answer(error)
        self.queue.closing = True

    def _take(self, requests: list[Request], raw: bytes) -> None:
        state = self.state
        count = len(requests)
        state.counters.commands += count
        if (
            self.transaction is not None
            or self.queue.blocked
            or self.reply_mode != "on"
            or not self.identity.authenticated
            or state.pause.is_on
            or state.replica.growth_refusal
        ):
            self._step_through(requests)
            return
        # The hot path: every request is a keyspace command of the right arity.
        spelled = state.table.spelled
        tally: Tally
        if count == 1:
            argv = requests[0]
            known = spelled.get(argv[0])
            if known is None or known.kind == LOCAL or not known.low <= len(argv) <= known.high or known.subcommands:
                self._step_through(requests)
                return
            kinds = known.kind
            tally = known.once
        else:
            names = list(map(_NAME, requests))
            sizes = list(map(len, requests))
            kinds = 0
            shapes: Collection[tuple[bytes, int]]
            if names.count(names[0]) == count and sizes.count(sizes[0]) == count:
                shapes = ((names[0], sizes[0]),)  # what most pipelines are
            else:
                shapes = set(zip(names, sizes, strict=True))
            for name, words in shapes:
                known = spelled.get(name)
                if known is None or known.kind == LOCAL or known.subcommands or not known.low <= words <= known.high:
                    self._step_through(requests)
                    return
                kinds |= known.kind
            if len(shapes) == 1:
                tally = ((spelled[names[0]], count),)
            else:
                tally = [(spelled[name], calls) for name, calls in Counter(names).items()]
        if kinds == READ:
            self.queue.add(ReadRun(self.queue, requests, len(raw) + REQUEST_BYTES * count, tally))
        elif kinds == WRITE:
            self.queue.add(WriteRun(self.queue, requests, raw, tally))
        else:
            self._submit([(argv, spelled[argv[0]]) for argv in requests])
        self.last_command = tally[-1][0].full_name

    def _step_through(self, requests: Sequence[Request]) -> None:
        """One by one: whatever may change what the next request means."""
        state = self.state
        group: list[tuple[Request, Known]] = []
        most, until = self.queue.pending_bytes + ANSWERED_BYTES, state.seconds() + SLICE_SECONDS
        has_called = False
        for position, argv in enumerate(requests):
            if has_called and not self.queue.blocked and (self.queue.pending_bytes > most or state.seconds() > until):
                self.queue.blocked = "turn"  # until what was answered is on its way, and others had their turn
            has_called = False
            if self.queue.blocked or self.queue.closing:
                self._submit(group)
                if not self.queue.closing:
                    self._put_off(requests[position:])
                return
            known = state.table.resolve(argv)
            if state.pause.is_on and isinstance(known, Known) and state.pause.holds(self._is_write(known)):
                self._submit(group)
                self.queue.blocked = "pause"
                self._put_off(requests[position:])
                return
            if self.reply_mode != "on":
                self._submit(group)
                group = []
                self._choose_silence()
            if isinstance(known, Error):
                self._submit(group)
                group = []
                if argv[0].upper() in _ATTACKS:
                    self.queue.closing = True
                    return
                self._reject(known, argv)
                continue
            self.last_command = known.full_name
            if not self.identity.authenticated and not known.no_auth:
                known.rejected += 1
                self._reject(NO_AUTH, argv)
            elif self.transaction is not None and known.full_name not in _AT_ONCE:
                self._queue(argv, known)
            elif known.kind == LOCAL:
                self._submit(group)
                group = []
                self._call(argv, known)
                has_called = True
            else:
                group.append((argv, known))
        self._submit(group)
        if self.transaction is not None and self.transaction.bytes > NOTABLE_BYTES:
            self._mind_large_request("too big transaction")

    def _put_off(self, requests: Sequence[Request]) -> None:
        """They wait until what blocked is over."""
        self.queue.backlog.extend(requests)
        self.state.memory.keeps_requests(self)

    def _choose_silence(self) -> None:
        if self.reply_mode == "skipping":
            self.reply_mode = "on"
        self.queue.silent = self.reply_mode != "on"
        if self.reply_mode == "skip":
            self.reply_mode = "skipping"

    def _is_write(self, known: Known) -> bool:
        if known.command.name == b"EXEC" and self.transaction is not None:
            return any(queued.kind == WRITE for _, queued in self.transaction.items)
        return known.kind == WRITE

    def _reject(self, error: Error, argv: Request) -> None:
        """Refused before it was carried out; a transaction that is being queued will not be executed."""
        if argv[0].upper() == b"EXEC":
            self.transaction, self.watch = None, Watch()
            reason = error.text.removeprefix(b"ERR ")
            error = Error(b"EXECABORT Transaction discarded because of: " + reason)
        elif self.transaction is not None:
            self.transaction.failed = True
        self.state.counters.count_error(error)
        self.queue.answer(error)

    def _queue(self, argv: Request, known: Known) -> None:
        assert self.transaction is not None
        if known.no_multi:
            self._reject(NOT_IN_MULTI, argv)
            return
        self.transaction.add(argv, known)
        self.queue.answer(QUEUED)

    def _call(self, argv: Request, known: Known) -> None:
        """A connection command: its function's reply, or the run or Deferred that brings it."""
        known.calls += 1
        if self.queue.has_unstarted:
            self.queue.proceed()  # what came before is under way before this is carried out
        seconds = self.state.seconds
        started = seconds()
        reply = known.command.function(self, argv)
        if type(reply) not in (WriteTransaction, ReadTransaction):  # EXEC's time is that of what it carries out
            self.queue.accounts.note_time(known, argv, (seconds() - started) * 1e6)
        if isinstance(reply, Deferred):
            task = Task(self.queue, argv)
            self._add_late(task)
            reply.addCallbacks(task.end, task.failed)
        elif isinstance(reply, LateRun):
            self._add_late(reply)
        elif isinstance(reply, Run):
            self.queue.add(reply)
        elif reply is not NO_REPLY:
            if type(reply) is Error:
                self.queue.accounts.count_error(reply, argv)
            self.queue.answer(reply)

    def _add_late(self, run: LateRun) -> None:
        if run.output is None:  # else it was served before its command returned
            self.queue.blocked = run.reason
        self.queue.add(run)

    def carry_out(self, known: Known, argv: Request) -> Reply:
        """A connection command that EXEC has come to."""
        return known.at_exec(self, argv)

    def _submit(self, group: Group) -> None:
        """Queue the runs of keyspace commands (leto.clients.grouping)."""
        refusal = self.state.replica.growth_refusal
        if refusal and any(known.may_grow for _, known in group):
            self._submit_without_growth(group, refusal)
            return
        for run in runs_of(self.queue, group):
            self.queue.add(run)

    def _submit_without_growth(self, group: Group, refusal: str) -> None:
        """Too little room is left on the disks: what may add data is refused, each by itself."""
        start = 0
        for end, (_, known) in enumerate(group):
            if known.may_grow:
                self._submit(group[start:end])
                start = end + 1
                known.rejected += 1
                error = outcomes.refusal(DiskFull(refusal), True)
                self.state.counters.count_error(error)
                self.queue.answer(error)
        self._submit(group[start:])

    def resume(self, reason: str) -> None:
        """The "pause" is over, the "task" or the "exec" done, the next "turn" come: go on with what waited."""
        if self.queue.blocked == reason and not self.queue.closed:
            self.queue.blocked = ""
            backlog = list(self.queue.backlog)
            self.queue.backlog.clear()
            if backlog and not self.queue.closing:
                self._step_through(backlog)
            if self._cut_short and not self.queue.blocked and not self.queue.closing:
                self._cut_short = self.queue.detours = False
                self.receive(b"")  # what came behind the request that held up the reading of it
                self.queue.mind_burden()
                return
        self.queue.proceed()
