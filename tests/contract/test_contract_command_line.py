"""The original's five options, their defaults, forms and addresses."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leto.config.sources import load
from tests.contract import wire
from tests.integration.cluster import ROOT, Node, member_ids, wait_for

LETO = [sys.executable, "-m", "leto.main"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`leto` with arguments that end it at once."""
    return subprocess.run([*LETO, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_defaults() -> None:
    config, _ = load({"id": "id1"}, {})
    assert (str(config.listen), str(config.raftbind), config.raftdir, config.join) == (":5379", ":15379", "./", ())


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(flag: str) -> None:
    done = run(flag)
    assert done.returncode == 0
    for option in ("--id", "--listen", "--raftbind", "--raftdir", "--join"):
        assert option in done.stdout


def test_the_id_is_required() -> None:
    done = run("--raftdir", "/nonexistent")
    assert done.returncode != 0
    assert "--id" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("address", ["5379", "host:", "host:70000", "::1:5379", "host:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    done = run("--id", "id1", "--raftdir", "/nonexistent", "--listen", address)
    assert done.returncode != 0
    assert address in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("form", "dial"),
    [
        (":{}", "127.0.0.1"),
        ("127.0.0.1:{}", "127.0.0.1"),
        ("[::1]:{}", "::1"),
        ("localhost:{}", "localhost"),
    ],
)
def test_forms_of_an_address_and_gos_single_dash(
    make_node: Callable[..., Node], tmp_path: Path, form: str, dial: str
) -> None:
    """Each address form listens; the options come in all the forms that Go's flag package takes."""
    node = make_node()
    missing = tmp_path / "missing" / "directory"
    node.arguments = lambda join=None: [  # type: ignore[method-assign]
        *("-id", "id1", f"-raftdir={missing}"),
        f"--listen={form.format(node.client_port.number)}",
        *("-raftbind", form.format(node.raft_port.number)),
    ]
    node.start()

    def answers() -> bool:
        assert node.is_running, node.log()
        try:
            with socket.create_connection((dial, node.client_port.number), 2) as connection:
                return wire.exchange(connection, wire.packed("SET", "a", "b")) == b"+OK\r\n"
        except OSError:
            return False

    wait_for(answers, f"a node that listens on {form} answers at {dial}")
    assert missing.is_dir()


def test_a_bootstrapped_node_learns_its_address_from_the_first_join(make_node: Callable[..., Node]) -> None:
    first, second = make_node(server_id="id1", host=""), make_node(server_id="id2", host="")
    first.start().wait_serving()
    second.start(join=first.address)
    wait_for(lambda: second.follows() == "id1" and member_ids(first, voters=True) == {"id1", "id2"}, "id2 votes")
    members = second.status()["nodes"]["id2"]["configuration"]["members"]
    assert {member["id"]: member["address"] for member in members} == {
        "id1": first.raft_address,
        "id2": second.raft_address,
    }
    with second.connect() as connection:
        reply = wire.exchange(connection, wire.packed("JOIN", "127.0.0.1:1", "x"))
    assert reply == f"-node is not the leader {first.address}\r\n".encode()


def test_a_node_with_data_ignores_join(make_node: Callable[..., Node]) -> None:
    other = make_node(server_id="other").start()
    node = make_node(server_id="hermit").start().wait_serving()
    assert wire.ask(node, "SET", "mine", "1") == b"+OK\r\n"
    assert node.terminate() == 0
    node.start(join=other.wait_serving().address).wait_serving()
    assert wire.ask(node, "GET", "mine") == b"$1\r\n1\r\n"
    assert member_ids(node, voters=True) == {"hermit"}
    assert member_ids(other, voters=True) == {"other"}


def test_a_password_guards_the_client_port(make_node: Callable[..., Node], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    node = make_node("--requirepass-file", str(tmp_path / "password")).start()

    def answered() -> bool:
        assert node.is_running, node.log()
        try:
            with node.connect() as connection:
                assert wire.exchange(connection, wire.packed("AUTH", "secret")) == b"+OK\r\n"
                return wire.exchange(connection, wire.packed("SET", "a", "b")) == b"+OK\r\n"
        except OSError:
            return False

    wait_for(answered, "a client with the password is served")
    assert wire.ask(node, "GET", "a") == b"-NOAUTH Authentication required.\r\n"
    assert wire.ask(node, "JOIN", "127.0.0.1:1", "x") == b"-NOAUTH Authentication required.\r\n"
    assert wire.ask(node, "AUTH", "wrong").startswith(b"-WRONGPASS ")


def test_a_secret_guards_the_peers_port(make_node: Callable[..., Node], tmp_path: Path) -> None:
    for name in ("right", "wrong"):
        (tmp_path / name).write_text(f"the {name} secret of the cluster\n")
    first = make_node("--cluster-secret-file", str(tmp_path / "right"), server_id="id1").start().wait_serving()
    friend = make_node("--cluster-secret-file", str(tmp_path / "right"), server_id="id2").start(join=first.address)
    wait_for(lambda: member_ids(first, voters=True) == {"id1", "id2"}, "the friend votes")
    friend.wait_serving()
    stranger = make_node("--cluster-secret-file", str(tmp_path / "wrong"), server_id="id3").start(join=first.address)
    wait_for(lambda: "authentication" in (first.log() + stranger.log()).lower(), "the stranger is refused")
    assert "id3" not in member_ids(first, voters=True)
