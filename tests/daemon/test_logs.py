"""How log events read, which are shown, and that a rotated file is let go."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure

from leto.config import Config
from leto.errors import ConfigError
from leto.process import journal
from leto.process.logs import LogSink, json_line, observer, text_line

WHEN = 1_700_000_000.25


class Log:
    """A log file and a logger that writes to it."""

    def __init__(self, path: Path, namespace: str = "leto.replica.replica.Replica", **settings: Any) -> None:
        self.path = path
        self.sink = LogSink(str(path))
        self._publisher = LogPublisher(observer(Config(id="a", **settings), self.sink))
        self.logger = Logger(namespace, observer=self._publisher)

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


def event(message: str, **fields: Any) -> dict[str, Any]:
    return {
        "log_format": message,
        "log_level": LogLevel.info,
        "log_namespace": "leto.replica.replica.Replica",
        "log_time": WHEN,
        **fields,
    }


def test_a_text_line_has_time_level_room_and_message() -> None:
    line = text_line(event("{id} leads term {term}", id="id1", term=2))
    assert line == "2023-11-14T22:13:20.250Z info  [replica] id1 leads term 2\n"


def test_line_ends_in_what_a_stranger_sent_do_not_make_lines() -> None:
    assert text_line(event("said {what}", what="a\r\nb")).endswith("said a\\r\\nb\n")


def test_a_json_line_holds_the_fields() -> None:
    record = json.loads(json_line(event("{id} leads term {term}", id="id1", term=2, peers=["x"], _own=1), "id1"))
    assert record == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "node": "id1",
        "room": "replica",
        "message": "id1 leads term 2",
        "id": "id1",
        "term": 2,
        "peers": "['x']",
    }


def test_a_failure_shows_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        failure = Failure()
    text = text_line(event("it failed", log_failure=failure))
    assert text.splitlines()[0].endswith("it failed")
    assert "    builtins.ValueError: no" in text.splitlines()
    record = json.loads(json_line(event("it failed", log_failure=failure), "id1"))
    assert "ValueError: no" in record["traceback"]


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", "diwe"), ("info", "iwe"), ("warn", "we"), ("error", "e")],
)
def test_the_level_decides_what_is_shown(tmp_path: Path, level: Any, shown: str) -> None:
    log = Log(tmp_path / "log", log_level=level)
    log.logger.debug("d")
    log.logger.info("i")
    log.logger.warn("w")
    log.logger.error("e")
    assert "".join(line[-1] for line in log.lines()) == shown


def test_of_twisted_only_warnings_are_shown(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", namespace="twisted.internet.tcp.Port")
    log.logger.info("starting on 5379")
    log.logger.warn("EMFILE")
    assert [line[-6:] for line in log.lines()] == ["EMFILE"]


def test_a_moved_file_is_let_go_on_reopen(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.logger.info("one")
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.logger.info("two")
    log.sink.reopen()
    log.logger.info("three")
    assert [line[-3:] for line in (tmp_path / "log.1").read_text().splitlines()] == ["one", "two"]
    assert [line[-5:] for line in log.lines()] == ["three"]


def test_a_reopen_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = Log(folder / "log")
    moved = tmp_path / "moved"
    folder.rename(moved)
    with pytest.raises(ConfigError, match="cannot open the log file"):
        log.sink.reopen()
    log.logger.info("still here")
    assert (moved / "log").read_text().endswith("still here\n")


def test_a_log_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"cannot open the log file {tmp_path}: Is a directory"):
        LogSink(str(tmp_path))


def test_odd_characters_do_not_stop_the_log() -> None:
    read, write = os.pipe()
    LogSink(None, write).write("\udcff é\n")
    assert os.read(read, 100) == b"\\udcff \xc3\xa9\n"
    os.close(read)
    os.close(write)


def test_a_json_log_names_its_node_in_every_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", log_format="json")
    log.logger.info("a line that has a {node} of its own", node="field")
    log.logger.warn("another")
    assert [json.loads(line)["node"] for line in log.lines()] == ["a", "a"]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_reopened_file_has_the_mode_of_the_first(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        log = Log(tmp_path / "log")
        os.umask(0o077 if umask == 0o022 else 0o022)  # as twistd does when it goes into the background
        (tmp_path / "log").rename(tmp_path / "log.1")
        log.sink.reopen()
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "log") == mode_of(tmp_path / "log.1") == 0o640 & ~umask


def test_a_file_that_logrotate_made_keeps_its_mode(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    (tmp_path / "log").rename(tmp_path / "log.1")
    (tmp_path / "log").touch(0o600)
    (tmp_path / "log").chmod(0o604)
    log.sink.reopen()
    log.logger.info("here")
    assert mode_of(tmp_path / "log") == 0o604
    assert log.lines()[0].endswith("here")


def test_the_journal_is_known_by_its_device_and_inode(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as stream:
        found = os.fstat(stream.fileno())
        assert journal.reads(stream.fileno(), {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not journal.reads(stream.fileno(), {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not journal.reads(stream.fileno(), {})
    assert not journal.reads(999_999, {"JOURNAL_STREAM": "1:2"})


def test_every_line_for_the_journal_has_its_priority() -> None:
    assert journal.prefixed("one\n    two\n", "error") == "<3>one\n<3>    two\n"
    assert [journal.prefixed("x", level)[:3] for level in ("debug", "info", "warn", "critical")] == [
        "<7>",
        "<6>",
        "<4>",
        "<2>",
    ]
