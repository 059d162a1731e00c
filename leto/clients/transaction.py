"""One client's transaction: what MULTI began and WATCH watches, and the runs that EXEC makes of it.

A transaction with a write goes to the log as ONE request (leto.keyspace.batch); one of reads alone is evaluated
at one instant of the state machine, on any node. Connection commands in it are carried out when it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import repeat

from leto.clients.flow import NOTABLE_BYTES
from leto.clients.long import MANY, LongReply, is_long
from leto.clients.outcomes import refusal, refused_writes
from leto.clients.runs import Client, ReadRun, Run, WriteRun, compat_reply
from leto.clients.table import LOCAL, NO_REPLY, WRITE, Known
from leto.clients.turns import SLICE_SECONDS
from leto.errors import DiskFull, RequestRefused
from leto.keyspace.costs import WEIGHED
from leto.resp.codec import Request, encode, pack
from leto.resp.strict import ARGUMENT_BYTES, request_bytes
from leto.vocabulary.replies import NULL_ARRAY, OK, Error, Reply
from leto.vocabulary.steps import exhaust

CarryOut = Callable[[Known, Request], Reply]  # a connection command, for the client whose transaction it is in

_EXEC = pack((b"EXEC",))
_SMALL = 1 << 12  # bytes of a command that is packed when it is queued


class Transaction:
    """What MULTI began: the commands queued since, what they cost, and whether one of them was refused."""

    __slots__ = ("bytes", "failed", "has_local", "has_write", "items", "packed", "weighed")

    def __init__(self) -> None:
        self.items: list[tuple[Request, Known]] = []
        self.packed: list[bytes | Request] = []  # those that the log would hold, as it would unless they are large
        self.bytes = 0
        self.failed = False
        self.has_write = False
        self.has_local = False
        self.weighed: list[Request] = []  # its reads that leto.keyspace.costs knows

    def add(self, argv: Request, known: Known) -> None:
        """Queue a command."""
        self.items.append((argv, known))
        self.bytes += request_bytes(argv)
        if known.kind == LOCAL:
            self.has_local = True
        else:
            if argv[0].upper() in WEIGHED:
                self.weighed.append(argv)
            self.has_write = self.has_write or known.kind == WRITE
            # Now, for all of them at EXEC would take long; but a large one is not to be kept twice.
            size = sum(map(len, argv))
            self.packed.append(pack(argv) if size <= _SMALL else argv)


class Watch:
    """Keys watched since WATCH, with the log index from which on a change aborts EXEC.

    `failed`: a WATCH could not be carried out, so that EXEC cannot keep its promise and aborts.
    """

    __slots__ = ("bytes", "failed", "indexes")

    def __init__(self) -> None:
        self.indexes: dict[bytes, int] = {}
        self.bytes = 0  # what they cost
        self.failed = False

    def add(self, keys: Sequence[bytes], index: int) -> None:
        """Watch them from `index` on; those that are watched already stay as they are."""
        for key in keys:
            if key not in self.indexes:
                self.indexes[key] = index
                self.bytes += len(key) + 2 * ARGUMENT_BYTES


class WatchRun(ReadRun):
    """WATCH: notes where the state machine stands once it holds all that was acknowledged before."""

    __slots__ = ("watch",)

    def __init__(self, client: Client, argv: Request, watch: Watch) -> None:
        super().__init__(client, [argv], sum(map(len, argv)), ())
        self.watch = watch

    def evaluate(self) -> bool:
        if self.error is not None:
            self.watch.failed = True
            return super().evaluate()
        index = self.client.state.replica.machine.applied
        self.watch.add(self.commands[0][1:], index)
        if self.watch.bytes > NOTABLE_BYTES:
            self.client.keeps_requests()
        self.output = b"" if self.silent else encode(OK)
        return True


def compose(
    client: Client,
    carry_out: CarryOut,
    items: Sequence[tuple[Request, Known]],
    took: Sequence[float],
    replies: Reply,
) -> Generator[None, None, Reply]:
    """EXEC's reply: the keyspace's `replies` and, carried out now, those of the connection commands between. In steps
    of MANY commands.

    As in Redis each command is counted, with its time, and EXEC has the time of all. `took`: the seconds of those of
    the keyspace; none where another node carried them out.
    """
    total = 0.0
    composed: Reply = replies
    if isinstance(replies, list):
        composed = []
        seconds, notable = client.state.seconds, client.state.slowlog.notable
        from_keyspace = zip(replies, took or repeat(0.0), strict=False)
        for number, (argv, known) in enumerate(items, 1):
            if known.kind == LOCAL:
                started = seconds()
                reply = carry_out(known, argv)
                spent = seconds() - started
                reply = OK if reply is NO_REPLY else reply
            else:
                reply, spent = next(from_keyspace)
                if client.compat_leto:
                    reply = compat_reply(argv, reply)
            total += spent
            spent *= 1e6
            known.calls += 1
            known.microseconds += spent
            if spent >= notable:
                client.accounts.note_long(known.once, argv, spent)
            if type(reply) is Error:
                client.accounts.count_error(reply, argv)
            composed.append(reply)
            if number % MANY == 0:
                yield
    client.accounts.note_time(client.state.table.known[b"EXEC"], (b"EXEC",), total * 1e6)
    return composed


class _Answering:
    """A long reply to a transaction that wrote, encoded by the slice."""

    def __init__(self, run: WriteTransaction, reply: Reply, took: Sequence[float]) -> None:
        client = run.client
        self._run = run
        self._long = LongReply(
            reply, run.resp3, client.state.replica, partial(compose, client, run.carry_out, run.items, took)
        )
        self._parts: list[bytes] = []

    def proceed(self) -> None:
        """The next slice of reads has begun."""
        client = self._run.client
        turns, seconds = client.state.turns, client.state.seconds
        began = seconds()
        try:
            while not client.closed:
                data = self._long.step()
                if data is None:
                    self._run.ended(b"".join(self._parts))
                    break
                if data and not self._run.silent:
                    self._parts.append(data)
                    if client.is_next(self._run):
                        client.send_early(self._run, b"".join(self._parts))
                        self._parts.clear()
                if seconds() - began > SLICE_SECONDS:
                    turns.wait(self)
                    break
        except Exception:  # noqa: BLE001 - one client's misfortune is no other's
            client.fault()
        turns.spent(seconds() - began)


class WriteTransaction(WriteRun):
    """EXEC with a write among its commands."""

    __slots__ = ("carry_out", "items", "packed", "watch", "weighed")

    def __init__(
        self, client: Client, carry_out: CarryOut, argv: Request, transaction: Transaction, watch: Watch
    ) -> None:
        super().__init__(client, [argv], b"", ())
        self.carry_out = carry_out
        self.items = transaction.items
        self.packed = transaction.packed
        self.weighed = transaction.weighed
        self.watch = watch
        self.size += transaction.bytes

    def start(self) -> None:
        if self.watch.failed:
            self.output = b"" if self.silent else encode(NULL_ARRAY, self.resp3)
            self.client.proceed()
            return
        replica = self.client.state.replica
        if self.weighed and replica.is_leader and (why := replica.machine.why_refused(self.weighed)):
            self.client.writing += 1
            self.refused(RequestRefused(why))
            return
        # Built only now: a WATCH in the same pipeline has just learnt its index.
        watched = [part for key, index in self.watch.indexes.items() for part in (b"%d" % index, key)]
        queued = [packed if type(packed) is bytes else pack(packed) for packed in self.packed]  # type: ignore[arg-type]
        self.payload = b"".join((pack((b"MULTI", *watched)), *queued, _EXEC))
        self.packed = []
        super().start()

    def applied(self, replies: Sequence[Reply], start: int, microseconds: float) -> None:
        try:
            client, reply = self.client, replies[start]
            took = client.state.replica.machine.took.get(start, ()) if microseconds else ()
            if len(self.items) > MANY or (type(reply) is list and is_long(reply)):
                client.state.turns.wait(_Answering(self, reply, took))
            else:
                self._end(encode(exhaust(compose(client, self.carry_out, self.items, took, reply)), self.resp3))
        except Exception:  # noqa: BLE001 - one client's misfortune is no other's
            self.client.fault()

    def ended(self, output: bytes) -> None:
        """That is the rest of the reply."""
        self.client.writing -= 1
        self.output = b"" if self.silent else output
        self.client.proceed()

    def refusals(self, error: Exception) -> Sequence[Reply]:
        if isinstance(error, DiskFull):
            return [Error(b"EXECABORT Transaction discarded because of: " + refusal(error, True).text)]
        first_write = next(argv for argv, known in self.items if known.kind == WRITE)
        return refused_writes(error, [first_write], self.client.state.config.on_follower)


class ReadTransaction(ReadRun):
    """EXEC of reads alone."""

    __slots__ = ("carry_out", "items", "watch", "weighed")

    def __init__(
        self, client: Client, carry_out: CarryOut, argv: Request, transaction: Transaction, watch: Watch
    ) -> None:
        super().__init__(client, [argv], transaction.bytes, ())
        self.carry_out = carry_out
        self.items = transaction.items
        self.weighed = transaction.weighed
        self.watch = watch

    def evaluate(self) -> bool:
        client = self.client
        started = client.state.seconds()
        reply: Reply
        if self.long is not None:
            return self._go_on_to_end(started)
        if self.error is not None:
            reply = refusal(self.error, False)
            client.accounts.count_error(reply, self.commands[0])
        elif self.watch.failed:
            reply = NULL_ARRAY
        elif self.weighed and (why := client.state.replica.machine.why_refused(self.weighed)):
            reply = Error(f"ERR {why}".encode())
            client.accounts.count_error(reply, self.commands[0])
        else:
            reads = [argv for argv, known in self.items if known.kind != LOCAL]
            machine = client.state.replica.machine
            took: list[float] = []
            reply = machine.begin_query_transaction(reads, self.watch.indexes, self.clock_ms, took)
            composing = partial(compose, client, self.carry_out, self.items, took)
            if len(self.items) > MANY or is_long(reply):
                self._begin_long(LongReply(reply, self.resp3, client.state.replica, composing), started)
                return self._go_on_to_end(started)
            reply = exhaust(composing(reply))
        self.output = b"" if self.silent else encode(reply, self.resp3)
        return True

    def _go_on_to_end(self, started: float) -> bool:
        if not self._go_on(started):
            return False
        self.output = b""  # it is sent
        return True


def exec_run(client: Client, carry_out: CarryOut, argv: Request, transaction: Transaction, watch: Watch) -> Run:
    """The run that carries the transaction out."""
    kind = WriteTransaction if transaction.has_write else ReadTransaction
    return kind(client, carry_out, argv, transaction, watch)
