"""Bugs planted in whole nodes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch
from zlib import crc32

import msgspec
from twisted.internet.defer import Deferred, succeed

from leto.errors import OutcomeUnknown
from leto.keyspace.admission import checking
from leto.keyspace.database import Database
from leto.keyspace.machine import Machine
from leto.keyspace.snapshot import Writer
from leto.keyspace.types.list import List
from leto.keyspace.types.value import checksum
from leto.raft import clock
from leto.raft.messages import AppendEntriesReply, Entry, SnapshotMeta
from leto.replica import forwarding, intake
from leto.replica.driver import Driver
from leto.replica.intake import Intake
from leto.replica.levels import Levels
from leto.replica.membership import Membership
from leto.replica.owner import DriverOwner
from leto.replica.proposals import UNCERTAIN, Proposals
from leto.replica.replica import Replica
from leto.replica.upkeep import Upkeep
from leto.storage import recovery
from leto.storage.hard_state import OFFSETS, HardStateFile
from leto.vocabulary.replies import OK
from tests.simulation.bugs import Bugs
from tests.simulation.core.plants import BUGS as CORE_BUGS
from tests.simulation.whole.world import World
from tests.vocabulary.earlier import LEVEL

BUGS = Bugs(World)
bug = BUGS.bug


@bug("acknowledge-before-flush", "was acknowledged|is durable only on|but it has applied")
def _acknowledge_before_flush(stack: ExitStack) -> None:
    """A follower acknowledges entries while their flush is still under way."""
    original = Driver._start_flush

    def start_flush(self: Any) -> None:
        original(self)
        for ready in self._in_flight:
            self._transport.send([m for m in ready.messages_after_persist if isinstance(m, AppendEntriesReply)])

    stack.enter_context(patch.object(Driver, "_start_flush", start_flush))


@bug("read-without-confirmation", "stale read|not linearizable|served from half an entry")
def _read_without_confirmation(stack: ExitStack) -> None:
    """Every node answers reads from what it happens to have."""

    def read(self: Any) -> Deferred[int]:
        return succeed(self.read_local())

    stack.enter_context(patch.object(Replica, "read", read))


@bug("reads-of-half-an-entry", "half an entry")
def _reads_of_half_an_entry(stack: ExitStack) -> None:
    """A read is served while an entry is applied in steps."""

    def read_answered(self: Any, state: Any) -> None:
        self._reads.answered(state, self._machine.applied)

    stack.enter_context(patch.object(DriverOwner, "read_answered", read_answered))


@bug("vote-not-synced", "spoke of term|but told|is older than the log")
def _vote_not_synced(stack: ExitStack) -> None:
    """Term and vote are written, but not made durable before they are acted on."""

    def write_copy(self: Any, copy: int, data: bytes) -> None:
        self._file.write_at(OFFSETS[copy], [data])

    stack.enter_context(patch.object(HardStateFile, "_write_copy", write_copy))


@bug("failed-sync-counts-as-durable", "if the power failed now|is durable only on|was durable|was complete")
def _failed_sync_counts_as_durable(stack: ExitStack) -> None:
    """What a start finds in the log after a sync has failed is only synced, which writes nothing of it."""

    def write_again(last: Any, data: bytes, found: Any, mark: Any) -> None:
        last.file.sync()

    stack.enter_context(patch.object(recovery, "_write_again", write_again))


@bug(
    "applied-twice-after-restart",
    "is not what the log gives|differs from what it was elsewhere|its digest does not match",
)
def _applied_twice(stack: ExitStack) -> None:
    """A snapshot holds one entry more than it says, which is applied again after a restart."""
    original = Machine.snapshot

    def meta(self: Any) -> SnapshotMeta:
        return self._node.snapshot_meta(self._machine.applied - 1)

    def snapshot(self: Any) -> Writer:
        self.database.index -= 1
        try:
            return original(self)
        finally:
            self.database.index += 1

    stack.enter_context(patch.object(Upkeep, "_snapshot_meta", meta))
    stack.enter_context(patch.object(Machine, "snapshot", snapshot))


@bug("refused-write-answered-ok", "is in no applied entry")
def _refused_write_answered_ok(stack: ExitStack) -> None:
    """A follower answers OK to writes that it drops."""
    original = Replica.write

    def write(self: Any, payload: bytes, count: int) -> Deferred[list[Any]]:
        if not self.is_leader:
            return succeed([OK] * count)
        return original(self, payload, count)

    stack.enter_context(patch.object(Replica, "write", write))


@bug("snapshot-misses-a-key", "is not what the log gives")
def _snapshot_misses_a_key(stack: ExitStack) -> None:
    """A snapshot lacks one key, and is consistent in itself."""
    take, frame = Machine.snapshot, Writer._record_frame

    def snapshot(self: Any) -> Writer:
        database = self.database
        missing = min(database.data, default=None)
        if missing is None:
            return take(self)
        record = database.data[missing]
        held = database.data.pop(missing, crc32(missing))
        check = checksum(missing, record.value, record.expire_at)
        database.check_sum -= check
        writer: Any = take(self)
        database.data.add(missing, crc32(missing), held)
        database.check_sum += check
        writer.missing = missing
        return writer

    def record_frame(self: Any, items: list[Any]) -> bytes:
        return frame(self, [item for item in items if item[0] != getattr(self, "missing", None)])

    stack.enter_context(patch.object(Machine, "snapshot", snapshot))
    stack.enter_context(patch.object(Writer, "_record_frame", record_frame))


@bug("proposals-outlive-leadership", "is in no applied entry|is answered|was applied, but")
def _proposals_outlive_leadership(stack: ExitStack) -> None:
    """Who waits for an index gets the replies of whatever entry is applied there, of whatever term."""

    def applied(self: Any, entry: Entry, replies: Sequence[Any], microseconds: float = 0.0) -> None:
        while self._appended and self._appended[0][0] <= entry.index:
            index, _, waiting = self._appended.popleft()
            start = 0
            for request in waiting:
                if index == entry.index:
                    request.applied(replies, start, microseconds)
                else:
                    request.refused(OutcomeUnknown(UNCERTAIN))
                start += request.count

    stack.enter_context(patch.object(Proposals, "applied", applied))


@bug("snapshot-loses-its-configuration", "both lead term|no progress|otherwise|configuration")
def _snapshot_loses_its_configuration(stack: ExitStack) -> None:
    """A snapshot stands for the configuration that was in force one change ago."""
    original = Upkeep._snapshot_meta

    def meta(self: Any) -> SnapshotMeta:
        found = original(self)
        members = found.configuration.members[:1]
        return msgspec.structs.replace(
            found, configuration=msgspec.structs.replace(found.configuration, members=members)
        )

    stack.enter_context(patch.object(Upkeep, "_snapshot_meta", meta))


@bug("clock-follows-the-leader-alone", "though only .* is wrong")
def _clock_follows_the_leader_alone(stack: ExitStack) -> None:
    """The leader's wall clock counts, whatever the others' show."""
    stack.enter_context(patch.object(clock, "_confirmed", lambda s, wall: (wall, wall)))


@bug("answers-in-the-order-of-indexes", "whole log, but no answer|no answer in time")
def _answers_in_the_order_of_indexes(stack: ExitStack) -> None:
    """What a leader lost waits until an entry is applied at its index, and who comes after waits behind it."""

    def applied(self: Any, entry: Entry, replies: Sequence[Any], microseconds: float = 0.0) -> None:
        while self._appended and self._appended[0][0] <= entry.index:
            index, term, waiting = self._appended.popleft()
            if (index, term) != (entry.index, entry.term):
                self.refuse(waiting, lambda: OutcomeUnknown(UNCERTAIN))
                continue
            start = 0
            for request in waiting:
                self.waiting_requests -= request.count
                self.waiting_bytes -= len(request.payload)
                request.applied(replies, start, microseconds)
                start += request.count

    stack.enter_context(patch.object(Proposals, "applied", applied))


@bug("lost-changes-of-members-wait", "a change of members waits|no answer in time")
def _lost_changes_of_members_wait(stack: ExitStack) -> None:
    """The same for changes of members."""

    def overtaken(self: Any, index: int, term: int) -> None:
        self._abandon(lambda at, of: at <= index and of != term)

    stack.enter_context(patch.object(Membership, "overtaken", overtaken))


@bug("bare-wall-clock-stamp", "though only .* is wrong|which had expired before|outlives its time")
def _bare_wall_clock_stamp(stack: ExitStack) -> None:
    """Entries are stamped by the leader's wall clock, whatever the cluster's clock and the log say."""
    original = Intake._propose
    proposing: list[Any] = []

    def propose(self: Any, now: float) -> None:
        proposing[:] = [self._driver]
        original(self, now)

    stack.enter_context(patch.object(Intake, "_propose", propose))
    stack.enter_context(patch.object(intake, "max", lambda *times: proposing[0].wall_ms(), create=True))


# Those of the core's bugs that whole nodes show too, and what as; the core's own simulation finds the others.
# What else follows from some, and may be seen first: what is believed to be there is not sent again; what is not
# written holds no term either; and what was read too early may be in no order of a history.
_ALSO = {
    "acknowledge-before-durable": "but spoke of term",
    "lane-believes-more-than-is-answered": "no progress",
    "read-before-own-term-commit": "is not linearizable",
}
for _name, _shows_as in {
    "acknowledge-before-durable": "an acknowledgement before the disk|was acknowledged",
    "clock-stands-still": "outlive|though only .* is wrong",
    "leader-counts-itself-early": "a quorum reached only|is durable only on|both lead term|without the committed entry",
    "lane-acknowledges-before-durable": "an acknowledgement before the disk|was acknowledged",
    "lane-believes-more-than-is-answered": "a quorum reached only|is durable only on|without the committed entry",
    "lane-counts-the-leader-early": "a quorum reached only|is durable only on|without the committed entry",
    "learners-count": "no progress|is durable only on|both lead term|without the committed entry",
    "overwritten-configuration-stays": r"is no configuration|configuration \d+ after",
    "read-before-own-term-commit": "stale read",
    "read-without-a-round": "stale read",
    "vote-before-durable": "spoke of term|but told",
    "vote-for-an-old-log": "without the committed entry|was applied before",
}.items():
    bug(_name, _shows_as, _ALSO.get(_name, ""))(CORE_BUGS.plant(_name))


@bug("append-above-the-level", "is of a later version", also="holds strings alone")
def _append_above_the_level(stack: ExitStack) -> type[World]:
    """A command is appended that one of the members may not understand: nobody asks for the cluster's level."""

    def check(requests: bytes, count: int, **facts: Any) -> Any:
        return checking(requests, count, **{**facts, "level": LEVEL})

    stack.enter_context(patch.object(forwarding, "checking", check))

    class Heedless(World):
        demanded_level = 1

    return Heedless


