"""A FileStore on a simulated disk, driven at random against a model, with the power lost at any operation, or a sync
that fails there: then the process ends, and the next one finds what the page cache still has.

The model keeps every state that the disk may honestly show after a loss of power: the last one known to be durable,
and each one that the steps after it pass through. What recovery finds must be one of them, and recovery must never
refuse.
"""

from __future__ import annotations

import errno
import os
from random import Random
from typing import NamedTuple

from leto.errors import StorageError
from leto.interfaces.store import Identity
from leto.raft.configuration import Configuration, Member
from leto.raft.messages import Entry, HardState, SnapshotMeta
from leto.storage import FileStore
from leto.twins.disk import PowerLost, SimulatedDisk

IDENTITY = Identity("00112233445566778899aabbccddeeff", "id1")
CONFIGURATION = Configuration((Member("id1", "host:1", True),))
DIRECTORY = "/data"


class State(NamedTuple):
    identified: bool = False
    term: int = 0
    vote: str = ""
    snapshot: SnapshotMeta | None = None
    base: int = 0  # entries up to here are gone for certain
    log: tuple[Entry, ...] = ()  # from base + 1 on

    @property
    def last(self) -> int:
        return self.base + len(self.log)

    def write(self, entry: Entry) -> State:
        return self._replace(log=(*self.log[: entry.index - self.base - 1], entry))


