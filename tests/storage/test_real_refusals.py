"""What may have become of a directory while its node was down, and what the node says to it: one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leto.interfaces.store import Identity
from leto.raft.configuration import Configuration, Member, encode
from leto.raft.messages import Entry, EntryKind, HardState, SnapshotMeta
from leto.storage.store import FileStore
from tests.daemon.processes import refused

NODE = ("--id", "id1", "--raftdir", "d", "--listen", "127.0.0.1:0", "--raftbind", "127.0.0.1:0")
CLUSTER = "0123456789abcdef" * 2
LEFT = Path("d")
Change = Callable[[Path], object]


def fill(directory: Path, server_id: str = "id1", cluster: str = CLUSTER, size: int = 900) -> None:
    """A directory with several segments and a snapshot, as a node leaves it behind."""
    configuration = Configuration((Member(server_id, "127.0.0.1:1", True),))
    store = FileStore.open(str(directory), segment_bytes=4096, random32=lambda: size)
    store.identify(Identity(cluster, server_id))
    log = [Entry(1, 1, int(EntryKind.CONFIGURATION), encode(configuration))]
    log += [Entry(index, 1, int(EntryKind.NOOP), b"x" * size) for index in range(2, 15)]
    store.write(HardState(1, server_id, 5), log, True)
    sink = store.create_snapshot(SnapshotMeta(5, 1, configuration, 1))
    sink.write(b"state")
    sink.commit()
    store.close()


def segment(directory: Path, number: int) -> Path:
    return directory / "leto-log" / f"{number:020}.segment"


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def other_directory(directory: Path, *, server_id: str = "id1", cluster: str = CLUSTER, size: int = 900) -> Path:
    fill(directory.parent / "other", server_id, cluster, size)
    return directory.parent / "other"


def take_from(directory: Path, name: str, **other: object) -> None:
    shutil.copy(other_directory(directory, **other) / name, directory / name)  # type: ignore[arg-type]


def replace_by(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.with_name("aside"))
    make(path)


SEGMENT = "leto-log/00000000000000000002.segment"
SNAPSHOT = "leto-snapshots/00000000000000000005-00000000000000000001.snapshot"
CHANGES: dict[str, tuple[Change, str]] = {
    "a segment missing": (lambda d: segment(d, 2).unlink(), "this log segment is missing"),
    "the last segment missing": (lambda d: max((d / "leto-log").iterdir()).unlink(), "more records up to entry"),
    "segments swapped": (lambda d: swap(segment(d, 2), segment(d, 3)), "files were swapped or copied"),
    "a segment duplicated": (lambda d: shutil.copy(segment(d, 2), segment(d, 9)), "files were swapped or copied"),
    "another cluster's segment": (lambda d: take_from(d, SEGMENT, cluster="f" * 32), "belongs to another cluster"),
    "another node's segment": (lambda d: take_from(d, SEGMENT, server_id="id2"), "belongs to another node"),
    "another life's segment": (lambda d: take_from(d, SEGMENT, size=800), "does not continue the one before it"),
    "another cluster's vote": (lambda d: take_from(d, "leto.hard-state", cluster="f" * 32), "another cluster"),
    "an empty identity": (lambda d: (d / "leto.identity").write_bytes(b""), "leto.identity: the identity file"),
    "an empty vote": (lambda d: (d / "leto.hard-state").write_bytes(b""), "both copies of term and vote"),
    "an empty watermark": (lambda d: (d / "leto.watermark").write_bytes(b""), "both copies of the watermark"),
    "an empty segment": (lambda d: segment(d, 2).write_bytes(b""), "0 bytes are no log segment"),
    "a symlink for a vote": (
        lambda d: replace_by(d / "leto.hard-state", lambda path: path.symlink_to("aside")),
        "leto.hard-state: Too many levels of symbolic links; it is a symbolic link",
    ),
    "a directory for a watermark": (lambda d: replace_by(d / "leto.watermark", Path.mkdir), "Is a directory"),
    "a pipe for a segment": (lambda d: replace_by(segment(d, 2), os.mkfifo), "not a regular file"),
    "another node's directory": (
        lambda d: (shutil.rmtree(d), fill(d, "id2")),
        "CWD/d is the directory of the node id2, not of id1: give each node its own --raftdir",
    ),
}


def refuse(tmp_path: Path, changes: dict[str, tuple[Change, str]]) -> None:
    for name, (change, words) in changes.items():
        at = tmp_path / name.replace(" ", "-").replace("'", "")
        at.mkdir()

        def prepare(own: Path, change: Change = change) -> None:
            fill(own / LEFT)
            change(own / LEFT)

        status = 78 if name.startswith(("another node's", "another cluster's")) else 1  # 78: it was started wrongly
        line = refused(NODE, at, ("leto",), prepare=prepare, status=status)
        assert words in line, name
        assert "CWD/d" in line, name


def test_the_changed_directory_was_good_before(tmp_path: Path) -> None:
    fill(tmp_path / LEFT)
    FileStore.open(str(tmp_path / LEFT)).close()
    assert (tmp_path / LEFT / SEGMENT).exists() and (tmp_path / LEFT / SNAPSHOT).exists()


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.soak) for part in (1, 2, 3))])
def test_a_changed_directory_is_refused_in_one_line(tmp_path: Path, part: int) -> None:
    """By default a quarter of them: test_storage_damage.py and test_storage_files.py have all below the process."""
    names = sorted(CHANGES)[part::4]
    refuse(tmp_path, {name: CHANGES[name] for name in names})


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], Path]]:
    """Makes a directory that nothing can be written to: for root a mount, for others by its mode."""
    mounted: list[Path] = []
    kept: list[Path] = []

    def make(directory: Path) -> Path:
        if os.getuid() == 0:
            top = Path(tempfile.mkdtemp(prefix="leto-read-only-"))
            kept.append(top)
            mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "leto-test", str(top)]
            if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
                mounted.append(top)
                shutil.copytree(directory, top / "d")
                subprocess.run(["mount", "-o", "remount,ro", str(top)], check=True)
                return top / "d"
        for path in (directory, *directory.rglob("*")):
            path.chmod(0o500 if path.is_dir() else 0o400)
        kept.append(directory)
        return directory

    yield make
    for top in mounted:
        subprocess.run(["umount", str(top)], check=True)
    for path in kept:
        for each in (path, *path.rglob("*")):
            each.chmod(0o700)
    for top in kept:
        shutil.rmtree(top)


def test_a_read_only_directory_is_refused_in_one_line(tmp_path: Path, read_only: Callable[[Path], Path]) -> None:
    if os.getuid() == 0 and not may_mount(tmp_path):
        # root may write everywhere: what it is refused is /proc
        assert "/proc/leto" in refused((*NODE[:3], "/proc/leto", *NODE[4:]), tmp_path, ("leto",), status=1)
        return
    fill(tmp_path / LEFT)
    where = read_only(tmp_path / LEFT)
    line = refused((*NODE[:3], str(where), *NODE[4:]), tmp_path, ("leto",), status=1)
    assert str(where).replace(str(tmp_path / "leto"), "CWD") in line
    assert "Read-only file system; Leto must be able to write" in line or "Permission denied" in line


def may_mount(tmp_path: Path) -> bool:
    probe = tmp_path / "probe"
    probe.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "leto-test", str(probe)], capture_output=True, check=False).returncode:
        return False
    subprocess.run(["umount", str(probe)], check=True)
    return True
