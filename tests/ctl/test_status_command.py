"""`leto status` from its command line to its exit status."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from leto.ctl.cli import main
from tests.ctl.cluster_views import IDS, cluster_view, healthy_cluster, node_view
from tests.ctl.scripted_node import HELLO, ScriptedNode, bulk, resp3

DEGRADED = cluster_view(node_view("id1"), node_view("id2"), unreachable={"id3": "connection refused"})


@pytest.fixture
def closed_address() -> Iterator[str]:
    """An address that refuses connections: the port is held, but nobody listens there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LETO_REQUIREPASS", raising=False)


def answering(cluster: object) -> ScriptedNode:
    return ScriptedNode(HELLO, bulk(json.dumps(cluster).encode()))


def test_a_healthy_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(healthy_cluster()) as node:
        assert main(["status", "--addr", node.address]) == 0
    output = capsys.readouterr().out
    for text in (*IDS, "10.0.0.2:15379", "10.0.0.3:5379", "leader", "follower", "healthy, led by id1"):
        assert text in output
    assert node.requests == [[b"HELLO", b"3"], [b"RAFT", b"STATUS"]]


def test_a_degraded_cluster_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(DEGRADED) as node:
        assert main(["status", "--addr", node.address]) == 1
    assert "degraded: id3 does not answer: connection refused" in capsys.readouterr().out


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(DEGRADED) as node:
        assert main(["status", "--json", "--addr", node.address]) == 1
    view = json.loads(capsys.readouterr().out)
    assert (view["leader"], view["healthy"]) == ("id1", False)
    assert view["problems"] == ["id3 does not answer: connection refused"]
    assert view["nodes"] == DEGRADED["nodes"]


def test_a_map_is_read_as_well_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedNode(HELLO, resp3(healthy_cluster())) as node:
        assert main(["status", "--addr", node.address]) == 0
    assert "healthy, led by id1" in capsys.readouterr().out


def test_nobody_reachable_is_status_2(closed_address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--addr", closed_address]) == 2
    assert capsys.readouterr().err == f"leto: {closed_address} cannot be reached: Connection refused\n"


def test_nobody_reachable_as_json(closed_address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "--addr", closed_address]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"healthy": False, "error": f"{closed_address} cannot be reached: Connection refused"}


def test_the_next_address_is_asked_when_one_does_not_answer(
    closed_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(healthy_cluster()) as node:
        assert main(["status", "--addr", closed_address, "--addr", node.address]) == 0
    streams = capsys.readouterr()
    assert f"{closed_address} cannot be reached" in streams.err
    assert "healthy" in streams.out


def test_a_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret word\n")
    with answering(healthy_cluster()) as node:
        assert main(["status", "--addr", node.address, "--password-file", str(tmp_path / "password")]) == 0
    assert node.requests[0] == [b"HELLO", b"3", b"AUTH", b"default", b"s3cret word"]


def test_a_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETO_REQUIREPASS", "other")
    with answering(healthy_cluster()) as node:
        assert main(["status", "--addr", node.address]) == 0
    assert node.requests[0][-1] == b"other"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((b"-NOAUTH HELLO must be called with the client already authenticated\r\n",), "refused: NOAUTH"),
        ((HELLO, b"-ERR unknown command 'RAFT'\r\n"), "refused: ERR unknown command"),
        ((None,), "closed the connection without an answer"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "does not speak the Redis protocol"),
        ((HELLO, bulk(b"no json")), "no JSON"),
        ((HELLO, b":1\r\n"), "another shape"),
        ((HELLO, b"_\r\n"), "another shape"),
        ((HELLO, b"#f\r\n"), "another shape"),
        ((HELLO, bulk(b"[1]")), "another shape"),
        ((HELLO, bulk(b'{"nodes": {"id1": {"id": "id1"}}, "unreachable": {}}')), "node id1 lacks role"),
        ((HELLO, bulk(b'{"nodes": {"id1": 7}, "unreachable": {}}')), "node id1 lacks everything"),
        ((HELLO, bulk(b'{"nodes": {}}')), "unreachable is missing"),
    ],
)
def test_an_answer_that_makes_no_sense_is_one_clear_line(
    answers: tuple[bytes | None, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedNode(*answers) as node:
        assert main(["status", "--addr", node.address]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_silent_node_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedNode(HELLO) as node:
        assert main(["status", "--addr", node.address, "--timeout", "0.1"]) == 2
    assert "did not answer within 0.1 s" in capsys.readouterr().err


def test_ids_that_look_like_markup_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    odd = node_view("[red]1", leader="[red]1", ids=("[red]1",))
    with answering(cluster_view(odd)) as node:
        assert main(["status", "--addr", node.address]) == 0
    assert "healthy, led by [red]1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["status", "--addr", "nocolon"],
        ["status", "--addr"],
        ["status", "--timeout", "0"],
        ["status", "--timeout", "nan"],
        ["status", "--what"],
        ["status", "--password-file", "/does/not/exist"],
        ["status", "--password-file", "/dev/null"],
    ],
)
def test_a_command_line_that_makes_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 64
    assert capsys.readouterr().err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--help"]) == 0
    assert "--password-file" in capsys.readouterr().out
