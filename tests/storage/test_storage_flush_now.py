"""Writing at once, and syncing later: what FileStore and the writer thread allow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leto.interfaces import Identity, IdleFlusher
from leto.raft.messages import Entry, EntryKind, HardState
from leto.storage.flush import InlineFlusher, ThreadFlusher
from leto.storage.store import FileStore


class LaterReactor:
    """Keeps what threads hand over until the test lets it run."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        self.calls.append(lambda: callable(*args, **kwargs))


def entry(index: int, size: int = 10, term: int = 1) -> Entry:
    return Entry(index, term, EntryKind.COMMAND, b"x" * size)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    opened = FileStore.open(str(tmp_path / "data"), segment_bytes=4096)
    opened.identify(Identity("0123456789abcdef" * 2, "id1"))
    opened.write(HardState(1, "id1", 0), [entry(1)], True)
    return opened


def test_what_is_written_now_survives_with_the_sync_that_follows(store: FileStore) -> None:
    assert store.write_now(HardState(1, "id1", 1), [entry(2)])
    store.write(None, (), True)
    store.close()
    again = FileStore.open(store.directory)
    assert again.last_index == 2
    assert again.hard_state.commit == 1
    again.close()


@pytest.mark.parametrize(
    ("hard_state", "entries"),
    [
        (HardState(2, "", 0), []),
        (HardState(1, "id2", 0), []),
        (None, [entry(2, 4096)]),
        (None, [entry(2, 3000), entry(3, 3000)]),
        (HardState(1, "id1", 0), [entry(2, (64 << 10) + 1)]),
    ],
    ids=["a term", "a vote", "no room", "no room for both", "many bytes"],
)
def test_what_must_wait_for_the_disk_is_not_begun(
    store: FileStore, hard_state: HardState | None, entries: list[Entry]
) -> None:
    before = store.hard_state
    assert not store.write_now(hard_state, entries)
    assert (store.last_index, store.hard_state) == (1, before)
    store.close()


def test_the_thread_is_idle_only_once_its_job_has_been_told() -> None:
    reactor = LaterReactor()
    flusher = ThreadFlusher(reactor)
    assert isinstance(flusher, IdleFlusher)
    assert not isinstance(InlineFlusher(), IdleFlusher)
    assert flusher.is_idle
    done = flusher.submit(lambda: None)
    stopped = flusher.stop()
    assert not flusher.is_idle
    assert flusher._thread is not None
    flusher._thread.join(10)
    assert not flusher.is_idle
    while reactor.calls:
        reactor.calls.pop(0)()
    assert done.called
    assert stopped.called
