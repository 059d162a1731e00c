"""ARCHITECTURE.md tells a lone SET's way through the files as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.calls.__main__ import REQUESTS
from tests.calls.cluster import Cluster
from tests.calls.counting import count

TEXT = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text()
TOLD = TEXT.partition("## A write's way")[2].partition("\n## ")[0]
ROOMS = "clients|keyspace|peer|raft|reactor|replica|resp|storage"
INSTEAD = {"resp/strict.py"}  # what is told of a request that is not canonical
LOOKS = {
    "reactor/stalls.py",  # the turn's length
    "replica/clockwork.py",  # timers
    "replica/compaction.py",  # whether a snapshot is due
    "replica/upkeep.py",
}
"""Where it is only looked whether something else is due."""


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    cluster = Cluster(str(tmp_path_factory.mktemp("way")))
    try:
        return set(count(cluster, REQUESTS["SET"]).way)
    finally:
        cluster.stop()


def test_the_files_told_are_those_that_it_passes(way: set[str]) -> None:
    told = {f"{name}.py" for name in re.findall(rf"`((?:{ROOMS})/\w+)`", TOLD)} - INSTEAD
    assert told == way - LOOKS
    number = re.search(r"passes through (\d+) files", TOLD)
    assert number is not None
    assert int(number[1]) == len(told)


def test_it_is_looked_for_nothing_else(way: set[str]) -> None:
    assert way >= LOOKS, "what is looked at no more need not be named"
