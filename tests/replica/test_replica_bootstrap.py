"""A cluster of one is made, whatever step of it a crash comes at; a joiner's directory is never taken for one."""

from __future__ import annotations

from leto.config import Address, Config
from leto.interfaces.store import Identity
from leto.replica.joining import bootstrap, needs_bootstrap
from leto.storage import FileStore
from leto.twins.disk import PowerLost, SimulatedDisk

CONFIG = Config(id="id1")
CLUSTER = "0123456789abcdef" * 2


def opened(disk: SimulatedDisk) -> FileStore:
    return FileStore.open("/data", disk=disk, random32=lambda: 7, clock=lambda: 0.0, background=False)


def killed_at(operation: int) -> tuple[SimulatedDisk, bool]:
    """A disk whose node was killed ahead of that operation of its bootstrap; False if there is no such operation."""
    disk = SimulatedDisk()
    store = opened(disk)
    disk.operations = 0

    def before(name: str, path: str) -> None:
        if disk.operations == operation:
            raise PowerLost

    disk.before = before
    try:
        bootstrap(store, CONFIG, lambda: CLUSTER)
    except PowerLost:
        return disk, True
    finally:
        disk.before = None
        disk.life += 1
        disk.locks.clear()
    return disk, False


def test_a_bootstrap_killed_at_any_step_is_finished_by_the_next_start() -> None:
    operation, killed = 1, True
    unfinished = 0
    while killed:
        disk, killed = killed_at(operation)
        store = opened(disk)
        if needs_bootstrap(store, CONFIG):
            unfinished += 1
            bootstrap(store, CONFIG, lambda: CLUSTER)
        assert (store.last_index, store.hard_state.term, store.hard_state.vote) == (1, 1, "id1"), operation
        assert not needs_bootstrap(store, CONFIG)
        store.close()
        operation += 1
    assert unfinished > 20


def test_a_joiner_that_has_no_entries_yet_makes_no_cluster() -> None:
    store = opened(SimulatedDisk())
    store.identify(Identity(CLUSTER, "id1", "joined"))
    assert not needs_bootstrap(store, CONFIG)
    assert not needs_bootstrap(store, Config(id="id1", join=(Address("127.0.0.1", 1),)))
