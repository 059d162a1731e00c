"""Whether a history of concurrent operations on one object could have happened one after another.

Wing and Gong's search with Lowe's memoisation (2016): linearize any operation whose call precedes every return that
is still open, remember each (set of linearized operations, state) that led nowhere, and go back. An operation whose
outcome is unknown has no return: it may take effect at any time after its call, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

State = TypeVar("State", bound=Hashable)
NEVER = 1 << 62
UNKNOWN = object()


class Undecided(Exception):
    """The search was given up: the history is too concurrent."""


@dataclass(frozen=True, slots=True)
class Event:
    """One operation: when it was called and answered (any strictly growing numbers), what it asked, what it got.

    `returned` NEVER: the outcome is unknown."""

    called: int
    returned: int
    request: Any
    output: Any = None

    @property
    def is_unknown(self) -> bool:
        return self.returned == NEVER


@dataclass(frozen=True, slots=True)
class Model(Generic[State]):
    """A sequential object: `step(state, request, output)` gives the state after that answer to the request, None if it
    cannot be the answer. `output` is UNKNOWN where the client never got one."""

    initial: State
    step: Callable[[State, Any, Any], State | None]


class _Node:
    __slots__ = ("before", "event", "id", "match", "next")

    def __init__(self, id_: int, event: Event, match: _Node | None) -> None:
        self.id = id_
        self.event = event
        self.match = match  # of a call: its return
        self.before: _Node | None = None
        self.next: _Node | None = None


def linearization(history: Sequence[Event], model: Model[Any], budget: int = 2_000_000) -> list[Event] | None:
    """An order that explains the history, or None if there is none. Raises Undecided after `budget` steps."""
    head = _linked(history)
    certain = 0
    for number, event in enumerate(history):
        if not event.is_unknown:
            certain |= 1 << number
    done = 0
    state = model.initial
    seen: set[tuple[int, Any]] = set()
    stack: list[tuple[_Node, Any]] = []
    entry = head.next
    while done & certain != certain:
        budget -= 1
        if budget < 0:
            raise Undecided(f"{len(history)} operations")
        assert entry is not None
        if entry.match is not None:
            event = entry.event
            after = model.step(state, event.request, UNKNOWN if event.is_unknown else event.output)
            if after is not None:
                key = (done | 1 << entry.id, after)
                if key not in seen:
                    seen.add(key)
                    stack.append((entry, state))
                    done, state = key
                    _lift(entry)
                    entry = head.next
                    continue
            entry = entry.next
        else:
            if not stack:
                return None
            entry, state = stack.pop()
            done &= ~(1 << entry.id)
            _unlift(entry)
            entry = entry.next
    return [node.event for node, _ in stack]


def _linked(history: Sequence[Event]) -> _Node:
    """Calls and returns in the order of time, behind a head."""
    points: list[tuple[int, int, _Node]] = []
    for number, event in enumerate(history):
        back = _Node(number, event, None)
        points.append((event.called, 0, _Node(number, event, back)))
        points.append((event.returned, 1 + number, back))
    points.sort(key=lambda point: point[:2])
    head = _Node(-1, Event(0, 0, None), None)
    last = head
    for _, _, node in points:
        node.before, last.next = last, node
        last = node
    return head


def _lift(node: _Node) -> None:
    for each in (node, node.match):
        assert each is not None and each.before is not None
        each.before.next = each.next
        if each.next is not None:
            each.next.before = each.before


def _unlift(node: _Node) -> None:
    for each in (node.match, node):
        assert each is not None and each.before is not None
        each.before.next = each
        if each.next is not None:
            each.next.before = each
