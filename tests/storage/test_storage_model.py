"""FileStore and MemoryStore do the same, whatever is asked of them, also over stops and starts (hypothesis)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from leto.errors import LetoError
from leto.raft.messages import Entry, HardState, SnapshotMeta
from leto.twins.disk import SimulatedDisk
from leto.twins.store import MemoryStore
from tests.storage.directories import CONFIGURATION, IDENTITY, open_store

INDEX = st.integers(0, 30)
TERM = st.integers(0, 6)
PAYLOADS = st.lists(st.binary(max_size=30) | st.integers(0, 3000).map(bytes), max_size=6)


def outcome(call):
    """What a call gives, or which error it raises."""
    try:
        return call()
    except LetoError as error:
        return type(error)


class SameStore(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.disk = SimulatedDisk()
        self.file = open_store(self.disk)
        self.memory = MemoryStore()
        for store in (self.file, self.memory):
            store.identify(IDENTITY)

    def both(self, call):
        expected, found = outcome(lambda: call(self.memory)), outcome(lambda: call(self.file))
        assert found == expected
        return found

    @rule(term=TERM, vote=st.sampled_from(("", "id1", "id2")), commit=INDEX, sync=st.booleans())
    def save(self, term, vote, commit, sync):
        self.both(lambda store: store.write(HardState(term, vote, min(commit, store.last_index)), [], sync))

    @rule(index=INDEX, terms=st.lists(TERM, max_size=6), payloads=PAYLOADS, kind=st.integers(0, 2), sync=st.booleans())
    def write(self, index, terms, payloads, kind, sync):
        entries = [
            Entry(index + n, term, kind, data)
            for n, (term, data) in enumerate(zip(sorted(terms), payloads, strict=False))
        ]
        if index > self.memory.hard_state.commit:  # what is committed is never overwritten
            self.both(lambda store: store.write(None, entries, sync))

    @rule(count=st.integers(1, 8), size=st.integers(0, 1500))
    def append(self, count, size):
        first, term = self.memory.last_index + 1, self.memory.hard_state.term
        entries = [Entry(first + n, term, 1, bytes(size)) for n in range(count)]
        self.both(lambda store: store.write(None, entries, True))

    @rule(index=INDEX, term=TERM, payload=st.binary(max_size=100), abort=st.booleans())
    def take(self, index, term, payload, abort):
        def call(store):
            sink = store.create_snapshot(SnapshotMeta(index, outcome(lambda: store.term(index)), CONFIGURATION))
            sink.write(payload)
            if abort:
                sink.abort()
            else:
                sink.commit()

        if isinstance(outcome(lambda: self.memory.term(index)), int):
            self.both(call)

    @rule(index=INDEX, term=st.integers(1, 6), payload=st.binary(max_size=100), install=st.booleans())
    def receive(self, index, term, payload, install):
        meta = SnapshotMeta(index, term, CONFIGURATION)

        def call(store):
            sink = store.receive_snapshot(meta, len(payload), 1)
            sink.write(payload[sink.offset :])
            sink.commit()
            if install:
                store.install_snapshot(meta)

        install = install and index >= self.memory.hard_state.commit  # the core takes none below its commit index
        if index > (self.memory.snapshot.index if self.memory.snapshot else 0):
            self.both(call)

    @rule(index=INDEX)
    def compact(self, index):
        """Memory drops every entry, files by whole segments: the same only from there on."""
        covered = self.memory.snapshot.index if self.memory.snapshot else 0
        found = outcome(lambda: self.file.compact(index))
        assert isinstance(found, type) == (index > covered)
        assert self.file.first_index <= covered + 1
        if self.file.first_index > self.memory.first_index:
            self.memory.compact(self.file.first_index - 1)

    @rule()
    def stop_and_start(self):
        self.file.close()
        self.file = open_store(self.disk)
        self.memory = self.memory.reopened()
        # a received snapshot that one of its own has overtaken meanwhile is cleared away
        assert all(".received: a snapshot as new" in line for line in self.file.recovered), self.file.recovered

    @rule(low=INDEX, high=INDEX, max_bytes=st.integers(0, 5000))
    def read(self, low, high, max_bytes):
        self.both(lambda store: store.entries(low, high, max_bytes))

    @invariant()
    def same(self):
        if not hasattr(self, "file"):
            return
        for index in range(self.memory.last_index + 2):
            self.both(lambda store, index=index: store.term(index))
        for name in ("identity", "snapshot", "first_index", "last_index"):
            self.both(lambda store, name=name: getattr(store, name))
        self.both(lambda store: store.configurations())
        self.both(lambda store: (store.hard_state.term, store.hard_state.vote))
        self.both(lambda store: store.entries(store.first_index, store.last_index + 1, 1 << 30))
        source = self.file.open_snapshot()
        if source is not None:
            assert source.read(0, 1000) == self.memory.open_snapshot().read(0, 1000)
            source.close()


TestSameStore = SameStore.TestCase
TestSameStore.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
