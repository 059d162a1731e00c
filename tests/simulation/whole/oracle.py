"""What must hold of whole nodes, checked at every event: the harness's own account of what was promised.

It knows what was applied first at each index, what every process has sent and acknowledged, and what each disk would
recover if the power failed now.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NoReturn
from zlib import crc32

from leto.errors import BrokenKeyspace, StorageError
from leto.keyspace import batch
from leto.keyspace.effects import Applied, Effects
from leto.keyspace.invariants import check
from leto.keyspace.machine import Machine
from leto.keyspace.parsing import group, parse, parse_pairs
from leto.raft import invariants
from leto.raft.configuration import Configuration, Member, decode
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    Message,
    RequestVote,
    RequestVoteReply,
)
from leto.raft.state import Role, State
from leto.storage.store import FileStore
from leto.twins.disk import SimulatedDisk
from tests.simulation.whole.recovered import last_configuration, opened, recover

if TYPE_CHECKING:
    from tests.simulation.whole.clients import Operation
    from tests.simulation.whole.host import Host
    from tests.simulation.whole.process import Process
    from tests.simulation.whole.world import World

COMMAND, CONFIGURATION = int(EntryKind.COMMAND), int(EntryKind.CONFIGURATION)
TOKEN = re.compile(rb"~(\d+)\.(\d+)~")  # operation and request, in a value or a key
INVARIANTS_EVERY = 16  # events
CHECKED_ENTRIES = 4  # the keyspace itself is checked after every so many
PROVE_ACKNOWLEDGEMENT_EVERY = 40
CLOCK_RATE = 0.95  # of the time, at least: monotonic clocks are 2% slow at worst, a cluster clock that is ahead 1% more
LATE_SECONDS = 3.0  # what messages that come late may cost the clock from leader to leader


class Violation(AssertionError):
    """A promise was broken."""


class Promises:
    """What one disk has vouched for, by messages that left its node."""

    def __init__(self) -> None:
        self.term = 0
        self.votes: dict[int, str] = {}
        self.acknowledged = (0, 0)  # (term, index)
        self.applied = 0


class Oracle:
    def __init__(self, world: World) -> None:
        self.world = world
        self.leaders: dict[int, str] = {}
        self.sent_entries: dict[tuple[int, int], tuple[int, int, int]] = {}  # (index, term): kind, crc, term before
        self.entries: list[tuple[int, int, int]] = []  # (term, kind, checksum) by index - 1: what was applied
        self.terms: list[int] = []  # of the same
        self.in_force = Configuration()  # at the node that applied the newest entry first, when it did
        self.committed_by: list[int] = []  # the term by which the same was committed, or a later one
        self.digests: list[int] = []
        self.replies: list[list[Any]] = []
        self.effects: list[Effects] = []
        self.payloads: list[bytes] = []
        self.configurations: list[tuple[int, Configuration]] = []
        self.tokens: dict[tuple[int, int], tuple[int, int]] = {}  # (operation, request) -> (index, position)
        self.refused: set[int] = set()  # operations that must never take effect
        self.floor = 0  # what every read that begins now must see
        self.promises: dict[str, Promises] = {}
        self.gone: dict[bytes, tuple[int, int]] = {}  # expired keys: when that was seen (tick, event)
        self.lives: dict[bytes, tuple[float, float]] = {}  # keys that expire: (when written, when gone at the latest)
        self.last_crash = 0  # event number
        self.clock_lost_at = -1.0  # when somebody last forgot the cluster's clock, by a crash or while suspended
        self.was_small = False  # there were fewer than three voters once
        self._recovered: dict[str, tuple[SimulatedDisk, int, FileStore | None]] = {}
        self._checks = 0
        self._acknowledgements = 0

    def fail(self, sentence: str) -> NoReturn:
        if self.world.violation is None:
            self.world.violation = Violation(sentence)
        raise self.world.violation

    @property
    def commit(self) -> int:
        """The highest index that any node has applied."""
        return len(self.entries)

    # what is applied ----------------------------------------------------------------------------------------------

    def applied(self, process: Process, entry: Entry, applied: Applied, machine: Machine) -> None:
        name, index = process.host.name, entry.index
        replies = applied.replies
        summary = (entry.term, entry.kind, crc32(entry.payload))
        digest = machine.digest()[1]
        if index <= self.commit:
            if self.entries[index - 1] != summary:
                self.fail(f"{name} applies {summary} at {index}, where {self.entries[index - 1]} was applied before")
            if self.digests[index - 1] != digest:
                self.fail(f"{name}'s state at {index} differs from what it was elsewhere: digest {digest:016x}")
            if self.replies[index - 1] != replies:
                self.fail(f"{name} answers {replies} at {index}, not {self.replies[index - 1]} as elsewhere")
            if self.effects[index - 1] != applied.effects:
                self.fail(f"{name} tells {applied.effects} at {index}, not {self.effects[index - 1]} as elsewhere")
        elif index == self.commit + 1:
            if self.entries and entry.term < self.entries[-1][0]:
                self.fail(f"the entry at {index} is of term {entry.term}, the one before of {self.entries[-1][0]}")
            self.entries.append(summary)
            self.terms.append(entry.term)
            self.in_force = process.replica.node.configuration
            self.committed_by.append(max([process.replica.node.term, *self.committed_by[-1:]]))
            self.digests.append(digest)
            self.replies.append(replies)
            self.effects.append(applied.effects)
            self.payloads.append(entry.payload)
            self._note(entry)
            self._check_invariants(machine, index)
            self.world.record("commit", f"{index} term {entry.term} kind {entry.kind} first at {name}")
        else:
            self.fail(f"{name} applies {index}, but nobody has applied {self.commit + 1}")
        promises = self.promises_of(process.host)
        promises.applied = max(promises.applied, index)

    def _note(self, entry: Entry) -> None:
        if entry.kind == CONFIGURATION:
            self.configurations.append((entry.index, decode(entry.payload)))
        elif entry.kind == COMMAND:
            for token, position in tokens_of(entry.payload):
                if token[0] in self.refused:
                    self.fail(f"operation {token[0]} was refused, but is applied at {entry.index}")
                if token in self.tokens:
                    self.fail(f"operation {token} is applied at {self.tokens[token]} and again at {entry.index}")
                self.tokens[token] = (entry.index, position)

    def _check_invariants(self, machine: Machine, index: int) -> None:
        """Of the keyspace, by itself: a fault that is alike on all nodes does not show in their digests."""
        if index % CHECKED_ENTRIES == 0:
            try:
                check(machine.database)
            except BrokenKeyspace as error:
                self.fail(f"the keyspace is not as it must be after entry {index}: {error}")

    def restored(self, process: Process, index: int, machine: Machine) -> None:
        """A snapshot became the process's state: it must be what replaying the log up to there gives."""
        if index > self.commit:
            self.fail(f"{process.host.name} restores a snapshot at {index}, beyond all that was applied")
        digest = machine.digest()[1]
        if digest != self.digests[index - 1]:
            self.fail(f"{process.host.name}'s snapshot at {index} is not what the log gives: digest {digest:016x}")
        self._check_invariants(machine, 0)

    def configuration_at(self, index: int) -> Configuration:
        """The committed configuration in force at that index."""
        return max((item for item in self.configurations if item[0] <= index), key=lambda item: item[0])[1]

    def removed(self, host: Host, process: Process) -> None:
        """A node says it was removed: some committed configuration after the one it knows must leave it out."""
        node = process.replica.node
        since = node.member_at
        if node.configuration_index <= node.commit and host.name not in node.configuration.ids():
            return
        if not any(index > since and host.name not in c.ids() for index, c in self.configurations):
            self.fail(f"{host.name} ends as removed, but no configuration after {since} leaves it out")

    # what clients are told ----------------------------------------------------------------------------------------

    def answered(self, operation: Operation, replies: list[Any]) -> None:
        """A write was acknowledged."""
        first = None
        for number in operation.tokens:
            found = self.tokens.get((operation.id, number))
            if found is None:
                self.fail(f"{operation} is acknowledged with {replies}, but is in no applied entry")
            first = first or found
        if first is None:
            return
        index, position = first
        expected = self.replies[index - 1][position - operation.tokens[0] :][: len(replies)]
        if expected != replies:
            self.fail(f"{operation}, applied at {index}, is answered {replies} instead of {expected}")
        if index <= operation.floor:
            self.fail(f"{operation} took effect at {index}, before {operation.floor}, which it came after")
        self.floor = max(self.floor, index)

    def refuse(self, operation: Operation, error: Exception) -> None:
        """The client was told that the write was never appended."""
        self.refused.add(operation.id)
        for number in operation.tokens:
            if (operation.id, number) in self.tokens:
                self.fail(f"{operation} was applied, but is refused: {error!r}")

    def read(self, operation: Operation, applied: int, is_whole: bool) -> None:
        """A read was served from the state at `applied`."""
        if not is_whole:
            self.fail(f"{operation} was served from half an entry, the one after {applied}")
        if applied < operation.floor:
            self.fail(f"stale read: {operation} sees the state at {applied}, though {operation.floor} was known before")
        self.floor = max(self.floor, applied)

    def volatile(self, operation: Operation, key: bytes, seconds: float) -> None:
        """A key was written that lives for so long from now on, at most."""
        self.lives[key] = operation.began, self.world.timeline.rightNow + seconds / CLOCK_RATE + LATE_SECONDS

    def clock_lost(self) -> None:
        self.clock_lost_at = self.world.timeline.rightNow

    def peeked(self, operation: Operation, value: bytes | None) -> None:
        """A key that expires was read. Once gone it stays gone, while the cluster's clock has somebody to keep it."""
        key = operation.commands[0][1]
        gone = self.gone.get(key)
        if value is None:
            self.gone.setdefault(key, (operation.returned, self.world.timeline.events))
        elif gone is not None and gone[0] < operation.called and self.last_crash < gone[1]:
            self.fail(f"{operation} sees {value[:40]!r}, which had expired before")
        written, deadline = self.lives[key]
        if value is not None and operation.began > deadline and self.clock_lost_at < written:
            late = operation.began - deadline
            self.fail(f"{operation} sees {value[:40]!r}, which outlives its time by {late:.3f} s and more")

    # what processes do --------------------------------------------------------------------------------------------

    def promises_of(self, host: Host) -> Promises:
        key = f"{host.name} {host.incarnation}"
        promises = self.promises.get(key)
        if promises is None:
            promises = self.promises[key] = Promises()
        return promises

    def sent(self, process: Process, message: Message) -> None:
        """A message leaves: what it says must be on the disk."""
        host = process.host
        self.world.hash_message(message)
        kind = type(message)
        promises = self.promises_of(host)
        prove = False
        if kind is RequestVote and not message.pre:
            self._vote(host, promises, message.term, host.name)
            prove = True
        elif kind is RequestVoteReply and message.granted and not message.pre:
            self._vote(host, promises, message.term, message.to)
            prove = True
        elif kind is AppendEntriesReply and message.success:
            promises.term = max(promises.term, message.term)
            promises.acknowledged = max(promises.acknowledged, (message.term, message.match_index))
            self._acknowledgements += 1
            prove = self._acknowledgements % PROVE_ACKNOWLEDGEMENT_EVERY == 0
        elif kind is AppendEntries:
            promises.term = max(promises.term, message.term)
            if self.leaders.setdefault(message.term, host.name) != host.name:
                self.fail(f"{host.name} and {self.leaders[message.term]} both lead term {message.term}")
            before = message.prev_term
            for entry in message.entries:
                known = entry.kind, crc32(entry.payload), before
                if self.sent_entries.setdefault((entry.index, entry.term), known) != known:
                    self.fail(f"log matching: {host.name} sends another {entry.index} of term {entry.term}")
                before = entry.term
        if prove:
            store = self._recover(host)
            if store is None and host.rotten:
                return  # its process holds in memory what its disk has lost
            if store is None:
                self.fail(f"{host.name} sends {message} with no identity on its disk")
            self.kept(host, store, promises, f"if the power failed now, after {kind.__name__},")

    def _recover(self, host: Host) -> FileStore | None:
        """recover(), once for each state of the disk."""
        disk = host.disk
        known = self._recovered.get(host.name)
        if known is None or known[0] is not disk or known[1] != disk.synced:
            try:
                store = recover(disk)
            except StorageError:
                if not host.rotten:
                    raise
                store = None
            known = self._recovered[host.name] = (disk, disk.synced, store)
        return known[2]

    def configuration_of(self, host: Host) -> Configuration | None:
        """The last one that a node knows of, or its disk. None: it has none yet."""
        replica = host.replica
        if replica is not None:
            return replica.node.configuration
        store = self._recover(host)
        return None if store is None else last_configuration(store)

    # bits that flip -----------------------------------------------------------------------------------------------

    def image(self, host: Host) -> FileStore | None:
        """What a process that starts now would find."""
        try:
            return opened(host.disk.files())
        except StorageError:
            return None

    def undetectable(self, host: Host, before: FileStore | None, alone: bool) -> bool:
        """Bits have flipped: does the disk now pass for one on which its last records were never written?

        No checksum can tell these from a torn write unless the watermark, or a record behind them, says that they
        were durable (and flips that are not `alone` may take that too). Any other change must be refused, or be none
        to what was vouched for. `before`: what a process would have found before any of them."""
        try:
            if self._lacks(host, recover(host.disk), self.promises_of(host)):
                return True  # once the power has failed too: it takes what the watermark told and no sync has kept
        except StorageError:
            pass  # it would refuse then
        after = self.image(host)
        if after is None:
            return False
        lacks = self._lacks(host, after, self.promises_of(host))
        if lacks and before is not None and before._watermark is not None and before._log is not None:
            told = after.last_index >= before.last_index or before._watermark.mark.records > after._log.written
            if alone and told:
                self.fail(f"bits flipped, and {host.name} {lacks}, but does not refuse to start")
            return True
        self._same_entries(host, after)
        return False

    def _same_entries(self, host: Host, store: FileStore) -> None:
        """What can be read of the committed log is what was committed."""
        base = store.snapshot.index if store.snapshot is not None else 0
        for index in range(max(base + 1, store.first_index), min(store.last_index, self.promises_of(host).applied) + 1):
            try:
                (entry,) = store.entries(index, index + 1, 1 << 30)
            except StorageError:
                return
            if entry.payload != self.payloads[index - 1]:
                self.fail(f"bits flipped, and {host.name} has {entry.payload[:60]!r} at {index}, which was not written")

    def _vote(self, host: Host, promises: Promises, term: int, candidate: str) -> None:
        promises.term = max(promises.term, term)
        before = promises.votes.setdefault(term, candidate)
        if before != candidate:
            self.fail(f"{host.name} votes for {candidate} in term {term}, after {before}")

    def kept(self, host: Host, store: Any, promises: Promises, when: str) -> None:
        """What a disk recovers must hold all that was vouched for."""
        lacks = self._lacks(host, store, promises)
        if lacks:
            self.fail(f"{when} {host.name} {lacks}")

    def _lacks(self, host: Host, store: Any, promises: Promises) -> str:
        """What was vouched for and is not there, as a sentence; "" if all is there."""
        term, vote, last = store.hard_state.term, store.hard_state.vote, store.last_index
        if term < promises.term:
            return f"has term {term}, but spoke of term {promises.term}"
        voted = promises.votes.get(term)
        if voted is not None and vote != voted:
            return f"has voted for {vote or 'nobody'} in term {term}, but told {voted}"
        if last < promises.applied:
            return f"has a log that ends at {last}, but it has applied {promises.applied}"
        if last < store.hard_state.commit:
            return f"has a log that ends at {last}, but its hard state names {store.hard_state.commit} committed"
        in_term, acknowledged = promises.acknowledged
        last_term = store.term(last) if last >= store.first_index or store.snapshot is not None else 0
        if last < acknowledged and last_term <= in_term:
            return f"has a log that ends at {last}, but {acknowledged} was acknowledged in term {in_term}"
        reach = min(last, self.commit)
        if reach <= promises.applied and reach >= store.first_index and store.term(reach) != self.entries[reach - 1][0]:
            return f"has term {store.term(reach)} at the committed {reach}"
        return ""

    def recovered(self, host: Host, store: Any) -> None:
        """A process has opened its disk."""
        self.kept(host, store, self.promises_of(host), "after a restart")

    def crashed(self) -> None:
        """All that was applied anywhere must be durable on a quorum."""
        self.last_crash = self.world.timeline.events
        self.clock_lost()
        if not self.commit:
            return
        reach: dict[str, int] = {}
        # A configuration is in force, and commits, from when it is appended: it may not be on any disk yet.
        candidates = [self.configurations[-1][1], self.in_force]
        for host in self.world.hosts.values():
            store = self._recover(host)
            if store is None:
                continue
            reach[host.name] = self._reach(store)
            configuration = last_configuration(store)
            if configuration is not None:
                candidates.append(configuration)
        holders = {name for name, index in reach.items() if index >= self.commit}
        if not any(self._is_kept(c, holders) for c in candidates):
            self.fail(f"{self.commit} was applied, but is durable only on {sorted(holders)}: {reach}")

    def _is_kept(self, configuration: Configuration, holders: set[str]) -> bool:
        """Whether a quorum holds it; where a voter has lost its disk, whether none can be made without a holder."""
        empty = {member.id for member in (*configuration.members, *configuration.outgoing) if self._is_lost(member)}
        sets = [set(configuration.voter_ids())]
        if configuration.outgoing:
            sets.append(set(configuration.outgoing_ids()))
        return all(
            len(voters - holders - empty) * 2 <= len(voters)
            if voters & empty
            else len(voters & holders) * 2 > len(voters)
            for voters in sets
        )

    def _is_lost(self, member: Member) -> bool:
        """Whether what that member held is gone: its disk was replaced, or cannot be read."""
        host = self.world.hosts[member.id]
        return member.incarnation != host.incarnation or (host.rotten and self._recover(host) is None)

    def _reach(self, store: Any) -> int:
        """How much of what was applied a recovered disk holds."""
        base = store.snapshot.index if store.snapshot is not None else 0
        index = min(store.last_index, self.commit)
        while index > base and index >= store.first_index and store.term(index) != self.entries[index - 1][0]:
            index -= 1
        return max(index, base)

    def check(self, process: Process) -> None:
        """After an event at that process."""
        replica = process.replica
        if self.world.violation is not None:
            raise self.world.violation
        if replica is None or not process.alive:
            return
        state = replica.node._state
        name = process.host.name
        if process.fatal_by is not None and self.world.timeline.rightNow > process.fatal_by:
            self.fail(f"{name} lives on after its disk has failed")
        term, commit, applied = state.term, state.commit, replica.machine.applied
        if state.role is Role.LEADER:
            self._leads(process, state)
            self._clock_is_right(name, state)
            self.world.deadlines.at_rest(process)
        if term < process.term or commit < process.commit or applied < process.applied:
            self.fail(f"{name} goes back: term {term}, commit {commit}, applied {applied}")
        process.term, process.commit, process.applied = term, commit, applied
        self._checks += 1
        if self._checks % INVARIANTS_EVERY == 0:
            invariants.check(replica.node)
            self._bounded(name, replica)

    def _leads(self, process: Process, state: State) -> None:
        """It alone leads its term, has all that was committed before it, and cuts nothing off its log."""
        name, term, last = process.host.name, state.term, state.log.last_index
        if process.led != term:
            if self.leaders.setdefault(term, name) != name:
                self.fail(f"{name} and {self.leaders[term]} both lead term {term}")
            # An entry of an earlier term that a later one committed may be missing (paper figure 8).
            index = bisect_left(self.committed_by, term)  # the last one that was committed before this term
            if index >= state.log.first_index and state.log.term_or_none(index) != self.terms[index - 1]:
                self.fail(f"{name} leads term {term} without the committed entry {index}: its log ends at {last}")
        elif last < process.led_to:
            self.fail(f"{name} leads term {term}, and cuts its log from {process.led_to} to {last}")
        process.led, process.led_to = term, last

    def _clock_is_right(self, name: str, state: State) -> None:
        """One wrong wall clock of several does not pull the cluster's clock forward."""
        self.was_small = self.was_small or len(state.voters) < 3
        if self.world.wrong_clock and not self.was_small:
            ahead = state.clock_ms / 1000 - (1_700_000_000 + self.world.timeline.rightNow)
            if ahead > state.settings.max_clock_offset + 1.0:
                self.fail(
                    f"the clock of {name} is {ahead:.1f} s ahead, though only {self.world.wrong_clock}'s is wrong"
                )

    def _bounded(self, name: str, replica: Any) -> None:
        config = replica.config
        most = config.max_uncommitted_bytes + max(config.max_batch_bytes, self.world.largest_value * 8)
        waiting = replica._proposals.gathered_bytes + replica.node.uncommitted_bytes
        if waiting > most + self.world.largest_value * 8:
            self.fail(f"{name} holds {waiting} bytes of writes, more than {most}")
        if len(replica.driver._to_write) > 10_000:
            self.fail(f"{name} has {len(replica.driver._to_write)} Readys waiting for its disk")


def tokens_of(payload: bytes) -> list[tuple[tuple[int, int], int]]:
    """((operation, request), position of the request in the batch) for every request with a token."""
    form, _, count = batch.decode_header(payload)
    if form == batch.PAIRS:
        pairs = iter(parse_pairs(payload, count))
        requests = [[b"SET", key, value] for key, value in zip(pairs, pairs, strict=True)]
    else:
        requests = parse(payload, count)
    found: list[tuple[tuple[int, int], int]] = []
    position = 0
    for watched, commands in group(requests, count):
        runs = [[command] for command in commands] if watched is None else [commands]
        for run in runs:
            match = next((m for argv in run for word in argv[1:] if (m := TOKEN.search(word[:64]))), None)
            if match is not None and run[0][0] != b"EXPIRED":
                found.append(((int(match[1]), int(match[2])), position))
            position += 1
    return found
