"""What keeps a node's disk and memory within bounds: snapshots, compaction, room on the disk, what is to be freed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.errors import LetoError, NoRoom, NothingToSnapshot, Stopping
from leto.raft.configuration import Configuration
from leto.raft.messages import SnapshotMeta
from leto.replica.compaction import ABANDONED, Compaction, staggered
from leto.replica.core import Core
from leto.replica.disposal import Disposal
from leto.replica.room import Room
from leto.replica.streams import Streams


class Upkeep:
    """One node's. applied() is told of all that is applied."""

    log = Logger(namespace="leto.replica")

    def __init__(
        self,
        core: Core,
        *,
        ask: Callable[[str], Deferred[Mapping[str, Any]]],
        room_changed: Callable[[str, int], object],
    ) -> None:
        """`ask` and `room_changed`: see leto.replica.room.Room."""
        config, disk, surroundings = core.config, core.disk, core.surroundings
        node = self._node = core.node
        driver = self._driver = core.driver
        machine = self._machine = core.machine
        reactor = surroundings.reactor
        self.streams = Streams(reactor, node, driver, disk, core.transport, config.snapshot_rate)
        self.compaction = Compaction(
            reactor,
            disk.store,
            machine,
            disk.log_flusher,
            disk.snapshot_flusher,
            begin=self._snapshot_meta,
            taken=node.snapshot_taken,
            compacted=node.compacted,
            max_bytes=config.snapshot_bytes,
            max_entries=config.snapshot_entries,
            trailing_entries=config.trailing_entries,
            trailing_bytes=config.trailing_bytes,
            snapshot_bytes=driver.restored_bytes,
            needed_behind=self.streams.needed_behind,
            meter=surroundings.meter,
        )
        self.room = Room(
            reactor,
            node,
            disk.store,
            self.compaction,
            ask=ask,
            take_snapshot=self._take_snapshot,
            changed=room_changed,
        )
        self._disposal = Disposal(reactor, machine, surroundings.meter)

    def start(self) -> None:
        """Begin to look at the disk."""
        self.room.start()

    def stop(self) -> None:
        """Take, send and free nothing any more."""
        self.compaction.cancel()
        self.room.stop()
        self._disposal.stop()
        self.streams.stop()

    def snapshot(self) -> Deferred[SnapshotMeta]:
        """Take one now, for somebody who is told if there is none to take. Where the disk failed, that is the node's
        end all the same."""

        def failed(reason: Failure) -> Failure:
            self._snapshot_failed(reason)
            return reason

        return self.compaction.take().addErrback(failed)

    def applied(self, index: int, payload_bytes: int) -> None:
        """Some entries were applied, up to `index`: this many bytes of them."""
        if self._machine.has_waste:
            self._disposal.begin()
        room = self.room
        room.unseen_bytes += payload_bytes
        if room.unseen_bytes >= room.look_bytes:
            room.look()
        if self.compaction.applied(index, payload_bytes):
            self._take_snapshot()

    def members_are(self, configuration: Configuration) -> None:
        """These take snapshots of the same log."""
        self.compaction.members_are(configuration.ids(), self._node.id)

    def installed(self, meta: SnapshotMeta) -> None:
        """The leader's snapshot became the keyspace."""
        node = self._node
        share = staggered(node.configuration.ids(), node.id, node.leader_id)
        self.compaction.installed(meta.index, self._driver.restored_bytes, share)

    def _snapshot_meta(self) -> SnapshotMeta:
        """What a snapshot of the keyspace as it is now stands for."""
        if self._node.is_installing:
            raise Stopping(ABANDONED)  # the core's log is that behind the leader's snapshot already
        return self._node.snapshot_meta(self._machine.applied)

    def _take_snapshot(self) -> None:
        self.compaction.take().addErrback(self._snapshot_failed)

    def _snapshot_failed(self, reason: Failure) -> None:
        if reason.check(Stopping, NothingToSnapshot, NoRoom) is None:
            if reason.check(LetoError) is None:  # a failing disk is told in one line
                self.log.failure("the snapshot failed", reason)
            self._driver.fail(f"the snapshot failed: {reason.getErrorMessage()}")
