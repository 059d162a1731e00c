"""Damage of every byte and every file: a correct start, or a refusal in one clear line that names the file."""

from __future__ import annotations

import pytest

from leto.errors import CorruptStorage, ForeignDirectory, StorageError
from leto.interfaces.store import Identity
from leto.raft.messages import Entry, HardState
from leto.storage import FileStore
from leto.storage.records import HEADER_BYTES as RECORD_HEADER
from leto.storage.segments import HEADER_BYTES
from leto.twins.disk import SimulatedDisk
from tests.storage.directories import (
    HARD_STATE,
    IDENTITY,
    IDENTITY_FILE,
    WATERMARK,
    changed,
    commands,
    configuration_entry,
    flipped,
    log_of,
    meta,
    new_store,
    open_store,
    segment,
    snapshot,
    stopped,
    take,
)

ENTRIES = [configuration_entry(1), *commands(2, 6), *commands(6, 9, term=2)]


def start(files) -> FileStore:
    return open_store(SimulatedDisk.of(files))


def refusal(files) -> str:
    """The one line in which a start is refused."""
    with pytest.raises(StorageError) as refused:
        start(files)
    line = str(refused.value)
    assert "\n" not in line
    assert "/data" in line
    return line


def ends(entries=ENTRIES) -> list[int]:
    """Where each record ends in a segment that holds `entries`."""
    at, found = HEADER_BYTES, []
    for entry in entries:
        at += RECORD_HEADER + len(entry.payload)
        found.append(at)
    return found


# every byte -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80])
def test_any_byte_of_a_durable_segment_flipped(mask):
    files = stopped(ENTRIES)
    data = files[segment(1)]
    end = ends()[-1]
    for at in range(end):
        line = refusal(changed(files, segment(1), flipped(data, at, mask)))
        assert segment(1) in line
        assert "offset" in line or "unknown" in line
    for at in range(end, len(data), 97):  # zeros that were written ahead: no record is touched
        store = start(changed(files, segment(1), flipped(data, at, mask)))
        assert log_of(store) == ENTRIES
        assert len(store.recovered) == 1


def test_any_byte_of_a_segment_flipped_after_a_kill():
    """The watermark may lag: then a flip in the very last write looks like a torn one, and only there."""
    files = stopped(ENTRIES, clean=False)
    data = files[segment(1)]
    *_, before_last, end = ends()
    for at in range(end):
        damaged = changed(files, segment(1), flipped(data, at))
        if at < before_last:
            refusal(damaged)
        else:
            try:
                store = start(damaged)
            except CorruptStorage:
                continue
            assert log_of(store) == ENTRIES[:-1]
            assert "torn" in store.recovered[0]


def test_any_byte_of_an_earlier_segment_flipped():
    entries = commands(1, 8, size=1000)
    files = stopped(entries)
    assert segment(3) in files
    data = files[segment(1)]
    for at in range(0, len(data), 11):
        damaged = changed(files, segment(1), flipped(data, at))
        try:
            assert log_of(start(damaged)) == entries
        except CorruptStorage as error:
            assert segment(1) in str(error)


@pytest.mark.parametrize("path", [HARD_STATE, WATERMARK])
def test_any_byte_of_a_small_file_flipped(path):
    files = stopped(ENTRIES)
    for at in [*range(520), *range(520, 4096, 97), *range(4096, 4616)]:
        store = start(changed(files, path, flipped(files[path], at)))
        assert store.hard_state == HardState(2, "id1")
        assert log_of(store) == ENTRIES


def test_any_byte_of_the_identity_flipped():
    files = stopped(ENTRIES)
    for at in range(len(files[IDENTITY_FILE])):
        assert IDENTITY_FILE in refusal(changed(files, IDENTITY_FILE, flipped(files[IDENTITY_FILE], at)))


def test_any_byte_of_both_copies_flipped():
    files = stopped(ENTRIES)
    for path, size in ((HARD_STATE, 512), (WATERMARK, 96)):
        for at in range(size):
            assert path in refusal(changed(files, path, flipped(flipped(files[path], at), at + 4096)))


