"""The core of a replica and what it stands on: the consensus of its data directory, its driver, keyspace and peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.config import Config
from leto.errors import UnknownEntry
from leto.interfaces.machine import StateMachine
from leto.interfaces.transport import Transport
from leto.keyspace import batch
from leto.raft.node import Node
from leto.raft.settings import Settings
from leto.replica.addresses import check_members
from leto.replica.driver import Driver
from leto.replica.levels import beyond
from leto.replica.surroundings import Disk, Surroundings

log = Logger(namespace="leto.replica")


@dataclass(frozen=True, slots=True)
class Core:
    """What the parts of one replica are made from; each is to keep of it what it uses."""

    config: Config
    disk: Disk
    node: Node
    driver: Driver
    machine: StateMachine
    transport: Transport
    surroundings: Surroundings


def core_of(
    config: Config,
    disk: Disk,
    machine: StateMachine,
    transport: Transport,
    surroundings: Surroundings,
    on_fatal: Callable[[str], None],
) -> Core:
    """As the directory says: `machine`, which is new, becomes its snapshot. Raises UnknownEntry for a cluster at
    a later level than this version understands, CorruptStorage for a snapshot that is damaged."""
    reactor, store, snapshot = surroundings.reactor, disk.store, disk.store.snapshot
    node = Node(
        Settings(
            id=config.id,
            incarnation=store.identity.incarnation if store.identity is not None else None,
            election_timeout=config.election_timeout,
            heartbeat_interval=config.heartbeat_interval,
            max_uncommitted_bytes=config.max_uncommitted_bytes,
            max_clock_offset=config.max_clock_offset,
            lease=config.reads == "lease",
            check_command=batch.check_format,
            check_members=check_members,
        ),
        store,
        hard_state=store.hard_state,
        snapshot=snapshot,
        applied=snapshot.index if snapshot else 0,
        random=surroundings.random,
        now=reactor.seconds(),
    )
    driver = Driver(
        reactor,
        node,
        store,
        disk.log_flusher,
        machine,
        transport,
        surroundings.wall_clock,
        surroundings.soon or partial(reactor.callLater, 0),
        surroundings.meter,
        on_fatal,
        config.skip_entries,
    )
    machine.on_fault = _command_failed
    machine.seconds = reactor.seconds
    if node.configuration.level > machine.understands:
        raise UnknownEntry(beyond(node.configuration.level, machine.understands, node.configuration_index))
    if snapshot is not None:
        driver.restore()
        node.clock_reached(machine.time_ms)
    return Core(config, disk, node, driver, machine, transport, surroundings)


def _command_failed(name: bytes, error: Exception) -> None:
    log.failure(
        "the command {name} failed in a way that it must not; it was answered by an error, here as on every node",
        Failure(error),
        name=name.decode("ascii", "replace"),
    )
