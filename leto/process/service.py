"""One node as a Twisted service: takes hold of its directory and ports, starts what serves, stops it in order."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger, globalLogBeginner
from twisted.python.failure import Failure

from leto import __version__
from leto.clients.protocol import RespFactory
from leto.commands import CONNECTION
from leto.config import Address, Config
from leto.errors import EX_CONFIG, ConfigError, ForeignDirectory, LetoError
from leto.interfaces.store import Flusher, Identity
from leto.interfaces.transport import Claim
from leto.keyspace.checked import CheckedMachine
from leto.keyspace.machine import Machine, understood
from leto.peer.transport import TcpTransport
from leto.process.directory import bootstrapped, open_store, refuse_the_originals
from leto.process.entrance import Entrance, claim_in_words
from leto.process.logs import LogSink, observer, open_sink
from leto.process.notify import Notifier
from leto.process.signals import Signals, last_words
from leto.reactor import descriptors
from leto.reactor.listening import Listener
from leto.reactor.monotonic import use_monotonic_clock
from leto.reactor.sockets import IS_AVAILABLE, SocketReaders, Waker
from leto.reactor.stalls import StallMeter
from leto.replica import Replica
from leto.replica.addresses import advertised
from leto.replica.announcing import Announcer
from leto.replica.joining import Joiner, needs_bootstrap
from leto.replica.surroundings import Disk, Endings, Surroundings
from leto.storage.flush import AdaptiveFlusher, InlineFlusher, ThreadFlusher
from leto.storage.store import FileStore

if TYPE_CHECKING:
    from leto.admin.site import AdminSite

DRAIN_SECONDS = 2.0  # how long a stopping node goes on answering what its clients have sent
DRAIN_POLL_SECONDS = 0.02
ASK_AGAIN_SECONDS = 5.0  # a node that the cluster took and shut out again asks no more often
# The writer thread must get the interpreter back soon after its fdatasync; measured against the default of 5 ms.
SWITCH_INTERVAL = 0.0002


def machine_of(config: Config, random: Callable[[], float]) -> Machine:
    """The keyspace of a node that is configured so; `random` is for its reads."""
    return CheckedMachine(random=random) if config.check_invariants else Machine(random=random)


class LetoService(Service):
    """Made by `open`, which does all that may fail before twistd goes into the background."""

    name = "leto"
    _log = Logger()

    def __init__(
        self,
        config: Config,
        reactor: Any,
        store: FileStore,
        clients: Listener,
        peers: Listener,
        admin: Listener | None,
        sink: LogSink | None,
        warnings: Sequence[str] = (),
        notes: Sequence[str] = (),
        exit: Callable[[int], Any] = os._exit,
    ) -> None:
        self.config = config
        self._reactor = reactor
        self._store = store
        self._clients = clients
        self._peers = peers
        self._admin = admin
        self._sink = sink
        self._warnings = warnings
        self._notes = notes
        self._exit = exit
        self._notifier = Notifier(reactor)
        self._signals = Signals(reactor, self.stop_process, self.reopen_log, exit)
        self._meter = StallMeter()
        self._flushers: list[Flusher] = []
        self._waker: Waker | None = None
        self._serving: Deferred[None] | None = None
        self._asking: Deferred[None] | None = None
        self._entrance: Entrance | None = None
        self._announcer: Announcer | None = None
        self._stop_asked = False
        self._stopping = False
        self.replica: Replica | None = None
        self.clients_factory: RespFactory | None = None
        self._transport: TcpTransport | None = None

    # before the fork ---------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        config: Config,
        reactor: Any,
        *,
        warnings: Sequence[str] = (),
        daemon: Mapping[str, Any] | None = None,
    ) -> LetoService:
        """Open the log, lock and recover the directory, bind the ports, load the data.

        `daemon`: twistd's own options, None outside twistd. Raises LetoError or OSError with one clear line.
        """
        use_monotonic_clock(reactor)
        room = descriptors.adjust(config.maxclients)
        config = replace(config, maxclients=room.maxclients)
        with ExitStack() as undo, ExitStack() as meanwhile:
            sink = open_sink(config, daemon)
            if sink is not None:
                undo.callback(sink.close)
            admin, no_admin = _bind_admin(config)  # first: probes are answered while the data is read
            if admin is not None:
                undo.callback(admin.close)
                meanwhile.enter_context(_early_answers(config, admin))
            refuse_the_originals(config.raftdir)
            store = open_store(config)
            undo.callback(lambda: store.close())
            if store.identity is not None and store.identity.server_id != config.id:
                raise ForeignDirectory(
                    f"{config.raftdir} is the directory of the node {store.identity.server_id}, not of {config.id}: "
                    "give each node its own --raftdir"
                )
            clients = Listener.bind(config.listen, "--listen", descriptors.FILES + descriptors.PEERS)
            undo.callback(clients.close)
            peers = Listener.bind(config.raftbind, "--raftbind")
            undo.callback(peers.close)
            if no_admin is not None:
                raise no_admin
            # From here on the ports are the real ones, also where the system picked them.
            config = replace(
                config,
                listen=Address(config.listen.host, clients.address.port),
                raftbind=Address(config.raftbind.host, peers.address.port),
            )
            if store.identity is not None and needs_bootstrap(store, config):
                store = bootstrapped(store, config)
            service = cls(config, reactor, store, clients, peers, admin, sink, (*room.warnings, *warnings), room.notes)
            if store.identity is not None:
                service._build(store.identity)
            undo.pop_all()
        gc.collect()  # here, since it takes a while; a joining node is built later, with the reactor running
        gc.freeze()
        return service

    def _build(self, identity: Identity) -> None:
        """Everything that runs on the store's data; starts no thread and listens to nobody yet."""
        config, reactor = self.config, self._reactor
        source = random.Random()
        readers = SocketReaders(reactor) if IS_AVAILABLE else None
        if readers is not None:
            self._meter.serve(readers)
        # always a thread: its syncs and read-back take long
        snapshot_flusher = ThreadFlusher(reactor.callFromThread, "leto-snapshots")
        log_flusher: Flusher = InlineFlusher()
        if config.flush != "inline":
            self._waker = Waker(readers) if readers is not None else None
            wake = self._waker.wake if self._waker is not None else reactor.callFromThread
            if config.flush == "thread":
                log_flusher = ThreadFlusher(wake, rest=self._store.mark)
            else:
                log_flusher = AdaptiveFlusher(reactor, ThreadFlusher(wake), self._store.mark, snapshot_flusher)
        self._flushers = [snapshot_flusher, log_flusher]
        machine = machine_of(config, source.random)
        self._transport = self._peers_transport(
            identity, lambda: str(advertised(config)), lambda: replica.addresses.of_client(config.id), readers
        )
        soon = readers.soon if readers is not None else None
        replica = self.replica = Replica(
            config,
            Disk(self._store, log_flusher, snapshot_flusher),
            machine,
            self._transport,
            Surroundings(reactor, random=source.random, soon=soon, meter=self._meter),
            Endings(self.fail, self._removed, self._shut_out),
        )
        fail = replica.driver.fail
        self._store.on_failure = lambda failure: reactor.callFromThread(fail, str(failure))
        self.clients_factory = RespFactory(
            replica,
            config,
            reactor,
            commands=CONNECTION,
            shutdown=self.stop_process,
            readers=readers,
            meter=self._meter,
        )
        gc.freeze()  # what was loaded lives long: the collector need not look at it again and again
        _return_memory()

    def _peers_transport(
        self,
        identity: Identity,
        advertised: Callable[[], str],
        client_address: Callable[[], str] = lambda: "",
        readers: SocketReaders | None = None,
    ) -> TcpTransport:
        config = self.config
        return TcpTransport(
            self._reactor,
            identity=identity,
            bind=config.raftbind,
            advertised=advertised,
            client_address=client_address,
            secret=config.cluster_secret,
            heartbeat_interval=config.heartbeat_interval,
            election_timeout=config.election_timeout,
            protected_mode=config.protected_mode,
            confirm_peers=config.confirm_peers,
            level=understood(),
            release=__version__,
            on_claim=self._claimed,
            readers=readers,
        )

    # logs ------------------------------------------------------------------------------------------------

    def setServiceParent(self, parent: Any) -> None:
        """Become twistd's; it then logs as Leto's options say, unless its own log options are given."""
        if self._sink is not None:
            parent.setComponent(ILogObserver, observer(self.config, self._sink))
        super().setServiceParent(parent)

    def reopen_log(self) -> None:
        """Let go of a log file that was moved away."""
        if self._sink is None or self._sink.path is None:
            self._log.info("asked to reopen the log, but it goes to no file of Leto's")
            return
        try:
            self._sink.reopen()
        except ConfigError as error:
            self._log.error("still logging to the old file: {error}", error=error)
        else:
            self._log.info("reopened the log file {path}", path=self._sink.path)

    # life ----------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve in the foreground until stopped; returns the exit status."""
        if self._sink is not None:
            globalLogBeginner.beginLoggingTo([observer(self.config, self._sink)], redirectStandardIO=False)
        self.startService()
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stopService)
        self._reactor.run()
        return 0

    def startService(self) -> None:
        """Begin to serve; from here on the process may have threads."""
        super().startService()
        if self.config.flush == "thread":
            sys.setswitchinterval(SWITCH_INTERVAL)
        self._meter.watch(self._reactor)
        self._reactor.callWhenRunning(self._signals.install)
        config = self.config
        self._log.info(
            "leto {version} {id}: clients on {listen}, peers on {raftbind}, data in {raftdir}, process {pid}",
            version=__version__,
            id=config.id,
            listen=str(config.listen),
            raftbind=str(config.raftbind),
            raftdir=config.raftdir,
            pid=os.getpid(),
        )
        for line in self._notes:
            self._log.info("{line}", line=line)
        for line in (*self._store.recovered, *self._warnings):
            self._log.warn("{line}", line=line)
        self._serving = Deferred.fromCoroutine(self._serve())
        self._serving.addErrback(self._start_failed)

    async def _serve(self) -> None:
        site = self._serve_admin()
        if self.replica is None:
            await self._enter()
        replica, factory, transport = self.replica, self.clients_factory, self._transport
        assert replica is not None and factory is not None and transport is not None
        transport.start(replica.listener)
        transport.listen(self._peers)
        replica.start()
        identity = self._store.identity
        assert identity is not None
        self._announcer = Announcer(self._reactor, self.config, identity, replica)
        self._announcer.start()
        self._clients.serve(self._reactor, factory, after=self._peers)
        if site is not None:
            site.attach(replica, factory)
        self._meter.begin()
        self._notifier.ready(f"{self.config.id} serves clients on {self.config.listen}")

    def _serve_admin(self) -> AdminSite | None:
        if self._admin is None:
            return None
        from leto.admin.site import AdminSite

        site = AdminSite(
            None,
            self.config,
            reactor=self._reactor,
            failure=self._disk_failure,
            meter=self._meter,
            waiting=self._waits_for,
        )
        self._admin.serve(self._reactor, site)
        return site

    def _waits_for(self) -> str:
        """Why this node has no data yet."""
        why = self._entrance.waits_for if self._entrance is not None else ""
        return "this node waits for the cluster to take it" + (f": {why}" if why else "")

    def _disk_failure(self) -> str:
        return str(self._store.failure or "")

    async def _enter(self) -> None:
        """Come to a cluster, or found one."""
        self._entrance = Entrance(self._reactor, self.config, self._clients, self._peers, self._peers_transport)
        identity = await self._entrance.come()
        if identity is None:
            self._store = bootstrapped(self._store, self.config)
            identity = self._store.identity
            assert identity is not None
        else:
            self._store.identify(identity)
        self._build(identity)

    def _claimed(self, claim: Claim) -> None:
        """A member of another cluster dials this node by its id: a cluster of its own would be a second one."""
        serves = self.replica is not None and self.replica.node.configuration.ids() == (self.config.id,)
        if serves or (self._entrance is not None and self._entrance.is_founding):
            self.fail(claim_in_words(claim, self.config, serves), EX_CONFIG)
        elif self._entrance is not None:
            self._entrance.claimed()

    def _shut_out(self) -> None:
        """The cluster has taken this node, and then given its id to another data directory."""
        if self._asking is None and self.config.join and not self._stopping:
            self._log.warn(
                "the cluster has taken {id}, and then another node of that id: asking again, in case that one is gone",
                id=self.config.id,
            )
            self._asking = Deferred.fromCoroutine(self._ask_again())
            self._asking.addErrback(self._asking_failed)

    async def _ask_again(self) -> None:
        own = self._store.identity
        assert own is not None
        identity = await Joiner(self._reactor, self.config, own.incarnation, lambda _: None).join()
        if identity is not None and identity.cluster_id != own.cluster_id:
            self._log.error("--join leads to another cluster, {cluster}", cluster=identity.cluster_id)
        await deferLater(self._reactor, ASK_AGAIN_SECONDS)
        self._asking = None

    def _asking_failed(self, failure: Failure) -> None:
        self._asking = None
        if not self._stopping:
            self._log.failure("asking to be taken again failed", failure)

    def _start_failed(self, failure: Failure) -> None:
        if self._stopping:  # it was cancelled, and each thing that it may have waited for has its own word for that
            return
        if failure.check(LetoError) is None:
            self._log.failure("the start failed", failure)
        self.fail(failure.getErrorMessage())

    # the end ------------------------------------------------------------------------------------------------------

    def stop_process(self) -> None:
        """Stop in order and end the process; asked once, whoever asks."""
        if not self._stop_asked:
            self._stop_asked = True
            self._reactor.callWhenRunning(self._reactor.stop)

    def stopService(self) -> Deferred[None]:
        """Fires when the node has let go of everything."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop()).addErrback(self._stop_failed)

    def _stop_failed(self, failure: Failure) -> None:
        if failure.check(LetoError) is None:
            self._log.failure("the stop failed", failure)
        self.fail(failure.getErrorMessage())

    async def _stop(self) -> None:
        self._log.info("{id} stops", id=self.config.id)
        self._notifier.stopping()
        self._stopping = True
        await self._clients.close()
        for under_way in (self._serving, self._asking):
            if under_way is not None:
                under_way.cancel()
        if self._announcer is not None:
            self._announcer.stop()
        if self.replica is not None and self.clients_factory is not None and self._transport is not None:
            await self._drain(self.clients_factory)
            await self.replica.stop()
            self.clients_factory.close()
            await self._transport.stop()
        await self._peers.close()
        if self._admin is not None:
            await self._admin.close()
        for flusher in self._flushers:
            await flusher.stop()
        if self._waker is not None:
            self._waker.close()
        self._store.close()
        self._notifier.stop()
        self._meter.close()
        self._log.info("{id} has stopped", id=self.config.id)

    async def _drain(self, factory: RespFactory) -> None:
        """Wait until every request that came has its answer, for at most DRAIN_SECONDS."""
        deadline = self._reactor.seconds() + DRAIN_SECONDS
        while factory.unanswered and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, DRAIN_POLL_SECONDS)

    def _removed(self, reason: str) -> None:
        if self.config.on_removed == "exit":
            self._log.warn("{id} ends: {reason}", id=self.config.id, reason=reason)
            self.stop_process()

    def fail(self, message: str, status: int = 1) -> None:
        """End at once, whatever is under way: nothing may be acknowledged after this. Does not return."""
        self._log.critical("stopping at once: {message}", message=message)
        if self._sink is None or not self._sink.is_stderr:
            last_words(message)
        self._exit(status)


def _bind_admin(config: Config) -> tuple[Listener | None, ConfigError | None]:
    """The admin port, if there is to be one, or why it cannot be had: worth telling when all else can be."""
    if config.admin_listen is None:
        return None, None
    from leto.admin.site import bind_address  # here, so that only nodes with an admin port pay for it

    address = bind_address(config.admin_listen)
    try:
        return Listener.bind(address, "--admin-listen", descriptors.FILES + descriptors.PEERS), None
    except ConfigError as error:
        return None, error


def _early_answers(config: Config, admin: Listener) -> AbstractContextManager[object]:
    from leto.admin.early import EarlyAnswers
    from leto.admin.site import answered_names

    return EarlyAnswers(admin.sockets, answered_names(config))


def _return_memory() -> None:
    """Give back to the system what reading the files took meanwhile: glibc would keep some 50 MB of it."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:  # another C library
        return
    trim(0)
