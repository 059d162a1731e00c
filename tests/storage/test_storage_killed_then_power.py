"""A process that is killed leaves its work in the page cache: what the next one finds there it may promise again, so it
must be durable before it does."""

import pytest

from leto.raft.messages import HardState
from leto.twins.disk import PowerLost, SimulatedDisk
from tests.storage.directories import DIRECTORY, IDENTITY, commands, log_of, open_store, take


def kill_at(operation: int) -> tuple[SimulatedDisk, int]:
    """A disk whose node was killed ahead of that operation; and how many operations there were, if it was not."""
    disk = SimulatedDisk()

    def before(name: str, path: str) -> None:
        if disk.operations == operation:
            raise PowerLost

    disk.before = before
    try:
        store = open_store(disk)
        store.identify(IDENTITY)
        store.write(HardState(1, "id1"), [], True)
        store.write(None, commands(1, 60, size=200), True)
        store.write(None, commands(60, 120, size=200), True)
        take(store, 80)
        store.compact(80)
        store.write(HardState(2, ""), commands(110, 130, term=2, size=200), True)
        store.close()
    except PowerLost:
        pass
    disk.before = None
    disk.life += 1
    disk.locks.clear()
    return disk, disk.operations


def durable(disk: SimulatedDisk) -> SimulatedDisk:
    """The disk after a loss of power that takes all that was not synced."""
    files = {}
    for path, directory in disk._directories.items():
        if path != "/":
            files[f"{path}/"] = b""
        files.update({f"{path}/{name}": bytes(inode.durable) for name, inode in directory.durable.items()})
    return SimulatedDisk.of(files)


OPERATIONS = kill_at(0)[1]


@pytest.mark.parametrize("operation", range(1, OPERATIONS + 1))
def test_what_a_start_finds_after_a_kill_survives_the_next_loss_of_power(operation: int):
    disk, _ = kill_at(operation)
    store = open_store(disk)
    if store.identity is None:
        return  # nothing was promised yet; the directory is made anew
    entries = log_of(store)
    more = commands(store.last_index + 1, store.last_index + 3, term=3)
    store.write(HardState(3, "id2"), more, True)  # and acknowledged: from here on it must be there

    after = open_store(durable(disk))
    assert after.identity == IDENTITY
    assert (after.hard_state.term, after.hard_state.vote) == (3, "id2")
    assert after.last_index == more[-1].index
    assert log_of(after)[-len(entries + more) :] == (entries + more)[-len(log_of(after)) :]
    assert after.first_index <= (after.snapshot.index if after.snapshot is not None else 0) + 1
    assert after.directory == DIRECTORY
