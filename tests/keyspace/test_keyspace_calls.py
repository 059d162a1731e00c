"""What the commonest entries cost to apply, in calls of Python's functions: times tell less on busy machines."""

from __future__ import annotations

import sys
import time

import pytest

from leto.keyspace.effects import Kind
from leto.keyspace.machine import Machine
from tests.keyspace.batches import entry


def calls(machine: Machine, *requests) -> list[str]:
    """Functions of Python's that applying these, which were applied before, calls."""
    machine.seconds = time.monotonic  # as in a node: no function of Python's
    machine.apply(entry(1, *requests))
    made, found = entry(2, *requests), []

    def note(frame, event, argument):
        if event == "call":
            found.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        machine.begin(made)
    finally:
        sys.setprofile(before)
    return found


@pytest.mark.parametrize(
    ("requests", "most"),
    [
        (["SET a 1"], 5),
        (["SET a 1"] * 50, 5),
        (["INCR a"], 10),
        (["INCR a"] * 10, 6 + 10 * 5),
        ([["", "INCR a", "INCR b"]], 19),
        ([["", "SET a 1", "SET b 2"]], 11),
    ],
    ids=["SET", "50 SETs", "INCR", "10 INCRs", "EXEC of INCRs", "EXEC of SETs"],
)
def test_an_entry_is_applied_by_so_few_calls(requests: list, most: int) -> None:
    found = calls(Machine(random=lambda: 0.5), *requests)
    assert len(found) <= most, found


@pytest.mark.parametrize("request_", ["SET a 1", "SET a 1 EX 9", "INCR a", ["", "SET a 1", "APPEND a 2"]])
def test_effects_cost_no_call_while_nobody_watches(request_) -> None:
    plain, watched = Machine(random=lambda: 0.5), Machine(random=lambda: 0.5)
    watched.watch(Kind.CHANGES)
    noted = [
        [name for name in calls(machine, request_) if "Noting." in name or name.endswith(".note")]
        for machine in (plain, watched)
    ]
    assert noted[0] == []
    assert noted[1] != []