def test_any_byte_of_the_only_snapshot_flipped():
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(1), commands(1, 5), True)
    take(store, 4, bytes(range(256)))
    store.close()
    files = disk.files()
    for at in range(len(files[snapshot(4)])):
        assert snapshot(4) in refusal(changed(files, snapshot(4), flipped(files[snapshot(4)], at)))


# torn tails -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filler", [b"", b"\0", b"\xee"])
def test_a_last_record_torn_at_every_length(filler):
    files = stopped(ENTRIES, clean=False)
    data = files[segment(1)]
    *_, before_last, end = ends()
    for at in range(before_last, end):
        torn = data[:at] + filler * (len(data) - at)
        store = start(changed(files, segment(1), torn))
        assert log_of(store) == ENTRIES[:-1]
        if torn[before_last:].strip(b"\0"):
            assert segment(1) in store.recovered[0]
            aside = store._disk.files()[segment(1) + ".torn-1"]
            assert aside == torn[before_last:].rstrip(b"\0")
        store.write(None, commands(8, 12, term=2), True)
        store.close()
        again = open_store(store._disk)
        assert log_of(again) == [*ENTRIES[:-1], *commands(8, 12, term=2)]
        assert again.recovered == []


@pytest.mark.parametrize("at", range(8))
def test_a_known_durable_end_is_never_a_torn_tail(at):
    """Cut at any record after a clean stop: the watermark tells."""
    files = stopped(ENTRIES)
    cut = [HEADER_BYTES, *ends()][at]
    line = refusal(changed(files, segment(1), files[segment(1)][:cut]))
    assert segment(1) in line
    assert str(cut) in line


def test_a_marked_end_is_never_a_torn_tail_after_a_kill_either():
    """The writer rested before it was killed: its watermark tells of all that was acknowledged."""
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(2, "id1"), [], True)
    for entry in ENTRIES:
        store.write(None, [entry], True)
    store.mark()
    files = disk.files()
    for cut in range(HEADER_BYTES, ends()[-1], 5):
        refusal(changed(files, segment(1), files[segment(1)][:cut]))
    operations = disk.operations
    store.mark()
    assert disk.operations == operations, "nothing to tell, nothing written"


def test_a_cut_claims_nothing_about_what_was_acknowledged():
    files = stopped(ENTRIES, clean=False)
    cut = changed(files, segment(1), files[segment(1)][: ends()[-1] - 1])
    (line,) = start(cut).recovered
    assert "as far as this disk can tell" in line
    assert "acknowledged" not in line


def test_records_of_one_torn_write_may_survive_out_of_order():
    """One write of several records reached the disk all but its first: nothing of it was acknowledged."""
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(1), commands(1, 4), True)
    store.write(None, commands(4, 9), True)
    files = disk.files()
    at = ends(commands(1, 4))[-1]
    data = files[segment(1)]
    store = start(changed(files, segment(1), data[:at] + bytes(30) + data[at + 30 :]))
    assert log_of(store) == commands(1, 4)


def test_damage_before_a_later_write_is_no_torn_tail():
    """The same damage, but a write that came after it shows that it was durable."""
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(1), commands(1, 4), True)
    store.write(None, commands(4, 9), True)
    store.write(None, commands(9, 10), True)
    files = disk.files()
    at = ends(commands(1, 4))[-1]
    data = files[segment(1)]
    for hole in range(at, at + 60):
        line = refusal(changed(files, segment(1), flipped(data, hole)))
        assert f"offset {at}, entry 4" in line


