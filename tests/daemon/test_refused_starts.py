"""Every start that cannot succeed ends in one line on stderr and status 1, in all three ways of starting."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import WAYS, refused

from leto.config import Address
from leto.interfaces import Identity
from leto.listening import Listener
from leto.raft.messages import Entry, EntryKind, HardState
from leto.storage.store import FileStore

PORTS = ("--listen", "127.0.0.1:0", "--raftbind", "127.0.0.1:0")
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def taken_port() -> Iterator[int]:
    holder = Listener.bind(Address("127.0.0.1", 0), "test")
    yield holder.address.port
    holder.close()


@every_way
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "the node's name is missing: give --id NAME"),
        (("--id", "a", "--nonsense"), "--nonsense is no option"),
        (("-id", "a", "-listen", "nowhere"), "--listen: 'nowhere' is not an address: it has no :port"),
        (("--id", "a", "--config", "missing.toml"), "cannot read missing.toml: No such file or directory"),
        (("--id", "a", *PORTS, "--log-file", "no/such/log"), "cannot open the log file"),
        (("--id", "a", *PORTS, "--raftdir", "/proc/leto"), "/proc/leto"),
        (("--id", "a", "--listen", "192.0.2.1:1", "--raftdir", "d"), "cannot listen on 192.0.2.1:1 (--listen)"),
    ],
)
def test_a_mistake(way: str, arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    assert words in refused(way, arguments, tmp_path)


@every_way
@pytest.mark.parametrize("option", ["--listen", "--raftbind", "--admin-listen"])
def test_a_port_in_use(way: str, option: str, taken_port: int, tmp_path: Path) -> None:
    line = refused(way, ("--id", "a", "--raftdir", "d", *PORTS, option, f"127.0.0.1:{taken_port}"), tmp_path)
    assert line == f"cannot listen on 127.0.0.1:{taken_port} ({option}): the port is in use"
    # The directory is free again and still empty: the same node may start with another port.
    assert FileStore.open(str(tmp_path / "d")).identity is None


@every_way
def test_a_file_in_the_directorys_place(way: str, tmp_path: Path) -> None:
    (tmp_path / "d").write_text("a file")
    assert str(tmp_path / "d") in refused(way, ("--id", "a", *PORTS, "--raftdir", "d"), tmp_path)
    assert (tmp_path / "d").read_text() == "a file"


@every_way
def test_a_directory_in_use(way: str, tmp_path: Path) -> None:
    other = FileStore.open(str(tmp_path / "d"))
    line = refused(way, ("--id", "a", *PORTS, "--raftdir", "d"), tmp_path)
    assert f"{tmp_path}/d is in use by another process" in line
    other.close()


def fill(directory: Path, server_id: str, entries: int = 3) -> None:
    """A directory as a node leaves it behind."""
    store = FileStore.open(str(directory))
    store.identify(Identity("0123456789abcdef" * 2, server_id))
    log = [Entry(index, 1, int(EntryKind.NOOP), b"x" * 50) for index in range(1, entries + 1)]
    store.write(HardState(term=1, vote=server_id, commit=entries), log, True)
    store.close()


@every_way
def test_another_nodes_directory(way: str, tmp_path: Path) -> None:
    fill(tmp_path / "d", "b")
    line = refused(way, ("--id", "a", *PORTS, "--raftdir", "d"), tmp_path)
    assert line == f"{tmp_path}/d is the directory of the node b, not of a: give each node its own --raftdir"


@every_way
def test_a_damaged_log(way: str, tmp_path: Path) -> None:
    fill(tmp_path / "d", "a")
    (segment,) = (path for path in (tmp_path / "d" / "leto-log").iterdir() if path.stat().st_size > 0)
    data = bytearray(segment.read_bytes())
    middle = data.index(b"x" * 50) + 10
    data[middle] ^= 0xFF
    segment.write_bytes(data)
    line = refused(way, ("--id", "a", *PORTS, "--raftdir", "d"), tmp_path)
    assert str(segment) in line
    assert bytes(data) == segment.read_bytes()


@every_way
def test_a_secret_that_cannot_be_read(way: str, tmp_path: Path) -> None:
    line = refused(way, ("--id", "a", "--requirepass-file", "absent"), tmp_path)
    assert line == "--requirepass-file: cannot read absent: No such file or directory"


@pytest.mark.parametrize("way", ["twistd -n", "twistd"])
@pytest.mark.parametrize(
    ("daemon", "words"),
    [
        (("--chroot", "/"), "twistd's --chroot is not supported"),
        (("--uid", "0"), "twistd's --uid is not supported"),
    ],
)
def test_what_leto_cannot_do_under_twistd(way: str, daemon: tuple[str, ...], words: str, tmp_path: Path) -> None:
    assert words in refused(way, ("--id", "a", *PORTS), tmp_path, daemon)


def test_two_places_for_the_log(tmp_path: Path) -> None:
    line = refused("twistd -n", ("--id", "a", *PORTS, "--log-file", "x"), tmp_path, ("--logfile", "y"))
    assert line == "twistd's --logfile and the log-file option are both given: keep one"


def test_the_lock_is_free_after_a_refused_start(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        refused("leto", ("--id", "a", "--raftdir", "d", "--listen", f"127.0.0.1:{port}"), tmp_path)
    for name in os.listdir(tmp_path / "d"):
        descriptor = os.open(tmp_path / "d" / name, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
