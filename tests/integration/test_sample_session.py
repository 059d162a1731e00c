"""The session of the original's README, typed into redis-cli, word for word; the ports alone are others."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from tests.integration.cluster import ROOT, Cluster, Node
from tests.integration.terminal import stand_in, type_in

LETO = (sys.executable, "-m", "leto.main")
TWISTD = (str(Path(sys.executable).with_name("twistd")), "--pidfile=", "-n", "leto")
FAILOVER_SECONDS = 5.0  # "about a second" on a machine of one's own; test machines are shared


@pytest.mark.parametrize(("command", "how"), [(TWISTD, signal.SIGTERM), (LETO, signal.SIGKILL)], ids=["TERM", "KILL"])
def test_sample_session(tmp_path: Path, command: tuple[str, ...], how: signal.Signals) -> None:
    cluster = Cluster(tmp_path, 0)
    nodes = [Node(tmp_path, f"id{i}", host="") for i in (1, 2, 3)]
    cluster.nodes += nodes
    first, second, third = nodes
    environment = {"PYTHONPATH": str(ROOT)}
    try:
        first.start(command=command, environment=environment).wait_serving()
        assert first.role() == "leader"
        second.start(join=first.address, command=command, environment=environment)
        third.start(join=first.address, command=command, environment=environment)
        assert cluster.wait_settled() is first

        assert first.cli("set", "a", "b") == "OK"
        assert first.cli("get", "a") == '"b"'
        assert second.cli("get", "a") == '"b"'
        assert second.cli("set", "a", "b") == "(error) not leader"
        assert third.cli("set", "a", "b") == "(error) not leader"
        with second.connect() as connection:
            connection.sendall(b"*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\nb\r\n")
            assert connection.recv(100) == b"-not leader\r\n"

        stopped_at = time.monotonic()
        first.signal(how)
        leader = cluster.wait_leader([second, third])
        if how is signal.SIGTERM:  # it hands over: of two that are level, to the lowest id
            assert leader is second
        assert time.monotonic() - stopped_at < FAILOVER_SECONDS
        assert first.wait_exit() == (-signal.SIGKILL if how is signal.SIGKILL else 0)
        assert leader.cli("get", "a") == '"b"'
        assert leader.cli("set", "a", "b") == "OK"

        # What its data says wins over --join: the node that bootstrapped comes back as a follower.
        first.start(join=third.address, command=command, environment=environment)
        cluster.wait_settled({"id1", "id2", "id3"})
        assert first.cli("get", "a") == '"b"'
        assert cluster.leader is leader
    finally:
        cluster.close()


def test_commands_are_case_insensitive_and_errors_keep_the_connection(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        (node,) = cluster
        session = [
            ["SeT", "a", "b"],
            ["GET", "a"],
            ["get", "missing"],
            ["nonsense", "x"],
            ["get"],
            ["del", "a"],
            ["ping"],
        ]
        printed = [
            "OK",
            '"b"',
            "(nil)",
            "(error) ERR unknown command 'nonsense', with args beginning with: 'x' ",
            "(error) ERR wrong number of arguments for 'get' command",
            "(integer) 1",
            "PONG",
        ]
        assert type_in(node.client_port.number, session).splitlines() == printed
        assert stand_in(node.client_port.number, session).splitlines() == printed
