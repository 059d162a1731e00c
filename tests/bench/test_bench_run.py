"""One tiny real run, and command lines that make no sense."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from leto.bench import load
from leto.bench.cli import DONE, FAILED, USAGE, main
from leto.main import main as leto


def test_a_tiny_run_of_an_own_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "redis_benchmark", lambda: None)  # so that both the loop and the cluster are ours
    kept = tmp_path / "kept.json"
    argv = ["bench", "--no-redis", "--only", "80% GET", "--rounds", "1", "--seconds", "0.1", "--failovers", "1"]
    assert leto([*argv, "--directory", str(tmp_path), "--json", str(kept)]) == DONE
    report = json.loads(kept.read_text())
    (measured,) = report["measurements"]
    assert measured["throughput"] > 0
    assert 0 < measured["p50_ms"] <= measured["p99_ms"] <= measured["p999_ms"]
    assert len(measured["cpu_seconds_per_million"]) == 3
    assert [each["kind"] for each in report["failovers"]] == ["kill -9", "TERM", "transfer", "SIGSTOP"]
    assert all(0 < each["worst"] < 20 for each in report["failovers"])
    assert list(tmp_path.iterdir()) == [kept]  # the nodes' data is gone


def test_an_address_where_nobody_listens_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        assert main(["--addr", address]) == FAILED
    assert capsys.readouterr().err == f"leto: {address} cannot be asked: Connection refused\n"


@pytest.mark.parametrize(
    "argv", [["--addr", "nonsense"], ["--peer", "127.0.0.1:1"], ["--rounds", "0"], ["--seconds", "x"], ["--what"]]
)
def test_a_command_line_that_makes_no_sense(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == USAGE
    assert "usage: leto bench" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert leto(["bench", "--help"]) == DONE
    assert "--addr" in capsys.readouterr().out
