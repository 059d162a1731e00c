"""A log whose every entry was replaced, and whose first segments are gone: what stands before entry 1 is known."""

from __future__ import annotations

from pathlib import Path

from leto.interfaces.store import Identity
from leto.raft.messages import Entry, EntryKind, HardState
from leto.storage import FileStore

COMMAND = int(EntryKind.COMMAND)


def test_the_term_before_the_first_entry_is_known_after_a_restart(tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    store = FileStore.open(directory, segment_bytes=4096)
    store.identify(Identity("0123456789abcdef" * 2, "n1"))
    old = [Entry(index, 1, COMMAND, bytes(1500)) for index in range(1, 5)]
    store.write(HardState(term=1, vote="n1", commit=0), old, True)
    store.write(HardState(term=2, vote="n1", commit=0), [Entry(1, 2, COMMAND, bytes(1500))], True)
    store.compact(0)
    assert store.term(0) == 0
    store.close()
    store = FileStore.open(directory, segment_bytes=4096)
    try:
        assert (store.first_index, store.last_index, store.term(0)) == (1, 1, 0)
    finally:
        store.close()
