"""Power lost at every single disk operation: nothing acknowledged is lost, nothing cut comes back, no start refused."""

from __future__ import annotations

from random import Random

import pytest

from leto.errors import StorageError
from leto.storage import hard_state, recovery
from tests.storage.power_loss import Machine


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


def syncs_fail_and_power_goes(seed: int, fsync: str = "always") -> None:
    machine = Machine(seed, fsync=fsync)
    random = Random(seed)
    for _ in range(4):
        machine.run(30, fail_at=machine.disk.operations + random.randint(1, 200))
        machine.run(3, machine.disk.operations + random.randint(1, 60))


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_syncs_that_fail_and_power_lost_after_the_restart(fsync):
    for seed in range(40):
        syncs_fail_and_power_goes(seed, fsync)


def synced_alone(last, data, found, mark):
    last.file.sync()


def written_where_needed(self, file, owner):
    self._file, self._owner = file, owner
    current, stale = hard_state.read(file, owner)
    self._version, self.state = current
    self.repaired = bool(stale)
    for copy in stale:
        self._write_copy(copy, hard_state.encode(owner, self._version, self.state))


@pytest.mark.parametrize(
    ("holder", "name", "planted"),
    [(recovery, "_write_again", synced_alone), (hard_state.HardStateFile, "__init__", written_where_needed)],
    ids=["log", "hard state"],
)
def test_what_a_failed_sync_left_must_be_written_again(monkeypatch, holder, name, planted):
    """The test bites: a start that only syncs what it reads promises what the page cache alone holds."""
    monkeypatch.setattr(holder, name, planted)
    with pytest.raises((AssertionError, StorageError)):
        for seed in range(200):
            syncs_fail_and_power_goes(seed)


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
