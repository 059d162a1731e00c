"""Frees what FLUSHALL, or a snapshot that was taken over, has left behind: in slices, between everybody's turns."""

from __future__ import annotations

from typing import Any

from leto.interfaces.machine import StateMachine
from leto.reactor.stalls import StallMeter

SLICE_SECONDS = 0.001
REST_SECONDS = 0.004  # between two slices: a request's way takes several turns, and each may meet one
STEP = 200  # objects freed between two looks at the clock
WAIT_SECONDS = 0.1  # between two looks whether the snapshot that may still need it is complete


class Disposal:
    """Runs whenever the machine has waste."""

    def __init__(self, clock: Any, machine: StateMachine, meter: StallMeter) -> None:
        self._clock = clock
        self._machine = machine
        self._meter = meter
        self._call: Any = None

    def begin(self) -> None:
        """There is waste."""
        if self._call is None:
            self._call = self._clock.callLater(0, self._slice)

    def stop(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _slice(self) -> None:
        self._call = None
        machine, seconds = self._machine, self._clock.seconds
        if not machine.has_waste:
            return
        began = seconds()
        freed = machine.free_waste(STEP)
        while freed and seconds() - began < SLICE_SECONDS:
            freed = machine.free_waste(STEP)
        self._meter.spent("disposal", seconds() - began)
        if machine.has_waste:
            self._call = self._clock.callLater(REST_SECONDS if freed else WAIT_SECONDS, self._slice)
