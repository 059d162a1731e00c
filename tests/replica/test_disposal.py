"""Waste is freed in slices between others' turns, and waits for a snapshot."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from leto.reactor.stalls import StallMeter
from leto.replica.disposal import REST_SECONDS, SLICE_SECONDS, STEP, WAIT_SECONDS, Disposal


class Slow:
    """A machine that frees STEP objects in less than a quarter of a slice."""

    def __init__(self, clock: Clock, steps: int) -> None:
        self._clock = clock
        self.steps = steps
        self.is_needed = False

    @property
    def has_waste(self) -> bool:
        return self.steps > 0

    def free_waste(self, count: int) -> bool:
        assert count == STEP
        if self.is_needed or not self.steps:
            return False
        self.steps -= 1
        self._clock.rightNow += SLICE_SECONDS / 4.5
        return True


def disposal(clock: Clock, machine: Any) -> Disposal:
    return Disposal(clock, machine, StallMeter())


def test_it_works_in_slices_and_rests_between_them() -> None:
    clock = Clock()
    machine = Slow(clock, 12)
    disposal(clock, machine).begin()
    left = [machine.steps]
    while clock.getDelayedCalls():
        clock.advance(REST_SECONDS)
        left.append(machine.steps)
    assert left == [12, 7, 2, 0]


def test_while_a_snapshot_needs_it_it_waits() -> None:
    clock = Clock()
    machine = Slow(clock, 1)
    machine.is_needed = True
    freeing = disposal(clock, machine)
    freeing.begin()
    freeing.begin()
    clock.advance(0)
    assert [call.getTime() for call in clock.getDelayedCalls()] == [WAIT_SECONDS]
    machine.is_needed = False
    clock.advance(WAIT_SECONDS)
    assert (machine.steps, clock.getDelayedCalls()) == (0, [])


def test_stopped_it_leaves_no_call_behind() -> None:
    clock = Clock()
    freeing = disposal(clock, Slow(clock, 1))
    freeing.begin()
    freeing.stop()
    freeing.stop()
    assert clock.getDelayedCalls() == []