class Machine:
    def __init__(self, seed: int, *, fsync: str = "always") -> None:
        self.random = Random(seed)
        self.disk = SimulatedDisk()
        self.fsync = fsync
        self.now = 0.0
        self.states = [State()]
        self.received: dict[int, tuple[SnapshotMeta, bytes]] = {}
        self.payloads: dict[tuple[int, int], bytes] = {}  # of every snapshot ever, by index and term
        self.commit = 0
        self.crash_at = 0  # operation number; 0: never
        self.fail_at = 0  # the first sync from that operation on fails; 0: none
        self.disk.before = self._before
        self.store = self._open()

    def _before(self, operation: str, path: str) -> None:
        if self.disk.operations == self.crash_at:
            raise PowerLost(f"{operation} {path}")
        if self.fail_at and self.disk.operations >= self.fail_at and operation == "sync":
            self.fail_at = 0
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    def _open(self) -> FileStore:
        store = FileStore.open(
            DIRECTORY,
            fsync=self.fsync,
            segment_bytes=4096,
            disk=self.disk,
            random32=lambda: self.random.getrandbits(32),
            clock=lambda: self.now,
            background=False,
        )
        self._settle(store)
        assert store.hard_state.commit <= max(self.commit, store.snapshot.index if store.snapshot else 0)
        self.commit = store.hard_state.commit
        return store

    @property
    def state(self) -> State:
        return self.states[-1]

    # what recovery may find -------------------------------------------------------------------------

    def _settle(self, store: FileStore) -> None:
        """What the store shows is one of the states; it is the only one from here on. Term and vote are durable
        before the entries written with them, and later ones while earlier entries still are not."""
        votes: list[State] = []
        for state in reversed(self.states):
            votes.append(state)
            for later in votes:
                mixed = state._replace(term=later.term, vote=later.vote)
                if shows(store, mixed):
                    self.states = [mixed]
                    return
        raise AssertionError(
            f"recovered: {store.identity} {store.hard_state} {store.snapshot} entries"
            f" {[(e.index, e.term) for e in entries_of(store)]} after {store.recovered}; expected one of"
            + "".join("\n" + describe(state) for state in self.states)
        )

    def check(self) -> None:
        """The running store shows the latest state, and its snapshot reads back."""
        assert shows(self.store, self.state), describe(self.state)
        source = self.store.open_snapshot()
        if self.state.snapshot is None:
            assert source is None
        else:
            meta = source.meta
            assert meta == self.state.snapshot
            assert source.read(0, 1 << 30) == self.payloads[meta.index, meta.term]
            source.close()

    def synced(self) -> None:
        del self.states[:-1]

    # operations ---------------------------------------------------------------------------------------

    def step(self) -> None:
        state = self.state
        self.now += self.random.choice((0.0, 0.01, 0.1, 0.6))
        if not state.identified:
            self.states.append(state._replace(identified=True))
            self.store.identify(IDENTITY)
            self.synced()
            return
        choice = self.random.random()
        if choice < 0.6:
            self.write()
        elif choice < 0.72:
            self.take()
        elif choice < 0.8:
            self.receive()
        elif choice < 0.86 and self.received:
            self.install()
        elif choice < 0.94:
            self.compact()
        else:
            self.store.close()
            self.synced()
            self.store = self._open()

    def write(self) -> None:
        random, state = self.random, self.state
        term = state.term + (random.random() < 0.3)
        vote = state.vote if term == state.term and state.vote else random.choice(("", "id1", "id2"))
        hard_state = None
        if (term, vote) != (state.term, state.vote):
            hard_state = HardState(term, vote, self.commit)
            state = state._replace(term=term, vote=vote)
            self.states.append(state)
        elif random.random() < 0.3:
            self.commit = random.randint(self.commit, state.last)
            hard_state = HardState(term, vote, self.commit)
        entries = []
        if term and random.random() < 0.9:
            lowest = max(state.base, state.snapshot.index if state.snapshot else 0, self.commit) + 1
            first = state.last + 1
            if random.random() < 0.3 and state.log and lowest <= state.last:
                first = random.randint(lowest, state.last)
                term = max(term, state.log[-1].term)
            for index in range(first, first + random.choice((0, 1, 1, 2, 5, 20))):
                payload = random.randbytes(random.choice((0, 10, 100, 700, 3000)))
                entry = Entry(index, term, 1, payload)
                entries.append(entry)
                state = state.write(entry)
                self.states.append(state)
        sync = random.random() < 0.7
        self.store.write(hard_state, entries, sync)
        if sync and self.fsync == "always":
            self.synced()

    def take(self) -> None:
        state = self.state
        low = max(state.base, state.snapshot.index if state.snapshot else 0) + 1
        if low > state.last:
            return
        index = self.random.randint(low, state.last)
        meta = SnapshotMeta(index, state.log[index - state.base - 1].term, CONFIGURATION)
        payload = self.random.randbytes(self.random.choice((0, 10, 5000, 70_000)))
        sink = self.store.create_snapshot(meta)
        sink.write(payload[:1000])
        sink.write(payload[1000:])
        if self.random.random() < 0.1:
            sink.abort()
            return
        self.payloads[meta.index, meta.term] = payload
        self.states.append(state._replace(snapshot=meta))
        sink.commit()
        self.synced()

    def receive(self) -> None:
        state = self.state
        low = state.snapshot.index + 1 if state.snapshot else 1
        if not state.term:
            return
        index = self.random.randint(low, max(low, state.last) + 20)
        agrees = state.base < index <= state.last and self.random.random() < 0.5
        # a snapshot's payload is the state at an index and term: two of one index and term are the same
        term = state.log[index - state.base - 1].term if agrees else state.term + 1 + self.random.randint(0, 3)
        meta = SnapshotMeta(index, term, CONFIGURATION)
        payload = self.payloads.setdefault((index, term), self.random.randbytes(self.random.choice((0, 9, 150_000))))
        sink = self.store.receive_snapshot(meta, len(payload), index)
        if self.random.random() < 0.3:
            sink.write(payload[sink.offset : sink.offset + 70_000])
            sink.abort(keep_partial=True)
            sink = self.store.receive_snapshot(meta, len(payload), index)
        sink.write(payload[sink.offset :])
        sink.commit()
        self.received = {index: (meta, payload)}

    def install(self) -> None:
        state = self.state
        meta, _ = self.received.popitem()[1]
        if meta.index <= max(self.commit, state.snapshot.index if state.snapshot else 0):
            return  # the core ignores it
        if meta.term > state.term:
            self.states.append(state._replace(term=meta.term, vote=""))
            state = self.state
            self.store.write(HardState(meta.term, "", self.commit), [], True)
            if self.fsync == "always":
                self.synced()
        at = meta.index - state.base
        if 0 < at <= len(state.log) and state.log[at - 1].term == meta.term:
            self.states.append(state._replace(snapshot=meta))
        else:
            self.states.append(state._replace(snapshot=meta, base=meta.index, log=()))
        self.store.install_snapshot(meta)
        self.synced()
        self.commit = max(self.commit, meta.index)

    def compact(self) -> None:
        if self.state.snapshot is not None:
            self.store.compact(self.random.randint(0, self.state.snapshot.index))

    # losing power -------------------------------------------------------------------------------------

    def run(self, steps: int, crash_at: int = 0, fail_at: int = 0) -> bool:
        """Do `steps`, losing power at that operation, or failing the next sync from that one on; then start again, also
        when power is lost while starting. Whether one or the other came about."""
        self.crash_at = crash_at
        self.fail_at = fail_at
        lost = failed = False
        try:
            for _ in range(steps):
                self.step()
                self.check()
        except PowerLost:
            lost = True
        except StorageError:
            if not fail_at or self.fail_at:
                raise  # no sync has failed
            failed = True
        self.crash_at = self.fail_at = 0
        if lost:
            self.lose_power()
        elif failed:
            self.restart()
        return lost or failed

    def restart(self) -> None:
        """The process has ended, and the next one comes."""
        self.disk.life += 1
        self.disk.locks.clear()
        self.received.clear()
        if self.random.random() < 0.2:
            self.disk.drop_caches()
        self.store = self._open()

    def lose_power(self) -> None:
        self.disk.lose_power(self.random)
        self.received.clear()
        if self.random.random() < 0.5:
            self.crash_at = self.disk.operations + self.random.randint(1, 60)
        try:
            self.store = self._open()
        except PowerLost:
            self.crash_at = 0
            self.disk.lose_power(self.random)
            self.store = self._open()
        self.crash_at = 0


def entries_of(store: FileStore) -> list[Entry]:
    return store.entries(store.first_index, store.last_index + 1, 1 << 40)


def shows(store: FileStore, state: State) -> bool:
    if (store.identity is not None) != state.identified:
        return False
    hard_state = store.hard_state
    if (hard_state.term, hard_state.vote) != (state.term, state.vote) or store.snapshot != state.snapshot:
        return False
    if hard_state.commit > store.last_index or store.last_index != state.last:
        return False
    first = store.first_index
    covered = state.snapshot.index if state.snapshot else 0
    if not state.base < first <= covered + 1:
        return False
    return entries_of(store) == list(state.log[first - state.base - 1 :])


def describe(state: State) -> str:
    at = state.snapshot.index if state.snapshot else None
    return (
        f"identified {state.identified} term {state.term} vote {state.vote!r} snapshot {at} base {state.base}"
        f" entries {[(e.index, e.term) for e in state.log]}"
    )
