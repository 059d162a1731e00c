"""Where log events go and how they read: text lines for people or one JSON object a line, one event a line.

Rooms log through `twisted.logger.Logger` with a format string and fields; nothing logs a line per request.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from zope.interface import implementer

from leto.config import Config
from leto.errors import ConfigError
from leto.process import journal

LEVELS = {"debug": LogLevel.debug, "info": LogLevel.info, "warn": LogLevel.warn, "error": LogLevel.error}
_LINE_ENDS = str.maketrans({"\r": "\\r", "\n": "\\n"})


class LogSink:
    """An open log: a file appended to, or a descriptor such as stderr's. One write(2) an event."""

    def __init__(self, path: str | None, descriptor: int = 2) -> None:
        """Raises ConfigError if the file cannot be opened."""
        self.path = path
        self._descriptor = descriptor if path is None else self._open(path)

    @property
    def is_stderr(self) -> bool:
        """Whether what is logged shows on stderr."""
        return self._descriptor == 2

    def write(self, text: str) -> None:
        """Append `text`. Raises OSError, which Twisted's publisher reports to the other observers."""
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def reopen(self) -> None:
        """Open the path anew (after logrotate moved the file). Keeps the old file if that fails: ConfigError.

        A file that is made for it gets the mode of the old one, whatever the umask has become since (twistd sets it to
        077); one that was made already, as logrotate's `create` does, keeps its own.
        """
        if self.path is None:
            return
        mode = stat.S_IMODE(os.fstat(self._descriptor).st_mode)
        try:
            new = self._open(self.path, os.O_EXCL)
        except FileExistsError:
            new = self._open(self.path)
        else:
            os.fchmod(new, mode)
        old, self._descriptor = self._descriptor, new
        os.close(old)

    def close(self) -> None:
        """Close the file; a borrowed descriptor stays open."""
        if self.path is not None:
            os.close(self._descriptor)

    @staticmethod
    def _open(path: str, flags: int = 0) -> int:
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o640)
        except FileExistsError:
            raise
        except OSError as error:
            raise ConfigError(f"cannot open the log file {path}: {error.strerror}") from None


def open_sink(config: Config, daemon: Mapping[str, Any] | None) -> LogSink | None:
    """Where Leto logs by itself; None when twistd's own options (`daemon`) say where. Raises ConfigError."""
    twistds = [name for name in ("logfile", "logger", "syslog") if daemon is not None and daemon.get(name)]
    if twistds and config.log_file is not None:
        raise ConfigError(f"twistd's --{twistds[0]} and the log-file option are both given: keep one")
    if twistds:
        return None
    if config.log_file is None and daemon is not None and not daemon.get("nodaemon") and not daemon.get("debug"):
        return LogSink(os.path.join(daemon.get("rundir") or ".", "twistd.log"))  # where twistd itself would log
    return LogSink(config.log_file)


@implementer(ILogObserver)
class SinkObserver:
    """Writes each event to a sink, as `form` puts it."""

    def __init__(self, sink: LogSink, form: Callable[[LogEvent], str]) -> None:
        self._sink = sink
        self._form = form

    def __call__(self, event: LogEvent) -> None:
        self._sink.write(self._form(event))


def observer(config: Config, sink: LogSink) -> Any:
    """The ILogObserver that --log-level and --log-format ask for. Of Twisted's own chatter only warnings remain."""
    least = LEVELS[config.log_level]
    predicate = LogLevelFilterPredicate(defaultLogLevel=least)
    for namespace in ("twisted", "-", "log_legacy", "txredisapi"):
        predicate.setLogLevelForNamespace(namespace, max(least, LogLevel.warn, key=_severity))
    form: Callable[[LogEvent], str] = text_line
    if config.log_format == "json":
        form = partial(json_line, node=config.id)
    if sink.is_stderr and journal.reads(2):
        form = partial(_for_the_journal, form)
    write: Any = SinkObserver(sink, form)
    accept: Any = predicate
    return FilteringLogObserver(write, [accept])


def _severity(level: Any) -> int:
    return list(LogLevel.iterconstants()).index(level)


def _for_the_journal(form: Callable[[LogEvent], str], event: LogEvent) -> str:
    return journal.prefixed(form(event), _level(event))


def text_line(event: LogEvent) -> str:
    """`2026-01-31T12:00:00.000Z info  [replica] id1 leads term 2`; a traceback follows, indented."""
    line = f"{_time(event)} {_level(event):<5} [{_room(event)}] {_message(event)}\n"
    traceback = _traceback(event)
    return line + "".join(f"    {row}\n" for row in traceback.splitlines())


def json_line(event: LogEvent, node: str) -> str:
    """One JSON object: time, level, node, room, message, the event's own fields, and the traceback of a failure."""
    record: dict[str, Any] = {
        "time": _time(event),
        "level": _level(event),
        "node": node,
        "room": _room(event),
        "message": formatEvent(event),
    }
    for key, value in event.items():
        if not key.startswith("log_") and key not in record and not key.startswith("_"):
            record[key] = value if isinstance(value, str | int | float | bool) or value is None else str(value)
    traceback = _traceback(event)
    if traceback:
        record["traceback"] = traceback
    return json.dumps(record, ensure_ascii=False) + "\n"


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return "info" if level is None else str(level.name)


def _time(event: LogEvent) -> str:
    when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _room(event: LogEvent) -> str:
    """`leto.clients.protocol.RespFactory` -> clients; other namespaces as they are."""
    parts = str(event.get("log_namespace", "-")).split(".")
    return parts[1] if parts[0] == "leto" and len(parts) > 1 else ".".join(parts)


def _message(event: LogEvent) -> str:
    return formatEvent(event).translate(_LINE_ENDS)


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return "" if failure is None else str(failure.getTraceback())
