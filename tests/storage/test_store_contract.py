"""One contract, two stores: whatever holds for FileStore holds for MemoryStore."""

from __future__ import annotations

import pytest

from leto.errors import Compacted, ForeignDirectory, NothingToSnapshot, StorageError, Unavailable
from leto.interfaces.store import Identity, Store
from leto.raft.configuration import Configuration, Member
from leto.raft.messages import Entry, EntryKind, HardState, SnapshotMeta
from leto.storage import FileStore
from leto.twins.store import MemoryStore

IDENTITY = Identity("0123456789abcdef0123456789abcdef", "id1")
CONFIGURATION = Configuration((Member("id1", "host:1", True),))


def entry(index, term=1, payload=None, kind=EntryKind.COMMAND):
    return Entry(index, term, int(kind), b"%d/%d" % (index, term) if payload is None else payload)


def run(low, high, term=1):
    return [entry(index, term) for index in range(low, high)]


def meta(index, term=1):
    return SnapshotMeta(index, term, CONFIGURATION, 1)


class Stores:
    def now_and_reopened(self):
        """The store as it is, then as a clean stop and a start leave it."""
        yield self.store
        yield self.reopen()

    def stop(self):
        self.store.close()


class FileStores(Stores):
    def __init__(self, path):
        self._path = str(path / "data")
        self.store = self._open()

    def _open(self):
        return FileStore.open(self._path, segment_bytes=4096)

    def reopen(self):
        self.store.close()
        self.store = self._open()
        return self.store


class MemoryStores(Stores):
    def __init__(self):
        self.store = MemoryStore()

    def reopen(self):
        self.store = self.store.reopened()
        return self.store


@pytest.fixture(params=["file", "memory"])
def stores(request, ram_path):
    made = FileStores(ram_path) if request.param == "file" else MemoryStores()
    yield made
    made.stop()


@pytest.fixture
def store(stores):
    stores.store.identify(IDENTITY)
    return stores.store


def everything(store: Store):
    return store.entries(store.first_index, store.last_index + 1, 1 << 40) if store.last_index else []


def take(store, at, payload=b"payload", term=1):
    sink = store.create_snapshot(meta(at, term))
    sink.write(payload)
    sink.commit()


def receive(store, at, payload=b"received", term=1, token=7):
    sink = store.receive_snapshot(meta(at, term), len(payload), token)
    sink.write(payload[sink.offset :])
    sink.commit()


# a fresh one ------------------------------------------------------------------------------------------


def test_a_fresh_store_is_nobodys_and_empty(stores):
    store = stores.store
    assert store.identity is None
    assert store.hard_state == HardState()
    assert store.snapshot is None
    assert store.open_snapshot() is None
    assert (store.first_index, store.last_index, store.log_bytes()) == (1, 0, 0)
    assert store.term(0) == 0
    assert store.configurations() == []
    assert store.recovered == []
    assert store.entries(1, 1, 100) == []
    with pytest.raises(Unavailable):
        store.term(1)
    with pytest.raises(Unavailable):
        store.entries(1, 2, 100)


@pytest.mark.parametrize(
    "mutate",
    [
        lambda store: store.write(HardState(1, "id1"), [], True),
        lambda store: store.write(None, [entry(1)], True),
        lambda store: store.create_snapshot(meta(1)),
        lambda store: store.receive_snapshot(meta(1), 1),
        lambda store: store.install_snapshot(meta(1)),
        lambda store: store.compact(0),
    ],
)
def test_nobodys_store_refuses_to_hold_anything(stores, mutate):
    with pytest.raises(StorageError, match="identify"):
        mutate(stores.store)


def test_an_identity_is_kept_and_may_be_given_again(stores, store):
    store.identify(IDENTITY)
    assert stores.reopen().identity == IDENTITY


@pytest.mark.parametrize("other", [Identity("f" * 32, "id1"), Identity(IDENTITY.cluster_id, "id2")])
def test_another_identity_is_refused_and_changes_nothing(stores, store, other):
    with pytest.raises(ForeignDirectory, match="id1"):
        store.identify(other)
    assert stores.reopen().identity == IDENTITY


@pytest.mark.parametrize(
    "bad",
    [
        Identity("0123", "id1"),
        Identity("A" * 32, "id1"),
        Identity("0" * 32, ""),
        Identity("0" * 32, "a\nb"),
        Identity("0" * 32, "x" * 257),
        Identity("0" * 32, "\udc80"),
    ],
)
def test_an_identity_that_cannot_be_stored_is_refused(stores, bad):
    with pytest.raises(StorageError):
        stores.store.identify(bad)
    assert stores.store.identity is None


# hard state -------------------------------------------------------------------------------------------


