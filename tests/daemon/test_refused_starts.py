"""Every start that cannot succeed ends in one line on stderr and status 1, in all three ways of starting."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from leto.config import Address
from leto.interfaces.store import Identity
from leto.raft.messages import Entry, EntryKind, HardState
from leto.reactor.listening import Listener
from leto.storage.store import FileStore
from tests.daemon.processes import WAYS, refused

PORTS = ("--listen", "127.0.0.1:0", "--raftbind", "127.0.0.1:0")
NODE = ("--id", "a", "--raftdir", "d", *PORTS)


@pytest.fixture
def taken_port() -> Iterator[int]:
    holder = Listener.bind(Address("127.0.0.1", 0), "test")
    yield holder.address.port
    holder.close()


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        ((), "the node's name is missing: give --id NAME", 78),
        (("--id", "a", "--nonsense"), "--nonsense is no option", 78),
        (("-id", "a", "-listen", "nowhere"), "--listen: 'nowhere' is not an address: it has no :port", 78),
        (
            ("--id", "a", "--config", "missing.toml"),
            "--config: cannot read missing.toml: No such file or directory",
            78,
        ),
        (
            ("--id", "a", "--requirepass-file", "latin"),
            "the clients' password (requirepass-file, LETO_REQUIREPASS) is not UTF-8 text",
            78,
        ),
        (("--id", "a", "--requirepass-file", "long"), "the clients' password is longer than 16384 bytes", 78),
        (("--id", "a", "--requirepass-file", "x"), "--requirepass-file: cannot read x: No such file or directory", 78),
        ((*NODE, "--log-file", "no/log"), "cannot open the log file CWD/no/log: No such file or directory", 78),
        (("--id", "a", *PORTS, "--raftdir", "/proc/leto"), "cannot open the data directory: /proc/leto", 1),
        (("--id", "a", "--listen", "192.0.2.1:1", "--raftdir", "d"), "cannot listen on 192.0.2.1:1 (--listen)", 1),
    ],
)
def test_a_mistake(arguments: tuple[str, ...], words: str, status: int, tmp_path: Path) -> None:
    def passwords(own: Path) -> None:
        (own / "latin").write_bytes("gehe\xedm".encode("latin-1"))
        (own / "long").write_text("x" * 100_000)

    assert words in refused(arguments, tmp_path, prepare=passwords, status=status)


@pytest.mark.parametrize(
    ("option", "ways"), [("--listen", WAYS), ("--raftbind", ("leto",)), ("--admin-listen", ("leto",))]
)
def test_a_port_in_use(option: str, ways: tuple[str, ...], taken_port: int, tmp_path: Path) -> None:
    line = refused((*NODE, option, f"127.0.0.1:{taken_port}"), tmp_path, ways, status=1)
    assert line == f"cannot listen on 127.0.0.1:{taken_port} ({option}): the port is in use"
    # The directory is free again and still empty: the same node may start with another port.
    store = FileStore.open(str(tmp_path / "leto" / "d"))
    assert store.identity is None
    store.close()


def test_a_file_in_the_directorys_place(tmp_path: Path) -> None:
    line = refused(NODE, tmp_path, prepare=lambda own: (own / "d").write_text("a file"), status=1)
    assert "CWD/d" in line
    assert (tmp_path / "leto" / "d").read_text() == "a file"


def test_a_directory_in_use(tmp_path: Path) -> None:
    holders: list[FileStore] = []
    line = refused(NODE, tmp_path, prepare=lambda own: holders.append(FileStore.open(str(own / "d"))), status=1)
    assert line.startswith("CWD/d is in use by another process")
    for holder in holders:
        holder.close()


def fill(directory: Path, server_id: str, entries: int = 3) -> None:
    """A directory as a node leaves it behind."""
    store = FileStore.open(str(directory))
    store.identify(Identity("0123456789abcdef" * 2, server_id))
    log = [Entry(index, 1, int(EntryKind.NOOP), b"x" * 50) for index in range(1, entries + 1)]
    store.write(HardState(term=1, vote=server_id, commit=entries), log, True)
    store.close()


def test_another_nodes_directory(tmp_path: Path) -> None:
    line = refused(NODE, tmp_path, prepare=lambda own: fill(own / "d", "b"))
    assert line == "CWD/d is the directory of the node b, not of a: give each node its own --raftdir"


def test_the_original_letos_directory(tmp_path: Path) -> None:
    def leave(own: Path) -> None:
        (own / "d").mkdir()
        (own / "d" / "raft.db").write_bytes(b"bolt")

    line = refused(NODE, tmp_path, prepare=leave)
    assert line == (
        "CWD/d/raft.db is the log of the original Leto, which this one cannot read: "
        "give this node a directory of its own"
    )
    assert [path.name for path in (tmp_path / "leto" / "d").iterdir()] == ["raft.db"]


def test_a_damaged_log(tmp_path: Path) -> None:
    damaged: dict[Path, bytes] = {}

    def damage(own: Path) -> None:
        fill(own / "d", "a")
        (segment,) = (own / "d" / "leto-log").iterdir()
        data = bytearray(segment.read_bytes())
        data[data.index(b"x" * 50) + 10] ^= 0xFF
        segment.write_bytes(data)
        damaged[segment] = bytes(data)

    line = refused(NODE, tmp_path, prepare=damage, status=1)
    assert "CWD/d/leto-log/" in line
    assert len(damaged) == 3
    assert all(segment.read_bytes() == data for segment, data in damaged.items())  # left as it was found


@pytest.mark.parametrize("option", ["--chroot", "--uid", "--gid"])
def test_what_leto_cannot_do_under_twistd(option: str, tmp_path: Path) -> None:
    value = "/" if option == "--chroot" else "0"
    line = refused(NODE, tmp_path, ("twistd -n", "twistd"), (option, value))
    assert line.startswith(f"twistd's {option} is not supported: start Leto as the user that owns its directory")


def test_two_places_for_the_log(tmp_path: Path) -> None:
    line = refused((*NODE, "--log-file", "x"), tmp_path, ("twistd -n", "twistd"), ("--logfile", "y"))
    assert line == "twistd's --logfile and the log-file option are both given: keep one"


def test_the_lock_is_free_after_a_refused_start(taken_port: int, tmp_path: Path) -> None:
    refused((*NODE, "--listen", f"127.0.0.1:{taken_port}"), tmp_path, ("twistd",), status=1)
    descriptor = os.open(tmp_path / "twistd" / "d" / "leto.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
