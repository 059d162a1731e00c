"""The timetable of the open loop, and that a wait counts from the instant at which a request was due."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.bench.histogram import of
from leto.bench.openloop import OpenLoop, OpenLoopRow, Paced, Timetable
from leto.bench.workloads import Workload
from leto.config import Address

PING = b"*1\r\n$4\r\nPING\r\n"


@settings(max_examples=200)
@given(st.floats(0.1, 1e6), st.integers(1, 10_000), st.integers(0, 9_999), st.floats(-1, 1))
def test_due_are_those_whose_instant_has_come(rate: float, count: int, number: int, off: float) -> None:
    timetable = Timetable(rate, count)
    now = max(0.0, timetable.at(number) + off / rate)
    due = timetable.due(now)
    assert 0 < due <= count
    assert timetable.at(due - 1) <= now
    assert due == count or timetable.at(due) > now


def test_the_timetable_is_absolute() -> None:
    timetable = Timetable(10.0, 5)
    assert timetable.due(-0.01) == 0
    assert [timetable.due(now) for now in (0.0, 0.05, 0.1, 0.35, 9.0)] == [1, 1, 2, 4, 5]


class Pausing:
    """Answers +PONG, but only once `pause` seconds have gone by for the first request of all."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listening.accept()
        with client:
            while data := client.recv(1 << 16):
                time.sleep(self._pause)
                self._pause = 0.0
                client.sendall(b"+PONG\r\n" * (len(data) // len(PING)))

    def close(self) -> None:
        self._listening.close()
        self._thread.join(10)


@pytest.fixture
def pausing() -> Iterator[Pausing]:
    server = Pausing(0.3)
    yield server
    server.close()


def test_requests_that_a_pause_kept_from_being_sent_have_waited_too(pausing: Pausing) -> None:
    with OpenLoop(pausing.address, 1, 1, [PING]) as loop:
        paced = loop.paced(Timetable(100.0, 20))
    assert paced.latencies.count == paced.requests == 20
    # One client: the second request, due at 10 ms, is sent at 300 ms at the earliest. Counted from the sending, all
    # but the first would be quick.
    assert paced.latencies.largest >= 300
    assert paced.latencies.percentile(50) >= 150
    assert paced.seconds >= 0.3


def row(late: int, busy: float) -> OpenLoopRow:
    paced = Paced(of([1.0, 2.0]), 1000, 1.0, late, busy)
    return OpenLoopRow(Workload("w", 50, 1, 100), "leto", 0.5, [2000.0], [paced])


@pytest.mark.parametrize(
    ("late", "busy", "kept"), [(0, 0.5, True), (10, 0.95, True), (11, 0.5, False), (0, 0.96, False)]
)
def test_a_generator_that_is_late_or_busy_all_the_time_is_told(late: int, busy: float, kept: bool) -> None:
    value = row(late, busy).as_json()
    assert value["kept_timetable"] is kept
    assert (value["rate"], value["achieved"], value["requests"], value["max_ms"]) == (1000.0, 1000.0, 2, 2.0)
    assert value["p50_ms"] <= value["p90_ms"] <= value["p99_ms"] <= value["p999_ms"] <= value["max_ms"]