def test_term_vote_and_commit_are_kept(stores, store):
    store.write(HardState(1), run(1, 5), True)
    store.write(HardState(3, "näme", 4), [], True)
    assert store.hard_state == HardState(3, "näme", 4)
    assert stores.reopen().hard_state == HardState(3, "näme", 4)


def test_a_commit_hint_alone_is_kept_over_a_clean_stop(stores, store):
    store.write(HardState(1, "id1"), run(1, 5), True)
    store.write(HardState(1, "id1", 3), [], False)
    assert stores.reopen().hard_state == HardState(1, "id1", 3)


def test_a_term_is_never_taken_back(stores, store):
    store.write(HardState(5, "id1"), [], True)
    with pytest.raises(StorageError, match="term 4 must not replace term 5"):
        store.write(HardState(4, ""), [], True)
    assert stores.reopen().hard_state == HardState(5, "id1")


@pytest.mark.parametrize("vote", ["id2", ""])
def test_a_vote_is_never_taken_back_within_its_term(stores, store, vote):
    store.write(HardState(5, "id1"), [], True)
    with pytest.raises(StorageError, match="'id1'"):
        store.write(HardState(5, vote), [], True)
    assert stores.reopen().hard_state == HardState(5, "id1")


def test_a_vote_may_be_given_in_a_term_that_is_known_already(stores, store):
    store.write(HardState(5), [], True)
    store.write(HardState(5, "id2"), [], True)
    store.write(HardState(6), [], True)
    assert stores.reopen().hard_state == HardState(6)


# the log ----------------------------------------------------------------------------------------------


def test_entries_come_back_as_they_were_written(stores, store):
    written = [
        entry(1, 1, b"", EntryKind.NOOP),
        entry(2, 1, b"config", EntryKind.CONFIGURATION),
        entry(3, 2, bytes(range(256)) * 40),
        entry(4, 4, b"\xff" * 5000),
        entry(5, 4, b"x"),
    ]
    store.write(HardState(4), written[:2], False)
    store.write(None, written[2:], True)
    for current in stores.now_and_reopened():
        assert everything(current) == written
        assert [current.term(index) for index in range(6)] == [0, 1, 1, 2, 4, 4]
        assert (current.first_index, current.last_index) == (1, 5)
        assert current.configurations() == [written[1]]
        with pytest.raises(Unavailable):
            current.term(6)
        with pytest.raises(Unavailable):
            current.entries(5, 7, 100)


def test_an_answer_holds_at_least_one_entry_and_no_more_than_fit(store):
    store.write(HardState(1), [entry(index, 1, b"x" * 100) for index in range(1, 101)], True)
    assert [e.index for e in store.entries(3, 101, 250)] == [3, 4]
    assert [e.index for e in store.entries(3, 101, 0)] == [3]
    assert [e.index for e in store.entries(3, 5, 1 << 30)] == [3, 4]
    assert [e.index for e in store.entries(1, 101, 1 << 30)] == list(range(1, 101))
    assert store.entries(7, 7, 100) == []


@pytest.mark.parametrize("at", [1, 2, 40, 79, 80])
def test_a_conflicting_suffix_is_replaced_and_stays_gone(stores, store, at):
    store.write(HardState(1), run(1, 81), True)
    store.write(HardState(2), [entry(at, 2), entry(at + 1, 2)], True)
    expected = [*run(1, at), entry(at, 2), entry(at + 1, 2)]
    for current in stores.now_and_reopened():
        assert everything(current) == expected
        assert current.last_index == at + 1
        assert current.term(at) == 2


def test_suffixes_replaced_again_and_again(stores, store):
    expected = []
    for term in range(1, 30):
        at = max(1, len(expected) - term % 7)
        expected = [*expected[: at - 1], *run(at, at + 12, term)]
        store.write(HardState(term), expected[at - 1 :], term % 2 == 0)
    for current in stores.now_and_reopened():
        assert everything(current) == expected


def test_a_replaced_configuration_is_gone(stores, store):
    store.write(HardState(1), [entry(1, 1, b"a", EntryKind.CONFIGURATION), entry(2)], True)
    store.write(None, [entry(3, 1, b"b", EntryKind.CONFIGURATION)], True)
    store.write(HardState(2), [entry(3, 2)], True)
    for current in stores.now_and_reopened():
        assert [e.payload for e in current.configurations()] == [b"a"]


@pytest.mark.parametrize(
    "entries",
    [
        [entry(7)],  # a gap
        [entry(0)],
        [entry(4), entry(6)],
        [entry(4), entry(4)],
        [entry(4, 0)],  # a term that goes back
        [entry(4, 3), entry(5, 2)],
        [entry(4, 4)],  # a term that the node does not know of
        [entry(4, 1, b"", kind=256)],
    ],
)
def test_entries_that_no_log_holds_are_refused_and_change_nothing(stores, store, entries):
    store.write(HardState(3), run(1, 4), True)
    with pytest.raises(StorageError):
        store.write(None, entries, True)
    store.write(None, [entry(4)], True)
    assert everything(stores.reopen()) == run(1, 5)


