"""Clusters for tests, and their logs where a test fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cluster import LIVE_NODES, LOG_TAIL, Cluster, logs_forgotten_afterwards


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the nodes logged when a test fails."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for node in LIVE_NODES:
            report.sections.append((f"log of {node.id}", node.log()[-LOG_TAIL:]))


@pytest.fixture(autouse=True)
def nodes_of_this_test() -> Iterator[None]:
    with logs_forgotten_afterwards():
        yield


@pytest.fixture(scope="module")
def cluster_options() -> tuple[str, ...]:
    """Options of the nodes that the tests of one module share."""
    return ()


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory: pytest.TempPathFactory, cluster_options: tuple[str, ...]) -> Iterator[Cluster]:
    """Three nodes that the tests of one module share."""
    directory = tmp_path_factory.mktemp("cluster")
    with logs_forgotten_afterwards(), Cluster(directory, 3, *cluster_options) as cluster:
        yield cluster


@pytest.fixture
def cluster(module_cluster: Cluster) -> Cluster:
    """The module's cluster, whole again after what the last test did to it."""
    for node in module_cluster:
        if node.is_running:
            node.resume()
        else:
            node.start()
    module_cluster.wait_settled()
    return module_cluster
