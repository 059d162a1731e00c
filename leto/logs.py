"""Where log events go and how they read: text lines for people or one JSON object a line, one event a line.

Rooms log through `twisted.logger.Logger` with a format string and fields; nothing logs a line per request.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
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
        """Open the path anew (after logrotate moved the file). Keeps the old file if that fails: ConfigError."""
        if self.path is not None:
            old, self._descriptor = self._descriptor, self._open(self.path)
            os.close(old)

    def close(self) -> None:
        """Close the file; a borrowed descriptor stays open."""
        if self.path is not None:
            os.close(self._descriptor)

    @staticmethod
    def _open(path: str) -> int:
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
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
    form = json_line if config.log_format == "json" else text_line
    write: Any = SinkObserver(sink, form)
    accept: Any = predicate
    return FilteringLogObserver(write, [accept])


def _severity(level: Any) -> int:
    return list(LogLevel.iterconstants()).index(level)


def text_line(event: LogEvent) -> str:
    """`2026-01-31T12:00:00.000Z info  [replica] id1 leads term 2`; a traceback follows, indented."""
    level = event["log_level"].name if event.get("log_level") is not None else "info"
    line = f"{_time(event)} {level:<5} [{_room(event)}] {_message(event)}\n"
    traceback = _traceback(event)
    return line + "".join(f"    {row}\n" for row in traceback.splitlines())


def json_line(event: LogEvent) -> str:
    """One JSON object: time, level, room, message, the event's own fields, and the traceback of a failure."""
    level = event.get("log_level")
    record: dict[str, Any] = {
        "time": _time(event),
        "level": level.name if level is not None else "info",
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


def _time(event: LogEvent) -> str:
    when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _room(event: LogEvent) -> str:
    """`leto.resp.protocol.RespFactory` -> resp; other namespaces as they are."""
    parts = str(event.get("log_namespace", "-")).split(".")
    return parts[1] if parts[0] == "leto" and len(parts) > 1 else ".".join(parts)


def _message(event: LogEvent) -> str:
    return formatEvent(event).translate(_LINE_ENDS)


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return "" if failure is None else str(failure.getTraceback())
