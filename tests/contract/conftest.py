"""One cluster of three for every row of the contract, and lone nodes started in special ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, Node, logs_forgotten_afterwards
from tests.integration.conftest import pytest_runtest_makereport  # noqa: F401 - logs where a test fails


@pytest.fixture(autouse=True)
def nodes_of_this_test() -> Iterator[None]:
    with logs_forgotten_afterwards():
        yield


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes that all rows share; no row hurts them."""
    directory = tmp_path_factory.mktemp("contract")
    with logs_forgotten_afterwards(), Cluster(directory, 3) as cluster:
        yield cluster


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Makes nodes that end with the test."""
    made: list[Node] = []

    def make(*options: str, server_id: str = "id1", host: str = "127.0.0.1") -> Node:
        made.append(Node(tmp_path, server_id, options, host))
        return made[-1]

    yield make
    for node in made:
        node.close()
