"""One client: what it has set, and how its requests become runs (leto.clients.queue keeps their order).

- Consecutive writes form one run, consecutive reads another.
- On the leader a chunk in which a read precedes a write goes to the log whole, if its reads are cheap ones (flag
  fast): they are linearizable there, and need no wait in between.
- A connection command is carried out when its turn to be parsed comes; one whose reply takes time (a Deferred)
  holds back what follows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter

from twisted.internet.defer import Deferred

from leto.clients import outcomes
from leto.clients.flow import NOTABLE_BYTES
from leto.clients.long import is_long
from leto.clients.output import Output
from leto.clients.queue import RunQueue
from leto.clients.runs import REQUEST_BYTES, LoneRead, MixedRun, ReadRun, Run, Tally, Task, WriteRun, compat_reply
from leto.clients.state import ServerState
from leto.clients.table import LOCAL, NO_REPLY, QUICK, READ, WRITE, Known
from leto.clients.transaction import ReadTransaction, Transaction, Watch, WriteTransaction
from leto.clients.turns import SLICE_SECONDS
from leto.errors import DiskFull
from leto.keyspace.replies import QUEUED, Error, Reply
from leto.keyspace.steps import Steps
from leto.resp.codec import Request, RequestReader, pack
from leto.resp.strict import request_bytes

_NAME = itemgetter(0)
_AT_ONCE = frozenset(("exec", "discard", "multi", "watch", "quit", "reset"))  # full names; never queued by MULTI
_ATTACKS = frozenset((b"POST", b"HOST:"))  # a browser was made to talk to us (as Redis guards against it)

ANSWERED_BYTES = 4 << 20  # of replies of connection commands are made at once

NO_AUTH = Error(b"NOAUTH Authentication required.")
NOT_IN_MULTI = Error(b"ERR Command not allowed inside a transaction")


class Session(RunQueue):
    """Fed by the protocol with receive(); answers through `output`. All in the reactor's thread.

    `peer` and `local` are the connection's two ends as text.
    """

    __slots__ = (
        "_cut_short",
        "compat_leto",
        "created",
        "descriptor",
        "last_active",
        "last_command",
        "library_name",
        "library_version",
        "local",
        "local_host",
        "name",
        "no_evict",
        "no_touch",
        "peer_host",
        "query",
        "reader",
        "readonly",
        "reply_mode",
        "transaction",
        "watch",
    )

    def __init__(self, state: ServerState, output: Output, set_reading: Callable[[bool], None]) -> None:
        super().__init__(state, output, set_reading)
        self.local = ""
        self.peer_host = ""
        self.local_host = ""
        self.descriptor = -1
        self.created = self.last_active = state.reactor.seconds()
        self.last_command = "NULL"
        self._cut_short = False  # the reader has more: not authenticated, and blocked by what may change its limits
        self.name = b""
        self.library_name = b""
        self.library_version = b""
        self.no_evict = False
        self.no_touch = False
        self.readonly = False  # READONLY: reads of this connection may be stale
        self.reply_mode = "on"  # "on" | "off" | "skip" (the next) | "skipping" (the one at hand)
        self.transaction: Transaction | None = None
        self.watch = Watch()
        self.compat_leto = state.compat_leto
        self.query = self._compat_query if state.compat_leto else state.replica.machine.begin_query
        self.reader = RequestReader(state.max_bulk_bytes, state.password is None)

    # requests in --------------------------------------------------------------------------------

    @property
    def authenticated(self) -> bool:
        return self.reader.authenticated

    @property
    def input_bytes(self) -> int:
        queued = self.transaction.bytes if self.transaction is not None else 0
        return self.held + self.reader.buffered + queued

    @property
    def request_bytes(self) -> int:
        """About what the client's requests take, those under way included."""
        behind = REQUEST_BYTES * len(self._backlog)
        return self.input_bytes + self.pending_bytes + behind + self.watch.bytes

    @property
    def kept_bytes(self) -> int:
        """About what the client makes this node keep."""
        return self.request_bytes + self.output.unsent

    def receive(self, data: bytes) -> None:
        """Take what has come, all in this turn."""
        if self.closing:
            return
        state, reader = self.state, self.reader
        state.input_bytes += len(data)
        self.last_active = state.seconds()
        if self._detours:
            self.hold(data)
            return
        self._receiving = True
        try:
            while True:
                whole = reader.authenticated
                requests = reader.feed(data)
                if requests:
                    self._take(requests, reader.raw)
                elif reader.buffered > NOTABLE_BYTES:
                    self._mind_large_request()
                if whole or self.closing or not (requests or reader.authenticated):
                    break
                if self.blocked:
                    self._cut_short = True
                    break
                data = b""  # the request may have authenticated the client: go on under its new limits
        finally:
            self._receiving = False
        if reader.error is not None and not self.closing:
            self.refuse_protocol(reader.error)
        pending = self._pending
        if (
            len(pending) == 1
            and pending[0].output is None
            and not self.closing
            and not self.blocked
            and self.pending_bytes <= state.pending_bytes
            and not (self.reading and self.reading[0].ready)
        ):
            return  # one run is all that there is, it is under way, and the client may send more: nothing is to be done
        if self.pending_bytes > NOTABLE_BYTES:
            state.memory.keeps_requests(self)
        self.proceed()

    def _mind_large_request(self, too_big: str = "too big request") -> None:
        """More of a large request, or transaction, has come, and it is not complete."""
        if self.input_bytes > self.state.query_buffer_limit:
            self.overrun_input(too_big)
        else:
            self.state.memory.keeps_requests(self)

    def refuse_protocol(self, words: str) -> None:
        self.state.protocol_errors += 1
        error = Error(f"ERR Protocol error: {words}".encode("latin-1"))
        self.state.count_error(error)
        self.answer(error)
        self.closing = True

    def _take(self, requests: list[Request], raw: bytes) -> None:
        state = self.state
        count = len(requests)
        state.commands += count
        if (
            self.transaction is not None
            or self.blocked
            or self.reply_mode != "on"
            or not self.reader.authenticated
            or state.paused
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
            if count == 1:
                self._add(LoneRead(self, requests, len(raw), tally))
            else:
                self._add(ReadRun(self, requests, len(raw) + REQUEST_BYTES * count, tally))
        elif kinds == WRITE:
            self._add(WriteRun(self, requests, raw, tally))
        else:
            self._submit([(argv, spelled[argv[0]]) for argv in requests])
        self.last_command = tally[-1][0].full_name

    def _step_through(self, requests: Sequence[Request]) -> None:
        """One by one: whatever may change what the next request means."""
        state = self.state
        group: list[tuple[Request, Known]] = []
        most, until = self.pending_bytes + ANSWERED_BYTES, state.seconds() + SLICE_SECONDS
        has_called = False
        for position, argv in enumerate(requests):
            if has_called and not self.blocked and (self.pending_bytes > most or state.seconds() > until):
                self.blocked = "turn"  # until what was answered is on its way, and others had their turn
            has_called = False
            if self.blocked or self.closing:
                self._submit(group)
                if not self.closing:
                    self._put_off(requests[position:])
                return
            known = state.table.resolve(argv)
            if state.paused and isinstance(known, Known) and state.pauses(self._is_write(known)):
                self._submit(group)
                self.blocked = "pause"
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
                    self.closing = True
                    return
                self._reject(known, argv)
                continue
            self.last_command = known.full_name
            if not self.reader.authenticated and not known.no_auth:
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
        self._backlog.extend(requests)
        self.state.memory.keeps_requests(self)

    def _choose_silence(self) -> None:
        if self.reply_mode == "skipping":
            self.reply_mode = "on"
        self.silent = self.reply_mode != "on"
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
        self.state.count_error(error)
        self.answer(error)

    def _queue(self, argv: Request, known: Known) -> None:
        assert self.transaction is not None
        if known.no_multi:
            self._reject(NOT_IN_MULTI, argv)
            return
        self.transaction.add(argv, known)
        self.answer(QUEUED)

    def _call(self, argv: Request, known: Known) -> None:
        """A connection command: its function's reply, or the run or Deferred that brings it."""
        known.calls += 1
        if self._unstarted:
            self.proceed()  # what came before is under way before this is carried out
        seconds = self.state.seconds
        started = seconds()
        reply = known.command.function(self, argv)
        if type(reply) not in (WriteTransaction, ReadTransaction):  # EXEC's time is that of what it carries out
            self.note_time(known, argv, (seconds() - started) * 1e6)
        if isinstance(reply, Run):
            self._add(reply)
        elif isinstance(reply, Deferred):
            task = Task(self, argv, sum(map(len, argv)))
            self.blocked = "task"
            self._add(task)
            reply.addCallbacks(task.done, task.failed)
        elif reply is not NO_REPLY:
            if type(reply) is Error:
                self.count_error(reply, argv)
            self.answer(reply)

    def _submit(self, group: Sequence[tuple[Request, Known]]) -> None:
        """Form runs of keyspace commands: see the rules above."""
        refusal = self.state.replica.growth_refusal
        if refusal and any(known.may_grow for _, known in group):
            self._submit_without_growth(group, refusal)
            return
        if not group:
            return
        kinds = [known.kind for _, known in group]
        if READ in kinds and WRITE in kinds:
            first_read = kinds.index(READ)
            last_write = len(kinds) - 1 - kinds[::-1].index(WRITE)
            cheap = all(known.fast for _, known in group if known.kind == READ)
            if first_read < last_write and cheap and self.state.replica.is_leader:
                self._add(self._write_run(group, MixedRun))
                return
        start = 0
        for end in range(1, len(group) + 1):
            if end == len(group) or kinds[end] != kinds[start]:
                part = group[start:end]
                self._add(self._write_run(part, WriteRun) if kinds[start] == WRITE else self._read_run(part))
                start = end

    def _submit_without_growth(self, group: Sequence[tuple[Request, Known]], refusal: str) -> None:
        """Too little room is left on the disks: what may add data is refused, each by itself."""
        start = 0
        for end, (_, known) in enumerate(group):
            if known.may_grow:
                self._submit(group[start:end])
                start = end + 1
                known.rejected += 1
                error = outcomes.refusal(DiskFull(refusal), True)
                self.state.count_error(error)
                self.answer(error)
        self._submit(group[start:])

    def _write_run(self, group: Sequence[tuple[Request, Known]], kind: type[WriteRun]) -> WriteRun:
        commands = [argv for argv, _ in group]
        return kind(self, commands, b"".join(map(pack, commands)), _tally(group))

    def _read_run(self, group: Sequence[tuple[Request, Known]]) -> ReadRun:
        commands = [argv for argv, _ in group]
        return ReadRun(self, commands, sum(map(request_bytes, commands)), _tally(group))

    def resume(self, reason: str) -> None:
        """The "pause" is over, the "task" or the "exec" done, the next "turn" come: go on with what waited."""
        if self.blocked == reason and not self.closed:
            self.blocked = ""
            backlog = list(self._backlog)
            self._backlog.clear()
            if backlog and not self.closing:
                self._step_through(backlog)
            if self._cut_short and not self.blocked and not self.closing:
                self._cut_short = self._detours = False
                self.receive(b"")  # what came behind the request that held up the reading of it
                self._mind_burden()
                return
        self.proceed()

    # counting -----------------------------------------------------------------------------------------

    def note_time(self, known: Known, argv: Request, microseconds: float) -> None:
        """One call took so long."""
        known.microseconds += microseconds
        if microseconds >= self.state.slowlog.notable:
            self.note_long(known.once, argv, microseconds)

    def note_long(self, tally: Tally, argv: Request, microseconds: float) -> None:
        """Each call of the tally took so long, which is notable (leto.clients.slowlog); `argv` stands for them."""
        state = self.state
        if microseconds >= QUICK:
            for known, calls in tally:
                known.count_long(microseconds, calls)
        if state.slowlog.takes(microseconds) and "skip_slowlog" not in tally[0][0].command.flags:
            state.slowlog.add(argv, microseconds, state.wall_clock(), self.peer, self.name)

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
            self.note_query(argv, (seconds() - started) * 1e6)
        return reply

    def note_query(self, argv: Request, microseconds: float) -> None:
        """A read took so long."""
        known = self.state.table.resolve(argv)
        if type(known) is Known:
            self.note_time(known, argv, microseconds)

    def count_error(self, error: Error, argv: Request) -> None:
        known = self.state.table.resolve(argv)
        if isinstance(known, Known):
            known.failed += 1
        self.state.count_error(error)

    def _compat_query(self, argv: Request, clock_ms: int) -> Reply:
        reply = self.state.replica.machine.begin_query(argv, clock_ms)
        return reply if type(reply) is Steps else compat_reply(argv, reply)


def _tally(group: Sequence[tuple[Request, Known]]) -> Tally:
    return list(Counter(known for _, known in group).items())
