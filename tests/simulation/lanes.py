"""Which lanes of the core (leto.raft.lanes) a run takes: the seed decides.

A lane does what the general way does, so a run's trace is the same with all of them, none, or now and then one. The
code under test has no switch for them: where one is off, it is as if it were never entered.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from leto.raft import lanes

LANES = {"follow": False, "replicate": False, "acknowledge": None, "advance": False}  # name -> "not entered"
MODES = ("all", "none", "some", "nodes", "chance")
BUG = "lane-"  # how the names of bugs that are planted in lanes begin


def mode_of(seed: int, bug: str) -> str:
    """A bug is planted in the lanes, or in the general way: that way is gone then."""
    if bug:
        return "all" if bug.startswith(BUG) else "none"
    return Random(f"{seed} lanes").choice(MODES)


@contextmanager
def taken(mode: str, seed: int) -> Iterator[None]:
    """While this lasts. `some`: of the lanes, by all nodes; `nodes`: all, by some nodes; `chance`: each time anew."""
    draw = Random(f"{seed} lanes taken")
    some = {name for name in LANES if draw.random() < 0.5}
    nodes: dict[str, bool] = {}

    def takes(name: str, node: str) -> bool:
        if mode == "some":
            return name in some
        if mode == "nodes":
            return nodes.setdefault(node, Random(f"{seed} lanes {node}").random() < 0.5)
        return mode == "all" or (mode == "chance" and draw.random() < 0.5)

    def switched(name: str) -> Any:
        lane, not_entered = getattr(lanes, name), LANES[name]
        return lambda s, *input: lane(s, *input) if takes(name, s.id) else not_entered

    with ExitStack() as stack:
        if mode != "all":
            for name in LANES:
                stack.enter_context(patch.object(lanes, name, switched(name)))
        yield
