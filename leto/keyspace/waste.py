"""What a keyspace leaves behind when it is emptied or replaced, or a large value, freed in pieces: a million records in
one go would take 150 ms of everybody's time. Nothing of the state is here, and nobody can tell when it goes."""

from __future__ import annotations

from typing import Any

from leto.keyspace.packing import Unpacked
from leto.keyspace.types.parts import Part, Parts
from leto.keyspace.types.value import Value


class Waste:
    """Dictionaries and lists that nobody else needs."""

    __slots__ = ("_containers", "_values", "waits", "walks")

    def __init__(self) -> None:
        self.waits = False  # something does: looked at with each entry, so no question
        self.walks = 0  # reads that take several steps, and may have begun with what is waste by now
        self._containers: list[tuple[Any, int]] = []  # with what one of its items counts; 0: segments of records
        self._values: list[tuple[list[Part], int]] = []  # parts of large values, with how many elements each has, about

    def __bool__(self) -> bool:
        return self.waits

    def add(self, container: dict[Any, Any] | list[Any], weight: int = 1) -> None:
        """Take it over: its items are freed from now on. `weight`: objects in each, about."""
        if container:
            self._containers.append((container, weight))
            self.waits = True

    def add_segments(self, segments: list[dict[str, Any]]) -> None:
        """add() of a table of records, the same segment once or more in a row: neither a segment nor a large value is
        freed in one go."""
        self._containers.append((segments, 0))
        self.waits = True

    def add_value(self, value: Any) -> None:
        """A value that is under no key any more. Only what is large has to wait."""
        if isinstance(value, Value) and isinstance(value.content, Parts):
            self.add_parts(value.content.parts.copy())

    def add_parts(self, parts: list[Part]) -> None:
        """Parts of a large value that it has no more. The list is taken over."""
        if len(parts) > 1:
            self._values.append((parts, len(parts[len(parts) // 2].items)))
            self.waits = True

    def free(self, count: int) -> None:
        """About so many objects."""
        containers = self._containers
        while containers and count > 0:
            container, weight = containers[-1]
            items = min(len(container), max(1, count // (weight or 1)))
            if not weight:
                count -= self._free_segment(container, count)
            elif isinstance(container, dict):
                pop = container.popitem
                for _ in range(items):
                    pop()
            else:
                del container[len(container) - items :]
            if not container:
                containers.pop()
            count -= items * weight
        self.free_values(count)
        self.waits = bool(containers or self._values)

    def free_values(self, count: int) -> bool:
        """About so many elements of large values: False if there is none. A snapshot or a walk that needs a part has it
        still."""
        values = self._values
        if not values:
            return False
        while values and count > 0:
            parts, weight = values[-1]
            items = min(len(parts), max(1, count // weight))
            del parts[len(parts) - items :]
            if not parts:
                values.pop()
            count -= items * weight
        self.waits = bool(self._containers or values)
        return True

    def _free_segment(self, segments: list[dict[str, Any]], count: int) -> int:
        """Up to so many records of the last of them, which goes with its last one: how many objects, about."""
        segment = segments[-1]
        records = min(len(segment), count)
        pop = segment.popitem
        for _ in range(records):
            held = pop()[1]
            if held.__class__ is Unpacked:
                self.add_value(held.value)
        if not segment:
            segments.pop()
        return records + 1
