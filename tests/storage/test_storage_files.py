"""On the real file system: locks, permissions, and what may stand in a file's place. One clear line each."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from leto.errors import DirectoryLocked, StorageError
from leto.interfaces.store import Identity
from leto.raft.messages import Entry, HardState
from leto.storage import FileStore

IDENTITY = Identity("0123456789abcdef0123456789abcdef", "id1")
FILES = ("leto.lock", "leto.identity", "leto.hard-state", "leto.watermark", "leto-log/00000000000000000001.segment")


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "data"
    store = FileStore.open(str(path), segment_bytes=4096)
    store.identify(IDENTITY)
    store.write(HardState(1), [Entry(1, 1, 1, b"x")], True)
    store.close()
    return path


def refusal(path) -> str:
    with pytest.raises(StorageError) as refused:
        FileStore.open(str(path))
    line = str(refused.value)
    assert "\n" not in line
    return line


def test_files_and_directories_are_private(directory):
    old = os.umask(0)
    try:
        store = FileStore.open(str(directory / "new" / "data"))
        store.identify(IDENTITY)
        store.close()
    finally:
        os.umask(old)
    for path in [directory / "new", *(directory / "new").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_directory_is_one_processs(directory):
    store = FileStore.open(str(directory))
    with pytest.raises(DirectoryLocked, match="in use by another process"):
        FileStore.open(str(directory))
    store.close()
    FileStore.open(str(directory)).close()


def test_the_lock_goes_with_a_daemons_fork_and_ends_with_its_process(directory):
    """The parent opens, forks and ends, as twistd does: the child holds the directory until it ends itself."""
    code = (
        "import os, sys\n"
        "from leto.storage import FileStore\n"
        "store = FileStore.open(sys.argv[1])\n"
        "if os.fork():\n"
        "    os._exit(0)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
        "os._exit(0)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    assert child.wait(10) == 0
    assert "in use" in refusal(directory)
    child.stdin.close()
    assert child.stdout.read() == "", "the forked process has ended"
    child.stdout.close()
    FileStore.open(str(directory)).close()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("what", ["directory", "symlink", "dangling symlink", "pipe", "empty"])
def test_something_else_in_a_files_place(directory, name, what):
    path = directory / name
    elsewhere = directory.parent / "elsewhere"
    path.rename(elsewhere)
    if what == "directory":
        path.mkdir()
    elif what == "symlink":
        path.symlink_to(elsewhere)
    elif what == "dangling symlink":
        path.symlink_to(directory / "nowhere")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        if name == "leto.lock":
            FileStore.open(str(directory)).close()  # the lock is always empty
            return
    assert str(path) in refusal(directory)


@pytest.mark.parametrize("name", ["leto-log", "leto-snapshots"])
def test_a_file_in_a_directorys_place(directory, name):
    path = directory / name
    path.rename(directory.parent / "elsewhere")
    path.write_bytes(b"")
    assert str(path) in refusal(directory)


@pytest.mark.parametrize("name", ["leto-log", "leto-snapshots"])
def test_a_directory_missing(directory, name):
    (directory / name).rename(directory.parent / "elsewhere")
    assert str(directory / name) in refusal(directory)


def test_a_file_in_the_data_directorys_place(tmp_path):
    path = tmp_path / "file"
    path.touch()
    assert str(path) in refusal(path)
    assert str(path) in refusal(path / "data")


def test_a_snapshot_that_is_a_symlink(directory):
    path = directory / "leto-snapshots" / f"{1:020}-{1:020}.snapshot"
    path.symlink_to(directory / "nowhere")
    assert str(path) in refusal(directory)


def test_a_data_directory_may_be_a_symlink_itself(directory):
    link = directory.parent / "link"
    link.symlink_to(directory)
    store = FileStore.open(str(link))
    assert store.last_index == 1
    store.close()


def as_nobody(path: Path) -> str:
    """What a process without privileges is told when it opens the directory."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            FileStore.open(str(path)).close()
            answer = "opened"
        except StorageError as error:
            answer = f"refused: {error}"
        except BaseException as error:  # noqa: BLE001 - the parent reads it
            answer = f"failed: {error!r}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def nobodys():
    """A data directory that an unprivileged user owns, in a place that he can reach."""
    with tempfile.TemporaryDirectory(prefix="leto-test-") as top:
        os.chmod(top, 0o755)
        path = Path(top) / "data"
        store = FileStore.open(str(path), segment_bytes=4096)
        store.identify(IDENTITY)
        store.write(HardState(1), [Entry(1, 1, 1, b"x")], True)
        store.close()
        if os.getuid() == 0:
            for each in [path, *path.rglob("*")]:
                os.chown(each, 65534, 65534)
        yield path
        for each in [path, *path.rglob("*")]:
            os.chmod(each, 0o700)


def test_an_unprivileged_user_opens_his_own(nobodys):
    assert as_nobody(nobodys) == "opened"


@pytest.mark.parametrize("name", FILES)
def test_an_unreadable_file_is_refused(nobodys, name):
    os.chmod(nobodys / name, 0)
    answer = as_nobody(nobodys)
    assert answer.startswith("refused: ")
    assert str(nobodys / name) in answer
    assert "Permission denied" in answer


def test_a_directory_that_cannot_be_written_is_refused(nobodys):
    (nobodys / "leto.lock").unlink()
    os.chmod(nobodys, 0o500)
    answer = as_nobody(nobodys)
    assert answer.startswith("refused: ")
    assert "Permission denied" in answer
    os.chmod(nobodys, 0o000)
    assert as_nobody(nobodys).startswith("refused: ")


def test_a_directory_that_cannot_be_created_is_refused(nobodys):
    os.chmod(nobodys, 0o500)
    answer = as_nobody(nobodys / "deep" / "data")
    assert answer.startswith("refused: ")
    assert str(nobodys / "deep") in answer


def test_a_limit_on_file_sizes_is_an_error_like_a_full_disk(tmp_path):
    code = (
        "import resource, signal, sys\n"
        "from leto.storage import FileStore\n"
        "from leto.errors import StorageError\n"
        "from leto.interfaces.store import Identity\n"
        "from leto.raft.messages import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "store = FileStore.open(sys.argv[1])\n"
        "store.identify(Identity('0' * 32, 'a'))\n"
        "store.write(HardState(1), [Entry(1, 1, 1, bytes(1000))], True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))\n"
        "try:\n"
        "    for index in range(2, 100):\n"
        "        store.write(None, [Entry(index, 1, 1, bytes(200_000))], True)\n"
        "except StorageError as error:\n"
        "    print(store.last_index, error)\n"
        "store.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, timeout=30, check=True
    )
    last, _, words = done.stdout.partition(" ")
    assert "File too large" in words
    assert ".segment" in words
    store = FileStore.open(str(tmp_path / "data"))
    assert store.last_index == int(last) > 1
    assert "torn" in store.recovered[0]
    store.close()


def test_it_is_known_beforehand_which_write_begins_a_new_file(tmp_path):
    store = FileStore.open(str(tmp_path), segment_bytes=4096)
    store.identify(IDENTITY)
    log = tmp_path / "leto-log"
    told = []
    for index in range(1, 50):
        entries = [Entry(2 * index - 1, 1, 1, bytes(100)), Entry(2 * index, 1, 1, bytes(200))]
        before = len(list(log.iterdir()))
        told.append(store.rotates_with(2, 300))
        store.write(HardState(1), entries, True)
        assert told[-1] == (len(list(log.iterdir())) > before)
    assert 3 < sum(told) < 10
    store.close()
