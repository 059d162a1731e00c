"""The offline tool: prints a directory readably, damaged or not, and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from leto.interfaces.store import Identity
from leto.raft.messages import Entry, HardState
from leto.storage import FileStore
from leto.storage.dump import main
from tests.storage.directories import configuration_entry, meta

SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\x00\xffv\r\n"
BATCH = b"\x01" + (1_700_000_000_000).to_bytes(8, "big") + (2).to_bytes(4, "big") + SET * 2


@pytest.fixture
def directory(ram_path):
    store = FileStore.open(str(ram_path / "data"), segment_bytes=4096)
    store.identify(Identity("0" * 32, "id1"))
    entries = [configuration_entry(1), Entry(2, 1, 0), Entry(3, 1, 1, BATCH), Entry(4, 1, 9, b"later kind")]
    store.write(HardState(2, "id1"), entries, True)
    store.write(None, [Entry(4, 2, 1, b"x" * 5000)], True)
    sink = store.create_snapshot(meta(2))
    sink.write(b"state")
    sink.commit()
    store.close()
    return ram_path / "data"


def image(directory):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}


def lines(capsys, *arguments):
    status = main([str(each) for each in arguments])
    return status, capsys.readouterr().out.splitlines()


def test_everything_is_printed_and_nothing_changed(directory, capsys):
    before = image(directory)
    status, out = lines(capsys, directory)
    assert status == 0
    assert out[0] == f"leto.identity: cluster {'0' * 32}, server id1"
    assert out[1].startswith("leto.hard-state: term 2, vote id1")
    assert out[2] == "leto.watermark: durable up to record 5, entry 4; commit at least 0"
    assert out[3].endswith(f"{2:020}-{1:020}.snapshot: entry 2, term 1, 5 bytes, own, members id1")
    assert out[4] == f"{1:020}.segment: from entry 1, 0 records before it"
    assert out[5].split() == ["1", "term", "1", "configuration", *out[5].split()[4:]]
    assert out[5].endswith("id1@host:1")
    assert "noop" in out[6]
    assert "2 requests: *3 $3 SET $1 k $3 \\x00\\xffv *3" in out[7]
    assert "kind 9" in out[8]
    assert out[9] == f"{2:020}.segment: from entry 5, 4 records before it"
    assert out[10].endswith("...  replaces 4 to 4")
    assert len(out) == 11
    assert image(directory) == before


def test_a_running_nodes_directory_can_be_printed(directory, capsys):
    store = FileStore.open(str(directory))
    assert lines(capsys, directory)[0] == 0
    store.close()


@pytest.mark.parametrize(
    "name",
    [
        "leto.identity",
        "leto.hard-state",
        "leto.watermark",
        f"leto-log/{1:020}.segment",
        f"leto-snapshots/{2:020}-{1:020}.snapshot",
    ],
)
@pytest.mark.parametrize("damage", ["flip", "empty", "gone", "directory"])
def test_damage_is_shown_and_the_rest_still_printed(directory, capsys, name, damage):
    path = directory / name
    data = path.read_bytes()
    path.unlink()
    if damage == "flip":
        for at in (20, 4116):
            if at < len(data):
                data = data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]
        path.write_bytes(data)
    elif damage == "empty":
        path.touch()
    elif damage == "directory":
        path.mkdir()
    status, out = lines(capsys, directory)
    if damage == "gone" and "/" in name:
        assert status == 0, "that files are missing from a series is the node's to judge"
    else:
        assert status == 1
    assert len(out) >= 6


def test_the_number_of_bytes_shown_can_be_chosen(directory, capsys):
    _, out = lines(capsys, "--bytes", "7", directory)
    assert any(line.endswith("2 requests: *3 $3 ...") for line in out)


def test_no_directory_is_an_error(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "no directory" in capsys.readouterr().err


def test_it_runs_as_a_module(directory):
    done = subprocess.run(
        [sys.executable, "-m", "leto.storage.dump", str(directory)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "SET" in done.stdout
    assert done.stderr == ""


def test_a_reader_that_goes_away_is_no_traceback(directory):
    process = subprocess.Popen(
        [sys.executable, "-m", "leto.storage.dump", "--bytes", "100000", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    process.wait(20)
    assert b"Traceback" not in error
