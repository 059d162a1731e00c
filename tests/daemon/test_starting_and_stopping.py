"""A node serves, holds its directory, stops in order on a signal, and comes back with its data, however started."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import leto
from leto.storage.faultpoints import EXIT_STATUS
from tests.daemon.processes import PATIENCE, WAYS, Node, ask, free_port, node, refused, wait_for

every_way = pytest.mark.parametrize("way", WAYS)
PORTS = ("--listen", "127.0.0.1:0", "--raftbind", "127.0.0.1:0")


def set_and_get(running: Node) -> None:
    wait_for(lambda: ask(running.port, "SET", "a", "b") == b"+OK\r\n", "a leader")
    assert ask(running.port, "GET", "a") == b"$1\r\n"


@every_way
def test_it_serves_stops_on_term_and_comes_back_with_its_data(way: str, tmp_path: Path) -> None:
    with node(way, tmp_path, "--raftdir", "d") as running:
        set_and_get(running)
        line = refused(("--id", "id1", "--raftdir", str(tmp_path / "d"), *PORTS), tmp_path, ("leto",), status=1)
        assert f"{tmp_path}/d is in use by another process" in line
        assert running.stop() in (0, None)
    assert not (tmp_path / "twistd.pid").exists()
    with node(way, tmp_path, "--raftdir", "d") as running:
        wait_for(lambda: ask(running.port, "GET", "a") == b"$1\r\n", "the data")


@pytest.mark.parametrize("policy", ["everysec", "no"])
def test_a_daemon_keeps_its_data_under_every_fsync_policy(policy: str, tmp_path: Path) -> None:
    with node("twistd", tmp_path, "--raftdir", "d", "--fsync", policy) as running:
        set_and_get(running)
        running.stop()
    with node("leto", tmp_path, "--raftdir", "d", "--fsync", policy) as running:
        wait_for(lambda: ask(running.port, "GET", "a") == b"$1\r\n", "the data")


def test_int_stops_in_order_too(tmp_path: Path) -> None:
    with node("leto", tmp_path) as running:
        running.signal(signal.SIGINT)
        assert running.wait() == 0
        assert "id1 has stopped" in running.output()
        assert "Traceback" not in running.output()


def test_the_shutdown_command_stops_the_node(tmp_path: Path) -> None:
    with node("leto", tmp_path) as running:
        ask(running.port, "SHUTDOWN")
        assert running.wait() == 0


@pytest.mark.parametrize("output", ["output", "/dev/full"])
def test_a_second_signal_stops_at_once_even_if_its_stderr_takes_nothing(output: str, tmp_path: Path) -> None:
    with node("leto", tmp_path, "--log-file", "log", output=output) as running:
        # A request whose answer is long in coming keeps the first stop waiting.
        with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE) as client:
            client.sendall(b"*3\r\n$6\r\nCLIENT\r\n$5\r\nPAUSE\r\n$6\r\n600000\r\n")
            assert client.recv(100) == b"+OK\r\n"
            client.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n")
            running.signal(signal.SIGTERM)
            wait_for(lambda: "id1 stops" in (tmp_path / "log").read_text(), "the first stop")
            running.signal(signal.SIGTERM)
            assert running.wait() == 128 + signal.SIGTERM
        if output == "output":
            assert running.output() == "leto: asked twice to stop: stopping at once\n"


def test_clients_that_were_answered_are_closed_when_the_node_stops(tmp_path: Path) -> None:
    with node("leto", tmp_path) as running:
        set_and_get(running)
        with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE) as client:
            client.sendall(b"*1\r\n$4\r\nPING\r\n")
            assert client.recv(100) == b"+PONG\r\n"
            running.signal(signal.SIGTERM)
            assert client.recv(100) == b""
        assert running.wait() == 0


@every_way
def test_one_line_says_what_started_and_no_line_what_was_asked(way: str, tmp_path: Path) -> None:
    with node(way, tmp_path, "--raftdir", "d") as running:
        set_and_get(running)
        running.stop()
        log = (tmp_path / "twistd.log").read_text() if way == "twistd" else running.output()
    (start,) = [line for line in log.splitlines() if f"clients on 127.0.0.1:{running.port}" in line]
    assert f"leto {leto.__version__} id1: " in start
    assert f"data in {tmp_path}/d" in start
    assert "SET" not in log
    assert "Traceback" not in log


def test_a_json_log_goes_to_its_file_and_is_reopened_on_hup(tmp_path: Path) -> None:
    with node("twistd", tmp_path, "--log-format", "json", "--log-file", "leto.log") as running:
        path = tmp_path / "leto.log"
        path.rename(tmp_path / "leto.log.1")
        running.signal(signal.SIGHUP)
        wait_for(path.exists, "a new log file")
        running.stop()
        records = [json.loads(line) for name in ("leto.log.1", "leto.log") for line in (tmp_path / name).open()]
    messages = [record["message"] for record in records]
    assert messages[-1] == "id1 has stopped"
    assert any(message.startswith("reopened the log file") for message in messages)
    assert {"time", "level", "room", "message"} <= set(records[0])


def test_twistds_own_log_options_keep_working(tmp_path: Path) -> None:
    with node("twistd", tmp_path, daemon=("--logfile", "own.log")) as running:
        running.signal(signal.SIGHUP)  # nothing of Leto's to reopen, and no reason to die
        wait_for(lambda: "asked to reopen the log" in (tmp_path / "own.log").read_text(), "a word on the HUP")
        assert running.serves()
        running.stop()
    assert "id1 has stopped" in (tmp_path / "own.log").read_text()
    assert not (tmp_path / "twistd.log").exists()


def test_relative_paths_mean_the_rundir(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with node("twistd", tmp_path, "--raftdir", "d", daemon=("--rundir", "run")) as running:
        assert (tmp_path / "run" / "d").is_dir()
        assert (tmp_path / "run" / "twistd.log").exists()
        running.stop()


def test_systemd_hears_ready_pings_and_stopping(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(PATIENCE)
        with node("leto", tmp_path, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000") as running:
            assert manager.recv(1000).startswith(b"READY=1\nSTATUS=id1 serves clients on")
            assert running.serves()
            assert manager.recv(1000) == b"WATCHDOG=1"
            assert manager.recv(1000) == b"WATCHDOG=1"
            running.signal(signal.SIGTERM)
            heard = [manager.recv(1000)]
            while heard[-1] != b"STOPPING=1":
                heard.append(manager.recv(1000))
            assert set(heard) <= {b"WATCHDOG=1", b"STOPPING=1"}
            assert running.wait() == 0


def test_a_node_that_waits_for_its_cluster_says_so_and_can_be_stopped(tmp_path: Path) -> None:
    nobody = "127.0.0.1:1"
    admin = f"127.0.0.1:{free_port()}"
    running = Node("leto", tmp_path, "--raftdir", "d", "--join", nobody, "--admin-listen", admin)
    try:
        wait_for(lambda: ask(running.port, "PING").startswith(b"-LOADING "), "an honest answer")
        assert ask(running.port, "PING") == b"-LOADING id1 waits for the cluster to take it\r\n"
        reason = f"waiting for the cluster to take this node: {nobody} cannot be reached"
        wait_for(lambda: reason in running.output(), "the reason")
        with urllib.request.urlopen(f"http://{admin}/livez", timeout=PATIENCE) as live:
            assert live.status == 200
        with pytest.raises(urllib.error.HTTPError) as unready:
            urllib.request.urlopen(f"http://{admin}/readyz", timeout=PATIENCE)
        with unready.value as answer:
            assert answer.code == 503
            assert json.load(answer)["reason"] == f"this node waits for the cluster to take it: {nobody} " + (
                "cannot be reached: Connection was refused by other side: 111: Connection refused."
            )
        assert running.stop() == 0
        assert "Traceback" not in running.output()
    finally:
        running.close()


@pytest.mark.parametrize("step", ["identify.done", "hard-state.second-synced"])
def test_a_bootstrap_that_was_cut_short_is_finished(step: str, tmp_path: Path) -> None:
    killed = Node("leto", tmp_path, "--raftdir", "d", LETO_FAULTPOINT=step)
    assert killed.wait() == EXIT_STATUS
    killed.close()
    begun = (tmp_path / "d" / "leto.identity").read_bytes()
    # It is what its data says already, whatever it is told to join.
    with node("leto", tmp_path, "--raftdir", "d", "--join", "127.0.0.1:1") as running:
        set_and_get(running)
        assert (tmp_path / "d" / "leto.identity").read_bytes() == begun


def test_a_node_that_dials_its_cluster_can_be_stopped(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        deaf = held.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # once its backlog is full, a connection attempt hears nothing
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        running = Node("leto", tmp_path, "--raftdir", "d", "--join", f"127.0.0.1:{deaf.getsockname()[1]}")
        held.callback(running.close)
        wait_for(lambda: ask(running.port, "PING").startswith(b"-LOADING "), "a node that waits")
        assert running.stop() == 0
        assert "Traceback" not in running.output()


def test_a_joining_node_leaves_no_connection_behind_when_its_password_is_refused(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        seed = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        seed.settimeout(PATIENCE)
        join = f"127.0.0.1:{seed.getsockname()[1]}"
        running = Node("leto", tmp_path, "--raftdir", "d", "--join", join, LETO_REQUIREPASS="wrong")
        held.callback(running.close)
        for _ in range(2):
            asked = held.enter_context(seed.accept()[0])
            asked.settimeout(PATIENCE)
            assert asked.recv(1000).startswith(b"*2\r\n$4\r\nAUTH\r\n")
            asked.sendall(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
            assert asked.recv(1000) == b""
        wait_for(lambda: f"{join} answers: WRONGPASS" in running.output(), "the reason")


def test_a_failing_disk_ends_a_process_whose_stderr_takes_nothing(tmp_path: Path) -> None:
    options = ("--raftdir", "d", "--segment-bytes", "256kb", "--log-file", "log")
    with node("leto", tmp_path, *options, output="/dev/full") as running:
        set_and_get(running)
        largest = max(path.stat().st_size for path in (tmp_path / "d" / "leto-log").iterdir())
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (largest, largest))
        assert ask(running.port, "SET", "big", "x" * 2 * largest) == b""
        assert running.wait() == 1


@pytest.mark.parametrize("way", ["leto", "twistd -n"])
def test_a_failing_disk_ends_the_process_at_once(way: str, tmp_path: Path) -> None:
    with node(way, tmp_path, "--raftdir", "d", "--segment-bytes", "256kb") as running:
        set_and_get(running)
        # From here on its log files cannot grow, as on a full disk.
        largest = max(path.stat().st_size for path in (tmp_path / "d" / "leto-log").iterdir())
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (largest, largest))
        assert ask(running.port, "SET", "big", "x" * 2 * largest) == b""  # closed, not acknowledged
        assert running.wait() == 1
        (line,) = [line for line in running.output().splitlines() if "stopping at once: " in line]
        assert "File too large" in line
    again = Node(way, tmp_path, "--raftdir", "d")
    try:
        wait_for(lambda: ask(again.port, "GET", "a") == b"$1\r\n", "what was acknowledged")
    finally:
        again.close()
