"""Log lines about what others do, kept few: a line that repeats within a while is counted, the count told later.

A key is a tuple: first the kind of line, which this node chooses, then what tells one subject from another, such as
the address. Others may choose addresses and names; so the lines of one kind are bounded too, whatever they are about.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

REPEAT_SECONDS: Final = 10.0
KIND_LINES: Final = 16  # of one kind in that time, about however many subjects
_REMEMBERED: Final = 512  # subjects; the ones said longest ago are forgotten first

Key = tuple[Hashable, ...]


class _Kind:
    """The lines of one kind in the current stretch of REPEAT_SECONDS."""

    __slots__ = ("began", "lines", "swallowed")

    def __init__(self, began: float) -> None:
        self.began = began
        self.lines = 0
        self.swallowed = 0


class Notices:
    """Says each line (known by its key) at most once in REPEAT_SECONDS, and KIND_LINES of each kind."""

    def __init__(self, log: Logger, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._said: OrderedDict[Key, tuple[float, int]] = OrderedDict()  # key -> when, times swallowed since
        self._kinds: dict[Hashable, _Kind] = {}

    def info(self, key: Key, format: str, **fields: Any) -> bool:
        """`format` as twisted.logger takes it. Whether it was said now."""
        return self._say(LogLevel.info, key, format, fields)

    def warn(self, key: Key, format: str, **fields: Any) -> bool:
        """`format` as twisted.logger takes it. Whether it was said now."""
        return self._say(LogLevel.warn, key, format, fields)

    def failure(self, key: Key, format: str, failure: Failure, **fields: Any) -> bool:
        """With the traceback of `failure`. Whether it was said now."""
        return self._say(LogLevel.critical, key, format, {**fields, "log_failure": failure})

    def forget(self, *prefix: Hashable) -> None:
        """What keys that begin so were about is over: the next time is news again."""
        for key in [key for key in self._said if key[: len(prefix)] == prefix]:
            del self._said[key]

    def _say(self, level: Any, key: Key, format: str, fields: dict[str, Any]) -> bool:
        now = self._now()
        said = self._said.get(key)
        swallowed = 0
        if said is not None:
            when, swallowed = said
            if now - when < REPEAT_SECONDS:
                self._said[key] = when, swallowed + 1
                return False
        kind = self._kinds.get(key[0])
        if kind is None:
            kind = self._kinds[key[0]] = _Kind(now)
        others = 0
        if now - kind.began >= REPEAT_SECONDS:
            others = kind.swallowed
            kind.began, kind.lines, kind.swallowed = now, 0, 0
        if kind.lines >= KIND_LINES:
            kind.swallowed += 1
            return False
        kind.lines += 1
        if swallowed:
            format += " (and {swallowed} times more since the last such line)"
            fields["swallowed"] = swallowed
        if others:
            format += " (and {others} such lines about others were left out)"
            fields["others"] = others
        self._said[key] = now, 0
        self._said.move_to_end(key)
        if len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        self._log.emit(level, format, **fields)
        return True
