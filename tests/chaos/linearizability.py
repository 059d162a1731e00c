"""Is a history of operations linearizable? The just-in-time algorithm of Wing, Gong and Lowe, memoised.

J. Wing, C. Gong: Testing and Verifying Concurrent Objects (1993); G. Lowe: Testing for Linearizability (2017).

The events of a history are taken in the order of their times. A set of configurations, each a state of the model and
the set of open operations that have taken effect in it, is carried along; an operation is given its effect no earlier
than some completion demands it. An operation that never completed may take effect at any time after its invocation,
or never: so of two configurations that differ only in that one has used up more of those, the other one covers it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

BUDGET = 200_000  # configurations looked at for one history before it is left undecided
SHOWN = 40  # operations and states named in an explanation

UNKNOWN = math.inf  # `completed` of an operation of which nobody knows whether it took effect


@dataclass(slots=True)
class Operation:
    """One operation on the object: `action` is the model's. Times are seconds of one clock.

    `after`: the position in the history of an operation that must take effect before this one, if it is known to
    have taken effect at all (sent earlier on the same connection); -1 for none. `who` is for explanations.
    """

    invoked: float
    completed: float
    action: Hashable
    result: Any = None
    after: int = -1
    who: str = ""

    @property
    def is_known(self) -> bool:
        return self.completed != UNKNOWN


class Answer(Enum):
    LINEARIZABLE = "linearizable"
    VIOLATION = "violation"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Verdict:
    answer: Answer
    explanation: str = ""
    visited: int = 0  # configurations looked at


Step = Callable[[Any, Any], tuple[Any, Any]]  # (state, action) -> (state, result)


def check(
    history: Sequence[Operation],
    initial: Hashable,
    step: Step,
    *,
    feasible: Callable[[Any], bool] | None = None,
    passive: Callable[[Any], bool] | None = None,
    budget: int = BUDGET,
) -> Verdict:
    """Judge a history of one object. `step` is its sequential specification: states and actions are hashable.

    `passive`: True for an action that, where it can take effect without changing the state, need not be tried any
    later: reads, and whatever changes nothing later once it changes nothing now. It prunes the search.

    `feasible`: False for a state that cannot be gone through given what is observed later; it prunes the search, and
    must follow from the specification alone. Operations that were refused do not belong into the history.
    """
    return _Search(history, initial, step, feasible, passive, budget).run()


class _Search:
    def __init__(
        self,
        history: Sequence[Operation],
        initial: Hashable,
        step: Step,
        feasible: Callable[[Any], bool] | None,
        passive: Callable[[Any], bool] | None,
        budget: int,
    ) -> None:
        self.history = history
        self.step = step
        self.feasible = feasible
        self.budget = budget
        self.visited = 0
        self.open: list[int] = []  # invoked, and not both completed and taken effect
        self.closed: set[int] = set()
        self.passive = [
            passive is not None and operation.is_known and passive(operation.action) for operation in history
        ]
        self.unknown = 0  # mask of the operations that never completed
        self.configurations: set[tuple[Any, int]] = {(initial, 0)}  # (state, mask of open operations in effect)
        for position, operation in enumerate(history):
            if not operation.is_known:
                self.unknown |= 1 << position

    def run(self) -> Verdict:
        events: list[tuple[float, int, int]] = []
        for position, operation in enumerate(self.history):
            if operation.completed < operation.invoked:
                raise ValueError(f"operation {position} completed before it was invoked")
            events.append((operation.invoked, 0, position))  # at equal times concurrent: the weaker claim
            if operation.is_known:
                events.append((operation.completed, 1, position))
        for _, kind, position in sorted(events):
            if kind == 0:
                self.open.append(position)
                continue
            before = self.configurations
            self.configurations = self._complete(position)
            if self.visited > self.budget:
                return Verdict(Answer.UNDECIDED, f"more than {self.budget} configurations", self.visited)
            if not self.configurations:
                return Verdict(Answer.VIOLATION, self._explain(position, before), self.visited)
            self.open.remove(position)
            self.closed.add(position)
        return Verdict(Answer.LINEARIZABLE, "", self.visited)

    def _complete(self, position: int) -> set[tuple[Any, int]]:
        """Every configuration in which the operation at `position` has taken effect by now."""
        bit = 1 << position
        found: set[tuple[Any, int]] = set()
        frontier: list[tuple[Any, int]] = []
        seen = _Antichain(self.unknown)
        for state, before in self.configurations:
            done = self._absorbed(state, before)
            if done & bit:
                found.add((state, done & ~bit))
            elif seen.add(state, done):
                frontier.append((state, done))
        while frontier:
            following: list[tuple[Any, int]] = []
            for state, done in frontier:
                self.visited += 1
                for new_state, new_done in self._successors(state, done):
                    if new_done & bit:
                        found.add((new_state, new_done & ~bit))
                    elif seen.add(new_state, new_done):
                        following.append((new_state, new_done))
            if self.visited > self.budget:
                break
            frontier = following
        kept = _Antichain(self.unknown)
        ordered = sorted(found, key=lambda configuration: configuration[1].bit_count())
        return {configuration for configuration in ordered if kept.add(*configuration)}

    def _absorbed(self, state: Any, done: int) -> int:
        """`done`, with every open passive operation that can take effect now and changes nothing."""
        for position in self.open:
            if self.passive[position] and not done >> position & 1:
                operation = self.history[position]
                if self._may_follow(operation.after, done):
                    new_state, result = self.step(state, operation.action)
                    if new_state == state and result == operation.result:
                        done |= 1 << position
        return done

    def _successors(self, state: Any, done: int) -> list[tuple[Any, int]]:
        """The configurations after one more open operation has taken effect."""
        found = []
        tried: set[Hashable] = set()
        for other in self.open:
            if done >> other & 1:
                continue
            operation = self.history[other]
            if not self._may_follow(operation.after, done):
                continue
            if not operation.is_known:
                if operation.action in tried:
                    continue  # the like of one that is tried already
                tried.add(operation.action)
            new_state, result = self.step(state, operation.action)
            if operation.is_known:
                if result != operation.result:
                    continue
            elif new_state == state:
                continue  # as if it never took effect
            if self.feasible is not None and not self.feasible(new_state):
                continue
            found.append((new_state, self._absorbed(new_state, done | 1 << other)))
        return found

    def _may_follow(self, predecessor: int, done: int) -> bool:
        if predecessor < 0 or predecessor in self.closed or self.unknown >> predecessor & 1:
            return True
        return bool(done >> predecessor & 1)

    def _explain(self, position: int, before: set[tuple[Any, int]]) -> str:
        operation = self.history[position]
        states = sorted({repr(state) for state, _ in before})
        lines = [f"no order of operations explains {_describe(position, operation)}", "states possible before it:"]
        lines += [f"    {state}" for state in states[:SHOWN]]
        lines.append("open operations:")
        lines += [f"    {_describe(other, self.history[other])}" for other in self.open[-SHOWN:] if other != position]
        lines.append("completed before:")
        past = sorted(self.closed, key=lambda other: self.history[other].completed)
        lines += [f"    {_describe(other, self.history[other])}" for other in past[-SHOWN:]]
        return "\n".join(lines)


class _Antichain:
    """Configurations of which none is covered by another: the same state and known operations, and no more of the
    operations that may never take effect."""

    def __init__(self, unknown: int) -> None:
        self._unknown = unknown
        self._used: dict[tuple[Any, int], list[int]] = {}

    def add(self, state: Any, done: int) -> bool:
        """False if one that was added covers it."""
        used = done & self._unknown
        others = self._used.setdefault((state, done & ~self._unknown), [])
        if any(other & used == other for other in others):
            return False
        others[:] = [other for other in others if other & used != used]
        others.append(used)
        return True


def _describe(position: int, operation: Operation) -> str:
    until = f"{operation.completed:.4f}" if operation.is_known else "?"
    result = repr(operation.result) if operation.is_known else "unknown"
    order = f" after #{operation.after}" if operation.after >= 0 else ""
    return f"#{position} [{operation.invoked:.4f}, {until}] {operation.who} {operation.action!r} -> {result}{order}"
