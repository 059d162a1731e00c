"""One tiny real run, and command lines that make no sense."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from leto.bench import load
from leto.bench.cli import DONE, FAILED, USAGE, main
from leto.bench.machine import machine
from leto.bench.servers import SOURCE
from leto.main import main as leto


def test_a_tiny_run_of_an_own_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "redis_benchmark", lambda: None)  # so that both the loop and the cluster are ours
    kept = tmp_path / "kept.json"
    argv = [
        "bench",
        "--no-redis",
        "--only",
        "80% GET",
        "--rounds",
        "1",
        "--seconds",
        "0.1",
        "--failovers",
        "1",
        "--open-loop",
    ]
    assert leto([*argv, "--directory", str(tmp_path), "--json", str(kept)]) == DONE
    report = json.loads(kept.read_text())
    (measured,) = report["measurements"]
    assert measured["throughput"] > 0
    assert 0 < measured["p50_ms"] <= measured["p99_ms"] <= measured["p999_ms"]
    assert len(measured["cpu_seconds_per_million"]) == 3
    assert [each["kind"] for each in report["failovers"]] == ["kill -9", "TERM", "transfer", "SIGSTOP"]
    assert all(0 < each["worst"] < 20 for each in report["failovers"])
    assert 0.5 < measured["log_amplification"] < 5
    assert [row["share"] for row in report["open_loop"]] == [0.5, 0.8] * 2
    for row in report["open_loop"]:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["p999_ms"] <= row["max_ms"]
        assert row["achieved"] <= row["rate"] * 1.1
    assert list(tmp_path.iterdir()) == [kept]  # the nodes' data is gone


def test_a_kept_report_is_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"machine": machine(0.0), "doubts": ["a reason"], "measurements": [], "failovers": []}))
    assert leto(["bench", "--from", str(kept), "--charts", str(tmp_path / "charts"), "--markdown"]) == DONE
    assert "Doubtful: a reason." in capsys.readouterr().out
    kept.write_text("{")
    assert main(["--from", str(kept)]) == FAILED
    assert "is no JSON" in capsys.readouterr().err


def test_a_version_compared_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load, "redis_benchmark", lambda: None)
    kept = tmp_path / "kept.json"
    argv = ["bench", "--against", str(SOURCE), "--only", "80% GET", "--rounds", "2", "--seconds", "0.1"]
    # Two runs of a tenth of a second may differ by any factor: only 90% would be told.
    argv += ["--threshold", "90", "--directory", str(tmp_path), "--json", str(kept)]
    assert leto(argv) == DONE
    assert "80% GET, 20% SET, 50 clients" in capsys.readouterr().out
    compared = json.loads(kept.read_text())["comparison"]["80% GET, 20% SET, 50 clients"]
    assert 0 < compared["cpu"]["low"] <= compared["cpu"]["high"]
    assert list(tmp_path.iterdir()) == [kept]


def test_a_benchmark_that_is_terminated_ends_its_nodes(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "leto.main",
        "bench",
        "--only",
        "1 client",
        "--no-redis",
        "--seconds",
        "0.1",
        "--directory",
        str(tmp_path),
    ]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert "SET, 1 client on leto" in running.stderr.readline()
        running.terminate()
        assert running.stderr.read().endswith("leto: interrupted\n")
    assert running.returncode == FAILED
    assert list(tmp_path.iterdir()) == []  # removed once the nodes had ended


def test_sweeps_that_do_not_exist_or_need_nodes_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sweep", "colours"]) == FAILED
    assert "no sweep is called 'colours': there are clients, " in capsys.readouterr().err
    assert main(["--sweep", "nodes", "--addr", "127.0.0.1:1"]) == FAILED
    assert "needs nodes of its own" in capsys.readouterr().err


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