@pytest.mark.parametrize("salt", [1, 0xC0FFEE])
def test_a_value_that_looks_like_a_record_is_not_taken_for_one(salt):
    """A client stored a log's bytes; a torn write of them is cut like any other, unless it knew the salt (1)."""
    image = stopped(ENTRIES)[segment(1)][: ends()[-1]]
    disk = SimulatedDisk()
    store = open_store(disk)
    store._random32 = lambda: salt
    store.identify(IDENTITY)
    store.write(HardState(1), commands(1, 3), True)
    at = ends(commands(1, 3))[-1]
    store.write(None, [Entry(3, 1, 1, image)], True)
    damaged = changed(disk.files(), segment(1), flipped(disk.files()[segment(1)], at + 3))
    if salt == 1:
        refusal(damaged)
    else:
        assert log_of(start(damaged)) == commands(1, 3)


# whole files ------------------------------------------------------------------------------------------

LONG = commands(1, 20, size=700)


@pytest.fixture(scope="module")
def long_files():
    files = stopped(LONG)
    assert segment(4) in files
    return files


@pytest.mark.parametrize("path", [segment(1), segment(2), segment(4), HARD_STATE, WATERMARK, IDENTITY_FILE])
@pytest.mark.parametrize("content", [None, b"", b"\0" * 4096, b"garbage" * 1000])
def test_a_file_that_is_missing_or_empty_or_foreign_is_refused(long_files, path, content):
    line = refusal(changed(long_files, path, content))
    assert path in line or "leto-log" in line or "leto-snapshots" in line


def test_every_segment_gone_is_refused(long_files):
    assert "leto-log" in refusal({path: data for path, data in long_files.items() if "segment" not in path})


def test_the_last_segment_gone_is_refused(long_files):
    last = max(path for path in long_files if path.endswith(".segment"))
    assert "durable" in refusal(changed(long_files, last, None))


def test_swapped_segments_are_refused(long_files):
    swapped = {**long_files, segment(2): long_files[segment(3)], segment(3): long_files[segment(2)]}
    assert "swapped" in refusal(swapped)


def test_a_duplicated_segment_is_refused(long_files):
    last = max(path for path in long_files if path.endswith(".segment"))
    number = int(last[-28:-8])
    assert "copied" in refusal({**long_files, segment(number + 1): long_files[last]})


def test_a_segment_of_another_cluster_or_node_is_refused(long_files):
    for identity, words in (
        (Identity("f" * 32, "id1"), "another cluster"),
        (Identity("00112233445566778899aabbccddeeff", "id2"), "another node"),
    ):
        disk = SimulatedDisk()
        store = new_store(disk, identity)
        store.write(HardState(1), commands(1, 9, size=700), True)
        store.close()
        foreign = disk.files()
        for path in (segment(1), HARD_STATE, WATERMARK):
            with pytest.raises(ForeignDirectory, match=words):
                start(changed(long_files, path, foreign[path]))


def test_a_segment_of_the_same_nodes_earlier_life_is_refused(long_files):
    """Same name, same ids, but not the one that the next continues."""
    other = stopped(commands(1, 20, size=690))
    assert "does not continue" in refusal(changed(long_files, segment(2), other[segment(2)]))


def test_a_hard_state_older_than_the_log_is_refused():
    old = stopped(commands(1, 3))
    files = stopped(ENTRIES)
    assert "term" in refusal(changed(files, HARD_STATE, old[HARD_STATE]))


def test_contradicting_copies_of_the_hard_state_are_refused():
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(1, "id1"), [], True)
    old = disk.files()[HARD_STATE]
    for term in (2, 3):
        store.write(HardState(term, "id1"), [], True)
    files = disk.files()
    new = files[HARD_STATE]
    assert "contradict" in refusal(changed(files, HARD_STATE, old[:4096] + new[4096:]))
    assert "contradict" in refusal(changed(files, HARD_STATE, new[:4096] + old[4096:]))


def test_a_stale_watermark_is_weaker_but_right():
    disk = SimulatedDisk()
    store = new_store(disk)
    early = disk.files()[WATERMARK]
    store.write(HardState(1), ENTRIES[:5], True)
    store.close()
    assert log_of(start(changed(disk.files(), WATERMARK, early))) == ENTRIES[:5]


# snapshots and the log --------------------------------------------------------------------------------


