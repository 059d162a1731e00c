"""What a node is started in: closed descriptors, signals that come early, being the first process of a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from leto.storage.store import FileStore
from tests.daemon.processes import PATIENCE, ROOT, Node, command, environment, node, wait_for


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-", "0<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", ["--version", "--id a --nonsense"])
def test_closed_descriptors_cost_no_traceback(closed: str, arguments: str, tmp_path: Path) -> None:
    script = f'exec "$0" -m leto.main {arguments} {closed}'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=tmp_path, env=environment(), capture_output=True, check=False
    )
    assert done.returncode == (0 if arguments == "--version" else 78)
    assert b"Traceback" not in done.stderr


def test_a_log_without_a_stderr_goes_into_no_file_of_the_nodes(tmp_path: Path) -> None:
    running = Node.__new__(Node)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tests.daemon.processes.command",
            lambda *given, **more: ["sh", "-c", 'exec "$@" >&- 2>&- 0<&-', "sh", *command(*given, **more)],
        )
        running.__init__("leto", tmp_path, "--raftdir", "d")  # type: ignore[misc]
    try:
        running.wait_until_serving()
        targets = {os.readlink(f"/proc/{running.pid}/fd/{number}") for number in (0, 1, 2)}
        assert targets == {"/dev/null"}
        assert running.stop() == 0
    finally:
        running.close()
    FileStore.open(str(tmp_path / "d")).close()  # and its files are whole


# Stops the process in the middle of its start, before it serves, and says so on stdout.
HELD_UP = """
import sys, time
import leto.main
from leto import tap
def load(*given):
    print("starts", flush=True)
    time.sleep(600)
tap.load = load
sys.exit(leto.main.main())
"""


@pytest.mark.parametrize(
    ("number", "ends"),
    [(signal.SIGTERM, True), (signal.SIGINT, True), (signal.SIGHUP, False), (signal.SIGUSR1, False)],
)
def test_signals_while_it_starts(number: signal.Signals, ends: bool, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HELD_UP, "--id", "a"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "starts\n"
        process.send_signal(number)
        if not ends:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
        assert errors == f"leto: received {(number if ends else signal.SIGTERM).name} while starting: stopping\n"
        assert process.returncode == 0
    finally:
        process.kill()


def test_the_first_process_of_a_namespace_hears_term_before_it_serves(tmp_path: Path) -> None:
    inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        inside.remove("--user"), inside.remove("--map-root-user")
        if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
            assert os.getuid() != 0, "the superuser makes namespaces"
            return  # this user may make none: the test above shows the handlers
    process = subprocess.Popen(
        [*inside, sys.executable, "-c", HELD_UP, "--id", "a"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "starts\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (first,) = children.read_text().split()
        os.kill(int(first), signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
        assert errors == "leto: received SIGTERM while starting: stopping\n"
    finally:
        process.kill()


@pytest.mark.parametrize("way", ["leto", "twistd"])
def test_usr1_reopens_the_log_as_hup_does(way: str, tmp_path: Path) -> None:
    with node(way, tmp_path, "--log-file", "leto.log") as running:
        path = tmp_path / "leto.log"
        path.rename(tmp_path / "leto.log.1")
        running.signal(signal.SIGUSR1)
        wait_for(path.exists, "a new log file")
        assert running.serves()
        running.stop()


def test_the_script_takes_its_signals_before_it_loads_anything_of_weight() -> None:
    loaded = "import sys, leto.main; print([name for name in sys.modules if name.startswith(('twisted', 'msgspec'))])"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_stderr_that_goes_to_the_journal_has_priorities(tmp_path: Path) -> None:
    stream = tmp_path / "output"
    stream.touch()
    found = stream.stat()
    with node("leto", tmp_path, JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}") as running:
        running.stop()
    lines = stream.read_text().splitlines()
    assert len(lines) > 2
    assert all(line.startswith("<") and line[1] in "23467" and line[2] == ">" for line in lines), lines


def test_usr1_rotates_twistds_own_log_as_ever(tmp_path: Path) -> None:
    with node("twistd", tmp_path, daemon=("--logfile", "own.log")) as running:
        running.signal(signal.SIGUSR1)
        wait_for((tmp_path / "own.log.1").exists, "a rotated log")
        assert running.serves()
        running.stop()
