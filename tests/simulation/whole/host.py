"""One simulated machine: its disk, its clocks, and the node's processes that live on it one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from leto.config import Address, Config
from leto.errors import (
    ConfigurationRefused,
    CorruptStorage,
    LetoError,
    NotLeader,
    OutcomeUnknown,
    Stopping,
    StorageError,
)
from leto.interfaces.store import Identity
from leto.keyspace.effects import Applied, Kind
from leto.keyspace.machine import Machine, understood
from leto.replica import Replica
from leto.replica.driver import APPLY_SECONDS
from leto.replica.joining import bootstrap, needs_bootstrap
from leto.replica.surroundings import Disk, Endings, Surroundings
from leto.storage.store import FileStore
from leto.twins.disk import PowerLost, SimulatedDisk
from tests.simulation.whole.process import Process, SlowFlusher
from tests.simulation.whole.versions import LATER
from tests.simulation.whole.wires import Transport
from tests.vocabulary.earlier import EARLIER, LEVEL

if TYPE_CHECKING:
    from tests.simulation.whole.world import World

DIRECTORY = "/data"
CLUSTER_ID = "c" * 32
ASK_AGAIN = 0.5  # seconds between a joining node's questions
ASK_TIMEOUT = 15.0
Delays = Callable[[], float]


class ObservedMachine(Machine):
    """The real keyspace; the oracle sees what is applied and restored."""

    process: Process
    entry: Any

    words_a_step = 2  # transactions take several steps, with anything between them

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for kind in Kind:
            self.watch(kind)

    def begin(self, entry: Any) -> Applied | None:
        self.entry = entry
        return self._observed(super().begin(entry))

    def go_on(self) -> Applied | None:
        return self._observed(super().go_on())

    def _observed(self, applied: Applied | None) -> Applied | None:
        if self.process.alive:
            if applied is not None:
                self.process.host.world.oracle.applied(self.process, self.entry, applied, self)
            takes_turns = applied is None and self.entry.index % 2  # it goes on in another turn
            self.process.clock.lose(APPLY_SECONDS * 1.1 if takes_turns else self.process.host.apply_seconds())
        return applied

    def restoring(self, chunks: Iterable[bytes], index: int) -> Iterator[None]:
        for _ in super().restoring(chunks, index):
            self.process.clock.lose(self.process.host.apply_seconds())
            yield
        if self.process.alive:
            self.process.host.world.oracle.restored(self.process, index, self)


class Host:
    """`process` is None while nothing runs on it."""

    machine_class = ObservedMachine

    def __init__(self, world: World, name: str, number: int, join: str) -> None:
        self.world = world
        self.name = name
        self.disk = SimulatedDisk()
        self.process: Process | None = None
        self.previous: Process | None = None
        self.rate = 1.0
        self.wall_offset = 0.0
        self.disk_hangs = False
        self.waits_for_disk: list[Callable[[], None]] = []
        self.flush_seconds: Delays = lambda: 0.0005
        self.snapshot_seconds: Delays = lambda: 0.0  # on top of a flush's
        self.apply_seconds: Delays = lambda: 0.0
        self.rotten = False  # bits of its disk have flipped
        self.refuses = False  # to start from that disk
        self.retired = False  # removed from the cluster, and ended
        self.joining = False
        self.lives = 0
        self.is_later = not world.mixed or world.versions.random() < 0.3  # the version that it runs
        self.incarnation = ""
        self.address = f"10.0.0.{number}:{10_000 + number}"
        self.config = Config(
            id=name,
            listen=Address(f"10.0.0.{number}", 5000 + number),
            raftbind=Address(f"10.0.0.{number}", 10_000 + number),
            join=(Address.parse(join),) if join else (),
            **world.options | {"election_timeout": world.random.choice(world.timeouts)},
        )

    # what it is -----------------------------------------------------------------------------------------------

    @property
    def replica(self) -> Any:
        """The running replica; None while down, joining or dead."""
        process = self.process
        return process.replica if process is not None and process.alive else None

    @property
    def is_up(self) -> bool:
        return self.replica is not None

    @property
    def leads(self) -> bool:
        replica = self.replica
        return replica is not None and replica.is_leader

    def described(self) -> str:
        """What its node is, for a failure's sentence."""
        replica = self.replica
        if replica is None:
            return f"{self.name} {'joining' if self.joining else 'retired' if self.retired else 'down'}"
        node = replica.node
        return (
            f"{self.name} {node.role.name} term {node.term} of {node.leader_id or 'nobody'} log {node.last_index}"
            f" commit {node.commit} applied {replica.machine.applied} of {node.configuration.voter_ids()}"
            f" {node.configuration.learner_ids()}"
        )

    def wall_clock(self) -> float:
        return 1_700_000_000 + self.world.timeline.rightNow * self.rate + self.wall_offset

    def shift_wall_clock(self, seconds: float) -> None:
        self.wall_offset += seconds

    def disk_delays(self) -> tuple[float, float]:
        """(until the job is done, from then until its end is reported), in seconds."""
        return self._parted(self.flush_seconds())

    def snapshot_delays(self) -> tuple[float, float]:
        """The same for the thread that writes snapshots: what it has done may be told much later."""
        return self._parted(self.flush_seconds() + self.snapshot_seconds())

    def _parted(self, delay: float) -> tuple[float, float]:
        part = self.world.random.random()
        return delay * part, delay * (1 - part)

    # life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A process begins: it recovers the disk, joins if the disk is empty, and takes part."""
        assert self.process is None
        if self.previous is not None and self.previous.transport is not None:
            self.previous.transport.stop()
        self.lives += 1
        self._replace_version(0.4)
        self.retired = self.joining = False
        process = self.process = Process(self)
        process.failed_disk = self.rotten
        self.disk.before = process.before_operation
        self.waits_for_disk.clear()
        process.enter(self._start, process)

    def start_or_replace(self) -> None:
        """As an operator does: start it, with a new disk once it has refused the old one."""
        if self.refuses:
            self.world.record("op", f"{self.name}'s disk is replaced")
            self.wipe()
        self.start()

    def _start(self, process: Process) -> None:
        source = Random(f"{self.world.seed} {self.name} {self.lives}")
        try:
            store = process.store = self._open(process, source)
            if needs_bootstrap(store, self.config):
                bootstrap(store, self.config, lambda: CLUSTER_ID)
                store.close()
                store = process.store = self._open(process, source)
        except StorageError as error:
            self._refused(process, error)
            return
        if store.identity is None:
            self.joining = True
            Deferred.fromCoroutine(self._join(process, source)).addErrback(self._join_failed)
        else:
            self._build(process, source)

    def _replace_version(self, chance: float) -> None:
        """Its operator installs the later one, perhaps; for a new node surely, once the cluster is at its level."""
        world = self.world
        if not self.is_later and (world.versions.random() < chance or (not chance and world.level >= LEVEL)):
            self._install_later()

    def _install_later(self) -> None:
        self.is_later = True
        self.world.counts["upgraded"] += 1
        self.world.record("upgrade", self.name)

    def _open(self, process: Process, source: Random) -> FileStore:
        return FileStore.open(
            DIRECTORY,
            segment_bytes=self.config.segment_bytes,
            disk=self.disk,
            random32=lambda: source.getrandbits(32),
            clock=process.clock.seconds,
            background=False,
            min_free_bytes=self.config.min_free_bytes,
        )

    def _build(self, process: Process, source: Random, is_new: bool = False) -> None:
        world = self.world
        self.joining = False
        if is_new:
            self._replace_version(0.0)
        self._transport(process, process.store.identity)
        machine = self.machine_class(random=source.random, commands=LATER if self.is_later else EARLIER)
        machine.process = process
        process.flushers = [SlowFlusher(process, self.disk_delays), SlowFlusher(process, self.snapshot_delays)]
        try:
            world.oracle.recovered(self, process.store)
            replica = Replica(
                self.config,
                Disk(process.store, *process.flushers),
                machine,
                process.transport,
                Surroundings(process.clock, source.random, self.wall_clock),
                Endings(
                    fatal=lambda message: self._fatal(process, message),
                    removed=lambda reason: self._removed(process, reason),
                    shut_out=lambda: self._shut_out(process),
                ),
            )
        except StorageError as error:
            self._refused(process, error)
            return
        replica.upkeep.streams._sender._chunk_bytes = world.chunk_bytes
        # A node that takes turns to apply has others' work between them, which takes its time.
        replica.driver._yielded = lambda: process.clock.callLater(  # type: ignore[method-assign]
            0 if machine.is_whole else APPLY_SECONDS, replica.driver._apply_on
        )
        process.replica = replica
        world.record("start", f"{self.name} term {replica.node.term} log to {process.store.last_index}")
        replica.start()

    def _transport(self, process: Process, identity: Identity) -> Transport:
        level = understood(LATER if self.is_later else EARLIER)
        transport = Transport(process, self.world.network, identity, self.address, str(self.config.listen), level)
        process.transport = transport
        return transport

    def _refused(self, process: Process, error: StorageError) -> None:
        """It does not start from its disk: only where something was done to it."""
        if not process.failed_disk:
            self.world.oracle.fail(f"{self.name} does not start: {error}")
        if self.rotten and isinstance(error, CorruptStorage):
            self.refuses = True
            self.world.counts["refused to start"] += 1
            self.world.record("refuse", f"{self.name}: {error}")
        process.die(power=False, noticed=True)

    async def _join(self, process: Process, source: Random) -> None:
        """As leto.replica.joining.Joiner: ask, and take part once taken."""
        incarnation = f"{self.name}x{self.lives}x{source.getrandbits(32):08x}"
        introduction = self._transport(process, Identity(CLUSTER_ID, self.name, incarnation))
        introduction.introduce()
        await self._be_taken(process, incarnation)
        introduction.stop()
        self.incarnation = incarnation
        process.store.identify(Identity(CLUSTER_ID, self.name, incarnation))
        self.world.record("join", f"{self.name} was taken as {incarnation}")
        self._build(process, source, is_new=True)

    async def _be_taken(self, process: Process, incarnation: str) -> None:
        asked = self.world.any_member(self)
        while True:
            named = None
            if asked is not None:
                try:
                    await self.world.call(self, asked, lambda replica: self._ask(replica, incarnation))
                except NotLeader as error:
                    named = self.world.hosts.get(error.leader_id or "")
                except ConfigurationRefused as refused:
                    if "understands level" in str(refused):  # its operator does what it says
                        self._install_later()
                        process.transport.level = understood(LATER)
                except (OutcomeUnknown, Stopping, ConnectionError):
                    pass  # asked again below
                else:
                    break
            if named is None or named is asked:
                named = self.world.any_member(self)
                await deferLater(process.clock, ASK_AGAIN)
            asked = named

    def _shut_out(self, process: Process) -> None:
        """As leto.process.service: ask again."""
        if process.alive and not process.stopping and not self.joining:
            self.joining = True
            self.world.record("shut", f"{self.name} asks again")
            Deferred.fromCoroutine(self._ask_again(process)).addErrback(self._join_failed)

    async def _ask_again(self, process: Process) -> None:
        await self._be_taken(process, self.incarnation)
        await deferLater(process.clock, ASK_AGAIN)
        self.joining = False

    def _ask(self, replica: Any, incarnation: str) -> Deferred[None]:
        return replica.add_member(
            self.name,
            self.address,
            voter=None,
            client_address=str(self.config.listen),
            incarnation=incarnation,
        )

    def _join_failed(self, failure: Failure) -> None:
        process = self.process
        if failure.check(PowerLost) or process is None or not process.alive:
            return
        if failure.check(StorageError) and process.failed_disk:
            process.die(power=False, noticed=True)
            return
        self.world.oracle.fail(f"{self.name} failed to join: {failure.getTraceback()}")

    # the end of a life ------------------------------------------------------------------------------------------

    def _fatal(self, process: Process, message: str) -> None:
        if not process.alive:
            return
        self.world.record("fatal", f"{self.name}: {message}")
        if not process.failed_disk:
            self.world.oracle.fail(f"{self.name} ends with no error injected: {message}")
        # after a failed fsync nobody knows what the disk has
        process.die(power=self.world.random.random() < 0.5, noticed=True)

    def _removed(self, process: Process, reason: str) -> None:
        if process.alive:
            self.world.record("gone", reason)
            self.world.oracle.removed(self, process)
            self.retired = True
            self.stop()

    def stop(self) -> None:
        """As on SIGTERM."""
        process = self.process
        if process is None or not process.alive or process.stopping:
            return
        if process.replica is None:
            process.die(power=False, noticed=True)
            return
        process.stopping = True
        process.clock.callLater(0, self._begin_stop, process)

    def _begin_stop(self, process: Process) -> None:
        Deferred.fromCoroutine(self._stop(process)).addErrback(self._stop_failed, process)

    async def _stop(self, process: Process) -> None:
        await process.replica.stop()
        await process.transport.stop()
        for flusher in process.flushers:
            await flusher.stop()
        process.store.close()
        self.world.record("end", f"{self.name} has stopped")
        process.die(power=False, noticed=True)

    def _stop_failed(self, failure: Failure, process: Process) -> None:
        if not process.alive or failure.check(PowerLost):
            return
        if failure.check(LetoError) is None or not process.failed_disk:
            self.world.oracle.fail(f"{self.name} fails to stop: {failure.getTraceback()}")
        process.die(power=False, noticed=True)

    def crash(self, *, power: bool, noticed: bool) -> None:
        if self.process is not None:
            self.process.die(power, noticed)

    def ended(self, process: Process, power: bool, noticed: bool) -> None:
        """The process is gone: the disk keeps what it keeps."""
        assert self.process is process
        self.process, self.previous = None, process
        self.disk.capacity = None
        if power:
            self.disk.before = None
            self.disk.lose_power(self.world.random)
        else:
            self.disk.life += 1
            self.disk.locks.clear()
        self.disk.before = _dead
        if process.transport is not None:
            if noticed:
                process.transport.stop()
            else:
                self.world.timeline.callLater(self.world.random.uniform(0.1, 5.0), process.transport.stop)
        self.world.record("down", f"{self.name}{' (power)' if power else ''}")
        self.world.oracle.crashed()

    def wipe(self) -> None:
        """A new, empty disk."""
        assert self.process is None
        self.disk = SimulatedDisk()
        self.incarnation = f"wiped after life {self.lives}"
        self.retired = self.rotten = self.refuses = False
        if not self.config.join:
            object.__setattr__(self.config, "join", (Address("10.0.0.250", 5000),))

    def free_disk(self) -> None:
        self.disk_hangs = False
        waiting, self.waits_for_disk = self.waits_for_disk, []
        for function in waiting:
            function()


def _dead(operation: str, path: str) -> None:
    raise PowerLost
