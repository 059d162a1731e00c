"""What a keyspace leaves behind when it is emptied or replaced, freed in pieces: a million records in one go would
take 150 ms of everybody's time. Nothing of the state is here, and nobody can tell when it goes."""

from __future__ import annotations

from typing import Any


class Waste:
    """Dictionaries and lists that nobody else needs."""

    __slots__ = ("_containers", "walks")

    def __init__(self) -> None:
        self.walks = 0  # reads that take several steps, and may have begun with what is waste by now
        self._containers: list[tuple[Any, int]] = []  # with what one of its items counts

    def __bool__(self) -> bool:
        return bool(self._containers)

    def add(self, container: dict[Any, Any] | list[Any], weight: int = 1) -> None:
        """Take it over: its items are freed from now on. `weight`: objects in each, about."""
        if container:
            self._containers.append((container, weight))

    def free(self, count: int) -> None:
        """About so many objects."""
        containers = self._containers
        while containers and count > 0:
            container, weight = containers[-1]
            items = min(len(container), max(1, count // weight))
            if isinstance(container, dict):
                pop = container.popitem
                for _ in range(items):
                    pop()
            else:
                del container[len(container) - items :]
            if not container:
                containers.pop()
            count -= items * weight