@bug("level-of-those-that-are-there", "no progress within")
def _level_of_those_that_are_there(stack: ExitStack) -> None:
    """The level rises without those members that are not connected."""

    def agreed(self: Any, configuration: Any) -> int:
        others = [self._transport.level_of(id) for id in configuration.ids() if id != self._node.id]
        return min([self._machine.understands, *filter(None, others)])

    stack.enter_context(patch.object(Levels, "agreed", agreed))


@bug("forgotten-digest", "is not as it must be after entry .*: the sum of the records' checksums")
def _forgotten_digest(stack: ExitStack) -> None:
    """A deleted key's checksum stays in the sum, on every node alike."""
    original = Database.delete

    def delete(self: Any, key: bytes, **facts: Any) -> Any:
        check_sum = self.check_sum
        try:
            return original(self, key, **facts)
        finally:
            self.check_sum = check_sum

    stack.enter_context(patch.object(Database, "delete", delete))


@bug("list-pushed-at-the-wrong-end", "differs from what it was elsewhere: digest")
def _lists_without_order(stack: ExitStack) -> None:
    """One node's list is pushed to at the wrong end now and then: its digest must say so."""
    push = List.push
    pushes = [0]

    def wrong(self: Any, value: bytes, *, left: bool) -> None:
        pushes[0] += 1
        push(self, value, left=left != (pushes[0] % 7 == 0))

    stack.enter_context(patch.object(List, "push", wrong))
