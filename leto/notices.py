"""Log lines about what others do, kept few: a line that repeats within a while is counted, the count told later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

REPEAT_SECONDS: Final = 10.0
_REMEMBERED: Final = 512  # kinds of lines; the ones said longest ago are forgotten first


class Notices:
    """Says each line (known by its key) at most once in REPEAT_SECONDS."""

    def __init__(self, log: Logger, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._said: OrderedDict[object, tuple[float, int]] = OrderedDict()  # key -> when, times swallowed since

    def info(self, key: object, format: str, **fields: Any) -> None:
        """`format` as twisted.logger takes it."""
        self._say(LogLevel.info, key, format, fields)

    def warn(self, key: object, format: str, **fields: Any) -> None:
        """`format` as twisted.logger takes it."""
        self._say(LogLevel.warn, key, format, fields)

    def failure(self, key: object, format: str, failure: Failure, **fields: Any) -> None:
        """With the traceback of `failure`."""
        self._say(LogLevel.critical, key, format, {**fields, "log_failure": failure})

    def forget(self, key: object) -> None:
        """What it was about is over: the next time is news again."""
        self._said.pop(key, None)

    def _say(self, level: Any, key: object, format: str, fields: dict[str, Any]) -> None:
        now = self._now()
        said = self._said.get(key)
        swallowed = 0
        if said is not None:
            when, swallowed = said
            if now - when < REPEAT_SECONDS:
                self._said[key] = when, swallowed + 1
                return
        if swallowed:
            format += " (and {swallowed} times more since the last such line)"
            fields["swallowed"] = swallowed
        self._said[key] = now, 0
        self._said.move_to_end(key)
        if len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        self._log.emit(level, format, **fields)
