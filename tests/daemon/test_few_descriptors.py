"""With a low limit of open files clients are fewer, and log files, snapshots and peers have theirs all the same."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

import pytest

from leto.reactor.descriptors import RESERVED
from tests.daemon import processes
from tests.daemon.processes import ask, node, wait_for

LIMIT = RESERVED + 100
# Lowers the limit for good: without CAP_SYS_RESOURCE (24) even the superuser cannot raise it again.
PRELUDE = f"""
import ctypes, os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT - 50}, {LIMIT}))
ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_idle_clients_cannot_take_what_the_log_and_snapshots_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = processes.command
    monkeypatch.setattr(
        processes, "command", lambda *given, **more: [sys.executable, "-c", PRELUDE, *plain(*given, **more)]
    )
    with node("leto", tmp_path, "--raftdir", "d", "--segment-bytes", "64kb", "--maxclients", "1000") as running:
        assert f"Current maximum open files is {LIMIT}. maxclients has been reduced to 100" in running.output()
        wait_for(lambda: ask(running.port, "SET", "a", "b") == b"+OK\r\n", "a leader")
        with contextlib.ExitStack() as held:
            client = held.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=20))
            idle = [
                held.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=20))
                for _ in range(LIMIT + 100)
            ]
            assert idle[-1].recv(100) == b"-ERR max number of clients reached\r\n"
            answers = client.makefile("rb")
            for _ in range(8):  # each fills a segment, and a snapshot follows
                client.sendall(b"SET a " + b"x" * 40_000 + b"\r\nSNAPSHOT\r\n")
                assert answers.readline() == b"+OK\r\n"
                assert answers.readline() == b"+OK\r\n"
            client.sendall(b"PING\r\n")
            assert answers.readline() == b"+PONG\r\n"
        wait_for(running.serves, "room again")
        assert running.stop() == 0
