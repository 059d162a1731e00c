"""Linux itself: a sync that fails leaves pages that are read, count as clean, and are on no disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from leto.errors import StorageError
from leto.raft.messages import HardState
from leto.storage import FileStore, recovery
from leto.storage.segments import name_of
from tests.storage.directories import IDENTITY, commands, log_of
from tests.storage.mounts import LossyDisk, lossy_disk

WRITTEN = commands(1, 6)


def restarted_after_a_failed_sync(disk: LossyDisk) -> FileStore:
    """What a node finds that its supervisor starts again a second later."""
    directory = disk.path / "data"
    store = FileStore.open(str(directory))
    store.identify(IDENTITY)
    store.write(HardState(1, "id1"), WRITTEN[:3], True)
    store.mark()
    disk.lose_blocks_of(directory / "leto-log" / name_of(1))
    with pytest.raises(StorageError, match="cannot write .*segment"):
        store.write(None, WRITTEN[3:], True)
    store.close()
    disk.mend()
    return FileStore.open(str(directory))


def test_what_a_start_shows_after_a_failed_sync_is_on_the_disk(tmp_path: Path) -> None:
    with lossy_disk(tmp_path) as disk:
        if disk is None:
            return  # nothing may be mounted here: the simulated disk has the same rule (test_storage_failed_sync)
        store = restarted_after_a_failed_sync(disk)
        assert log_of(store) == WRITTEN
        store.close()
        disk.forget_cache()
        store = FileStore.open(str(disk.path / "data"))
        assert log_of(store) == WRITTEN
        store.close()


def test_a_sync_alone_writes_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test bites, and the kernel is as we think."""
    monkeypatch.setattr(recovery, "_write_again", lambda last, data, found, mark: last.file.sync())
    with lossy_disk(tmp_path) as disk:
        if disk is None:
            return
        store = restarted_after_a_failed_sync(disk)
        assert log_of(store) == WRITTEN, "the page cache has it"
        store.close()
        disk.forget_cache()
        with pytest.raises(StorageError):
            FileStore.open(str(disk.path / "data"))
