"""Power lost at every single disk operation: nothing acknowledged is lost, nothing cut comes back, no start refused."""

from __future__ import annotations

from random import Random

import pytest
from power_loss import Machine


@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.soak)])
def test_power_lost_at_every_operation_of_one_run(seed):
    """The same 25 steps again and again, dying one operation later each time."""
    crash_at = 1
    while True:
        machine = Machine(seed)
        if not machine.run(25, machine.disk.operations + crash_at):
            break
        machine.run(3)
        crash_at += 3
    assert crash_at > 200, "the run is long enough to mean something"


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_power_lost_again_and_again(fsync):
    for seed in range(40):
        machine = Machine(seed, fsync=fsync)
        random = Random(seed)
        for _ in range(4):
            machine.run(30, machine.disk.operations + random.randint(1, 400))


def test_the_simulated_disk_forgets():
    """The test bites: without the log's sync an acknowledged write is lost."""
    found = 0
    for seed in range(30):
        machine = Machine(seed)
        machine.store._fsync = "no"
        try:
            machine.run(20, machine.disk.operations + 150)
        except AssertionError as error:
            assert "expected one of" in str(error)
            found += 1
    assert found