# snapshots --------------------------------------------------------------------------------------------


def test_a_snapshot_is_nothing_before_its_commit(stores, store):
    store.write(HardState(1), run(1, 10), True)
    sink = store.create_snapshot(meta(5))
    sink.write(b"abc")
    assert store.snapshot is None
    assert store.open_snapshot() is None
    sink.commit()
    for current in stores.now_and_reopened():
        assert current.snapshot == meta(5)
        source = current.open_snapshot()
        assert (source.meta, source.size, source.read(0, 100)) == (meta(5), 3, b"abc")
        source.close()


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000])
def test_a_snapshot_is_read_at_any_offset(store, size):
    payload = bytes(i * 7 % 251 for i in range(size))
    store.write(HardState(1), run(1, 3), True)
    sink = store.create_snapshot(meta(2))
    for start in range(0, size, 70_000):
        sink.write(payload[start : start + 70_000])
    assert sink.offset == size
    sink.commit()
    source = store.open_snapshot()
    assert source.size == size
    for offset in {0, 1, 65535, 65536, 131071, max(size - 1, 0), size, size + 5}:
        for length in (0, 1, 1000, 65536, 200_000):
            assert source.read(offset, length) == payload[offset : offset + length]
    source.close()


def test_a_source_stays_readable_after_newer_snapshots(store):
    store.write(HardState(1), run(1, 10), True)
    take(store, 2, b"two")
    source = store.open_snapshot()
    for at in (3, 4, 5):
        take(store, at)
    assert source.read(0, 10) == b"two"
    assert store.snapshot == meta(5)
    source.close()


def test_an_aborted_snapshot_leaves_the_one_before(stores, store):
    store.write(HardState(1), run(1, 10), True)
    take(store, 2)
    sink = store.create_snapshot(meta(5))
    sink.write(b"abc")
    sink.abort()
    sink.abort()
    with pytest.raises(StorageError):
        sink.write(b"d")
    with pytest.raises(StorageError):
        sink.commit()
    assert stores.reopen().snapshot == meta(2)


def test_a_snapshot_is_neither_older_than_the_last_nor_beyond_the_log(store):
    store.write(HardState(1), run(1, 10), True)
    take(store, 5)
    with pytest.raises(NothingToSnapshot):
        store.create_snapshot(meta(4))
    with pytest.raises(StorageError, match="beyond"):
        store.create_snapshot(meta(10))


def test_what_a_snapshot_holds_cannot_be_replaced(store):
    store.write(HardState(1), run(1, 10), True)
    take(store, 5)
    with pytest.raises(StorageError, match="snapshot"):
        store.write(HardState(2), [entry(5, 2)], True)
    assert everything(store) == run(1, 10)


def test_compaction_keeps_what_the_snapshot_does_not_hold(stores, store):
    store.write(HardState(1), [entry(1, 1, b"c", EntryKind.CONFIGURATION), *run(2, 400)], True)
    take(store, 300)
    store.compact(250)
    for current in stores.now_and_reopened():
        assert 1 < current.first_index <= 251
        assert current.last_index == 399
        assert everything(current) == run(current.first_index, 400)
        assert current.term(300) == 1
        assert current.configurations() == []
        with pytest.raises(Compacted):
            current.entries(1, 3, 100)
        with pytest.raises(Compacted):
            current.term(current.first_index - 2)


def test_compaction_never_goes_beyond_the_snapshot(store):
    store.write(HardState(1), run(1, 10), True)
    with pytest.raises(StorageError, match="snapshot"):
        store.compact(1)
    take(store, 5)
    with pytest.raises(StorageError, match="snapshot"):
        store.compact(6)
    store.compact(0)
    assert everything(store) == run(1, 10)


def test_the_log_goes_on_after_compaction_of_all_of_it(stores, store):
    store.write(HardState(2), run(1, 300), True)
    take(store, 299)
    store.compact(299)
    assert store.last_index == 299
    assert store.term(299) == 1
    store.write(None, run(300, 303, 2), True)
    current = stores.reopen()
    assert current.entries(300, 303, 1 << 20) == run(300, 303, 2)
    assert current.term(299) == 1


# received snapshots -----------------------------------------------------------------------------------


