"""A process killed at each named step: the directory opens, shows the state before or after the step, and goes on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from leto.raft.messages import HardState, SnapshotMeta
from leto.storage import FileStore, faultpoints, snapshot_file
from leto.twins.store import MemoryStore
from tests.storage.directories import CONFIGURATION, IDENTITY, commands, configuration_entry


def meta(index, term):
    return SnapshotMeta(index, term, CONFIGURATION, 1)


def take(store, index, term, size):
    sink = store.create_snapshot(meta(index, term))
    sink.write(bytes(size // 2))
    sink.write(bytes(size - size // 2))
    sink.commit()


def receive_and_install(store, index, term):
    sink = store.receive_snapshot(meta(index, term), 200_000)
    sink.write(bytes(200_000 - sink.offset))
    sink.commit()
    store.install_snapshot(meta(index, term))


STEPS = [
    lambda s: s.identify(IDENTITY),
    lambda s: s.write(HardState(1, "id1"), [], True),
    lambda s: s.write(None, [configuration_entry(1)], True),
    lambda s: s.write(HardState(1, "id1", 1), [], False),
    lambda s: s.write(None, commands(2, 5), True),
    lambda s: s.write(None, commands(5, 30, size=700), True),  # rotates several times
    lambda s: s.write(HardState(2, ""), [], True),
    lambda s: s.write(None, commands(22, 24, term=2), True),  # replaces a suffix
    lambda s: s.write(HardState(3, "id2"), commands(24, 40, term=3, size=700), True),
    lambda s: take(s, 10, 1, 1 << 20),
    lambda s: take(s, 20, 1, 100),
    lambda s: s.compact(15),
    lambda s: take(s, 30, 3, 100),
    lambda s: receive_and_install(s, 35, 3),  # the log's suffix stays
    lambda s: s.write(None, commands(40, 42, term=3), True),
    lambda s: receive_and_install(s, 90, 3),  # the log is replaced
    lambda s: s.write(HardState(4, "id1", 91), commands(91, 95, term=4), True),
]


def state(store):
    """All that the node is, but where its log begins."""
    snapshot = store.snapshot
    covered = snapshot.index if snapshot is not None else 0
    hard_state = store.hard_state
    entries = store.entries(covered + 1, store.last_index + 1, 1 << 30)
    return store.identity, hard_state.term, hard_state.vote, snapshot, entries


def expected():
    store = MemoryStore()
    states = [state(store)]
    for step in STEPS:
        step(store)
        states.append(state(store))
    return states


STATES = expected()


def run_steps(path, begin=0, report=lambda number: None):
    store = FileStore.open(str(path), segment_bytes=4096, clock=lambda: 0.0)
    for number in range(begin, len(STEPS)):
        STEPS[number](store)
        report(number + 1)
    store.close()


def killed(path, setting) -> int:
    """Run the steps in a process of its own that dies at the fault point; how many steps it had done."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            faultpoints.arm_from(setting)
            run_steps(path, report=lambda number: os.write(writer, b"."))
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        done = len(pipe.read())
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) == faultpoints.EXIT_STATUS, f"{setting} was not reached"
    return done


@pytest.fixture(autouse=True)
def small_syncs(monkeypatch):
    monkeypatch.setattr(snapshot_file, "SYNC_BYTES", 1 << 18)


@pytest.fixture(scope="module")
def passes(tmp_path_factory):
    """How often one run of the steps passes each point."""
    many = 1 << 30
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_file, "SYNC_BYTES", 1 << 18)
        for point in faultpoints.POINTS:
            faultpoints.arm(point, many)
        try:
            run_steps(tmp_path_factory.mktemp("all"))
            return {point: many - faultpoints.remaining(point) for point in faultpoints.POINTS}
        finally:
            faultpoints.disarm()


@pytest.mark.parametrize("which", ["first", "last"])
@pytest.mark.parametrize("point", faultpoints.POINTS)
def test_killed_at(ram_path, passes, point, which):
    done = killed(ram_path, f"{point}:{1 if which == 'first' else passes[point]}")
    store = FileStore.open(str(ram_path), segment_bytes=4096)
    found = state(store)
    store.close()
    before, after = STATES[done], STATES[min(done + 1, len(STEPS))]
    begin = done
    if found == after:
        begin = done + 1
    elif found != before:
        # a write of several entries: term and vote first, then some of the entries
        assert (found[0], found[3]) == (before[0], before[3])
        assert (found[1:3]) in (before[1:3], after[1:3])
        entries = found[4]
        assert entries in (before[4], after[4][: len(entries)])
    run_steps(ram_path, begin)
    store = FileStore.open(str(ram_path), segment_bytes=4096)
    assert state(store) == STATES[-1]
    assert store.recovered == []
    store.close()


def test_every_point_is_named_once_and_reached_somewhere():
    assert len(set(faultpoints.POINTS)) == len(faultpoints.POINTS)


def test_the_environment_variable_arms_a_point(tmp_path):
    code = (
        "import sys\n"
        "from leto.storage import FileStore\n"
        "from leto.interfaces.store import Identity\n"
        "FileStore.open(sys.argv[1]).identify(Identity('0' * 32, 'a'))\n"
    )
    environment = {**os.environ, faultpoints.VARIABLE: "identify.done"}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, timeout=30, check=False)
    assert done.returncode == faultpoints.EXIT_STATUS


@pytest.mark.parametrize("setting", ["nonsense", "append.written:x", "append.written:0", "append.written:-1"])
def test_nonsense_arms_nothing(setting):
    with pytest.raises(ValueError, match=r"fault point|count"):
        faultpoints.arm_from(setting)


def test_a_point_acts_once_at_its_count():
    acted = []
    faultpoints.arm("append.written", 3, lambda: acted.append(len(acted)))
    try:
        for _ in range(10):
            faultpoints.reach("append.written")
            faultpoints.reach("append.synced")
    finally:
        faultpoints.disarm()
    assert acted == [0]
