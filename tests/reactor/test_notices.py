"""However often something happens, and whatever names strangers give themselves, the log gets few lines of it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import Logger, formatEvent

from leto.reactor.notices import KIND_LINES, REPEAT_SECONDS, Notices


class Log:
    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[Any] = []
        self.notices = Notices(Logger("test", observer=self.events.append), lambda: self.now)

    @property
    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.events]


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_line_that_repeats_is_counted_and_the_count_told(log: Log) -> None:
    assert log.notices.warn(("refused", "a"), "refused {who}", who="a")
    for _ in range(5):
        assert not log.notices.warn(("refused", "a"), "refused {who}", who="a")
    log.now = REPEAT_SECONDS
    log.notices.warn(("refused", "a"), "refused {who}", who="a")
    assert log.lines == ["refused a", "refused a (and 5 times more since the last such line)"]


def test_a_name_that_is_new_each_time_does_not_fill_the_log(log: Log) -> None:
    for number in range(10_000):
        log.notices.warn(("refused", str(number)), "refused {who}", who=number)
    assert len(log.lines) == KIND_LINES
    log.notices.warn(("broken", "x"), "another kind has its own lines")
    log.now = REPEAT_SECONDS
    log.notices.warn(("refused", "y"), "refused {who}", who="y")
    assert log.lines[-2:] == [
        "another kind has its own lines",
        f"refused y (and {10_000 - KIND_LINES} such lines about others were left out)",
    ]


def test_what_is_over_is_news_when_it_comes_back(log: Log) -> None:
    log.notices.info(("up", "a", 1), "one")
    log.notices.info(("up", "b", 1), "two")
    log.notices.forget("up", "a")
    log.notices.info(("up", "a", 1), "three")
    log.notices.info(("up", "b", 1), "four")
    assert log.lines == ["one", "two", "three"]