def test_a_received_snapshot_is_not_the_nodes_before_it_is_installed(stores, store):
    store.write(HardState(1), run(1, 10), True)
    receive(store, 50)
    assert store.snapshot is None
    assert everything(store) == run(1, 10)
    store = stores.reopen()
    assert store.snapshot is None
    assert everything(store) == run(1, 10)


def test_a_received_snapshot_beyond_the_log_replaces_it(stores, store):
    store.write(HardState(1), run(1, 200), True)
    receive(store, 500, b"state", term=3)
    store.install_snapshot(meta(500, 3))
    for current in stores.now_and_reopened():
        assert current.snapshot == meta(500, 3)
        assert (current.first_index, current.last_index) == (501, 500)
        assert current.term(500) == 3
        with pytest.raises(Compacted):
            current.term(199)
        assert current.configurations() == []
    current.write(HardState(3), run(501, 504, 3), True)
    assert everything(stores.reopen()) == run(501, 504, 3)


def test_a_received_snapshot_that_contradicts_the_log_replaces_it(stores, store):
    store.write(HardState(1), run(1, 200), True)
    receive(store, 100, term=2)
    store.install_snapshot(meta(100, 2))
    current = stores.reopen()
    assert (current.first_index, current.last_index, current.term(100)) == (101, 100, 2)


def test_a_received_snapshot_that_the_log_agrees_with_keeps_the_suffix(stores, store):
    store.write(HardState(1), run(1, 200), True)
    receive(store, 100)
    store.install_snapshot(meta(100))
    for current in stores.now_and_reopened():
        assert current.snapshot == meta(100)
        assert current.entries(101, 200, 1 << 20) == run(101, 200)


def test_only_what_was_received_is_installed(store):
    store.write(HardState(1), run(1, 10), True)
    with pytest.raises(StorageError, match="received"):
        store.install_snapshot(meta(50))
    receive(store, 50)
    with pytest.raises(StorageError, match="received"):
        store.install_snapshot(meta(51))
    store.install_snapshot(meta(50))
    receive(store, 40)
    with pytest.raises(StorageError, match="older"):
        store.install_snapshot(meta(40))
    assert store.snapshot == meta(50)


def test_an_interrupted_transfer_is_resumed(stores, store):
    payload = bytes(i % 253 for i in range(300_000))
    sink = store.receive_snapshot(meta(9), len(payload), 5)
    sink.write(payload[:150_000])
    assert sink.offset == 150_000
    sink.abort(keep_partial=True)
    store = stores.reopen()
    sink = store.receive_snapshot(meta(9), len(payload), 5)
    assert 0 < sink.offset <= 150_000
    sink.write(payload[sink.offset :])
    sink.commit()
    store.install_snapshot(meta(9))
    assert store.open_snapshot().read(0, len(payload)) == payload


@pytest.mark.parametrize("other", [(meta(9), 300_001, 5), (meta(9), 300_000, 6), (meta(8), 300_000, 5)])
def test_a_transfer_of_another_snapshot_begins_anew(store, other):
    sink = store.receive_snapshot(meta(9), 300_000, 5)
    sink.write(bytes(150_000))
    sink.abort(keep_partial=True)
    sink = store.receive_snapshot(*other)
    assert sink.offset == 0
    sink.abort()


def test_a_transfer_given_up_begins_anew(store):
    sink = store.receive_snapshot(meta(9), 300_000, 5)
    sink.write(bytes(150_000))
    sink.abort()
    assert store.receive_snapshot(meta(9), 300_000, 5).offset == 0


def test_a_wholly_received_snapshot_need_not_be_sent_again(stores, store):
    payload = b"z" * (3 * 65536)
    receive(store, 50, payload, token=9)
    sink = stores.reopen().receive_snapshot(meta(50), len(payload), 9)
    assert sink.offset == len(payload)
    sink.commit()
    stores.store.install_snapshot(meta(50))
    assert stores.reopen().open_snapshot().read(0, 1 << 20) == payload


def test_a_received_snapshot_has_exactly_the_announced_size(store):
    sink = store.receive_snapshot(meta(9), 10)
    with pytest.raises(StorageError, match="announced"):
        sink.write(bytes(11))
    sink.write(bytes(5))
    with pytest.raises(StorageError, match="announced"):
        sink.commit()
    sink.write(bytes(5))
    sink.commit()


@pytest.mark.parametrize("bad", [(meta(0), 1), (meta(1, 0), 1), (meta(1 << 63), 1), (meta(1), -1)])
def test_a_snapshot_that_cannot_be_is_refused(store, bad):
    with pytest.raises(StorageError):
        store.receive_snapshot(*bad)


# closing ----------------------------------------------------------------------------------------------


def test_a_closed_store_takes_nothing_more(stores, store):
    store.close()
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.write(HardState(1), [], True)
    assert stores.reopen().hard_state == HardState()
