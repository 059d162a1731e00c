"""How many descriptors a node asks for, and how many clients there is room for."""

from __future__ import annotations

import resource

import pytest

from leto.errors import ConfigError
from leto.reactor import descriptors
from leto.reactor.descriptors import RESERVED, adjust


class Limits:
    """RLIMIT_NOFILE of a process that may not raise its hard limit."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = soft, hard

    def get(self, _: int) -> tuple[int, int]:
        return self.now

    def set(self, _: int, wanted: tuple[int, int]) -> None:
        if wanted[1] > self.now[1]:
            raise ValueError("not allowed to raise maximum limit")
        self.now = wanted


def limited(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> Limits:
    limits = Limits(soft, hard)
    monkeypatch.setattr(descriptors.resource, "getrlimit", limits.get)
    monkeypatch.setattr(descriptors.resource, "setrlimit", limits.set)
    return limits


def test_a_limit_that_is_high_enough_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limited(monkeypatch, 20_000, 20_000)
    assert adjust(10_000) == descriptors.Adjusted(10_000)
    assert limits.now == (20_000, 20_000)


def test_no_limit_is_high_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert adjust(10_000).maxclients == 10_000
    assert descriptors.limit() > 1 << 30


def test_the_soft_limit_is_raised_as_far_as_needed_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = limited(monkeypatch, 1024, 500_000)
    found = adjust(10_000)
    assert limits.now == (10_000 + RESERVED, 500_000)
    assert found.maxclients == 10_000
    assert found.warnings == ()
    assert found.notes == (
        f"Increased maximum number of open files to {10_000 + RESERVED} (it was originally set to 1024).",
    )


def test_where_the_hard_limit_is_too_low_clients_get_what_files_and_peers_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = limited(monkeypatch, 512, 1024)
    found = adjust(10_000)
    assert limits.now == (1024, 1024)
    assert found.maxclients == 1024 - RESERVED
    assert found.notes == ()
    assert found.warnings == (
        f"You requested maxclients of 10000 requiring at least {10_000 + RESERVED} max file descriptors.",
        f"Server can't set maximum open files to {10_000 + RESERVED} because of OS error: Operation not permitted.",
        f"Current maximum open files is 1024. maxclients has been reduced to {1024 - RESERVED} to compensate for low "
        "ulimit. If you need higher maxclients increase 'ulimit -n'.",
    )


def test_with_hardly_any_the_node_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 64, 128)
    with pytest.raises(ConfigError, match="Your current 'ulimit -n' of 128 is not enough for the server to start"):
        adjust(10_000)
