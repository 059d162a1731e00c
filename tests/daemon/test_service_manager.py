"""What systemd hears of a node, and whether it takes our unit."""

from __future__ import annotations

import configparser
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from leto.process.notify import Notifier

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "leto@.service"


class ServiceManager:
    """The receiving end of sd_notify."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[ServiceManager]:
    manager = ServiceManager(address)
    yield manager
    manager.close()


def test_ready_stopping_and_the_watchdogs_pings(manager: ServiceManager, address: str) -> None:
    clock = Clock()
    notifier = Notifier(clock, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())})
    notifier.ready("serves")
    assert manager.heard() == ["READY=1\nSTATUS=serves", "WATCHDOG=1"]
    clock.pump([0.5] * 4)
    assert manager.heard() == ["WATCHDOG=1"] * 2  # every second: half of what is allowed
    notifier.stopping()
    clock.advance(1)
    assert manager.heard() == ["STOPPING=1", "WATCHDOG=1"]
    notifier.stop()
    clock.advance(10)
    assert manager.heard() == []
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("extra", [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}])
def test_no_pings_unless_the_watchdog_is_ours(manager: ServiceManager, address: str, extra: dict[str, str]) -> None:
    clock = Clock()
    Notifier(clock, {"NOTIFY_SOCKET": address, **extra}).ready("serves")
    clock.advance(100)
    assert manager.heard() == ["READY=1\nSTATUS=serves"]


def test_an_abstract_socket_is_reached() -> None:
    name = f"leto-test-{os.getpid()}"
    manager = ServiceManager("\0" + name)
    try:
        Notifier(Clock(), {"NOTIFY_SOCKET": "@" + name}).ready("serves")
        assert manager.heard() == ["READY=1\nSTATUS=serves"]
    finally:
        manager.close()


def test_without_a_service_manager_nothing_is_sent_and_nothing_scheduled() -> None:
    clock = Clock()
    Notifier(clock, {"WATCHDOG_USEC": "1000000"}).ready("serves")
    assert clock.getDelayedCalls() == []


def test_a_service_manager_that_is_gone_does_not_stop_the_node(tmp_path: Path) -> None:
    notifier = Notifier(Clock(), {"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    notifier.ready("serves")
    notifier.stopping()


# The unit -----------------------------------------------------------------------------------------------


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser


def test_the_unit_is_hardened_and_waits_for_readiness() -> None:
    service = unit()["Service"]
    expected = {
        "Type": "notify",
        "EnvironmentFile": "-/etc/leto/%i.env",
        "StateDirectory": "leto/%i",
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "LimitNOFILE": "65536",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "78",
        "ExecReload": "/bin/kill -HUP $MAINPID",
    }
    assert {key: service[key] for key in expected} == expected
    assert int(service["WatchdogSec"]) > 0
    assert service["ExecStart"].endswith("/leto --id %i --raftdir %S/leto/%i")
    assert "SystemCallFilter=@system-service\n" in UNIT.read_text()


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:  # what can be said without it: every line is an assignment in one of the three sections
        assert unit().sections() == ["Unit", "Service", "Install"]
        return
    installed = tmp_path / "leto@.service"
    installed.write_text(UNIT.read_text().replace("/opt/leto/bin/leto", sys.executable))
    run = subprocess.run([tool, "verify", str(installed)], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