def snapshotted(*at: int, compacted: int = 0):
    disk = SimulatedDisk()
    store = new_store(disk)
    store.write(HardState(1), LONG, True)
    for index in at:
        take(store, index, b"state %d" % index)
    if compacted:
        store.compact(compacted)
    store.close()
    return disk.files()


def test_an_older_snapshot_serves_for_a_damaged_one_if_the_log_still_leads_on():
    files = snapshotted(5, 10)
    damaged = changed(files, snapshot(10), flipped(files[snapshot(10)], 70))
    store = start(damaged)
    assert store.snapshot == meta(5)
    assert store.open_snapshot().read(0, 100) == b"state 5"
    assert log_of(store) == LONG
    assert snapshot(10) in store.recovered[0]
    assert snapshot(10, suffix=".snapshot.damaged-1") in store._disk.files()


def test_a_damaged_snapshot_is_refused_if_the_log_does_not_reach_back():
    files = snapshotted(5, 18, compacted=18)
    line = refusal(changed(files, snapshot(18), flipped(files[snapshot(18)], 70)))
    assert snapshot(18) in line


@pytest.mark.parametrize("index", [5, 10])
def test_swapped_snapshots_are_refused(index):
    files = snapshotted(5, 10, compacted=10)
    other = 15 - index
    line = refusal({**files, snapshot(5): files[snapshot(10)], snapshot(10): files[snapshot(5)]})
    assert "swapped" in line or snapshot(other) in line


def test_snapshots_gone_from_a_compacted_log_are_refused():
    files = snapshotted(18, compacted=18)
    assert "files are missing" in refusal(changed(files, snapshot(18), None))


def test_a_log_gone_from_before_a_snapshot_of_ones_own_is_refused():
    files = snapshotted(18)
    fresh = stopped([])
    assert "files are missing" in refusal(
        {
            **{path: data for path, data in files.items() if ".segment" not in path},
            segment(1): fresh[segment(1)],
            WATERMARK: fresh[WATERMARK],
        }
    )


def test_a_snapshot_of_another_cluster_is_refused():
    disk = SimulatedDisk()
    store = new_store(disk, Identity("f" * 32, "id1"))
    store.write(HardState(1), commands(1, 12), True)
    take(store, 10)
    foreign = disk.files()[snapshot(10)]
    with pytest.raises(ForeignDirectory, match="another cluster"):
        start(changed(snapshotted(10), snapshot(10), foreign))


def test_leftovers_of_interrupted_work_are_removed_and_told():
    files = snapshotted(5, 10)
    files[snapshot(12, suffix=".tmp")] = b"unfinished"
    files[snapshot(3, suffix=".partial")] = b"overtaken"
    files[segment(99) + ".tmp"] = b"unfinished"
    store = start(files)
    assert len(store.recovered) == 3
    assert not any(path.endswith((".tmp", ".partial")) for path in store._disk.files())
    assert log_of(store) == LONG


def test_names_that_are_not_letos_are_left_alone():
    files = {**snapshotted(5), "/data/README": b"mine", "/data/leto-log/notes.txt": b"x", "/data/dump.rdb": b"y"}
    store = start(files)
    assert store.recovered == []
    assert {"/data/README", "/data/leto-log/notes.txt", "/data/dump.rdb"} < set(store._disk.files())


# without identity -------------------------------------------------------------------------------------


def test_an_identity_lost_is_not_a_fresh_directory():
    for files in (stopped(ENTRIES), snapshotted(5), stopped([])):
        assert IDENTITY_FILE in refusal(changed(files, IDENTITY_FILE, None))


def test_an_interrupted_creation_is_begun_anew():
    disk = SimulatedDisk()
    new_store(disk)
    files = changed(disk.files(), IDENTITY_FILE, None)
    store = start(files)
    assert store.identity is None
    store.identify(Identity("f" * 32, "other"))
    store.write(HardState(1), ENTRIES[:5], True)
    store.close()
    again = open_store(store._disk)
    assert again.identity == Identity("f" * 32, "other")
    assert log_of(again) == ENTRIES[:5]
