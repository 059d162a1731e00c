"""What an operator sees of a running cluster: `leto status` and the admin port."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.cluster import ROOT, Cluster, Node, Port, logs_forgotten_afterwards, wait_for

ADMIN: dict[str, Port] = {}  # server id -> the port of its admin page


@pytest.fixture(scope="module")
def module_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes, each with an admin port."""
    with logs_forgotten_afterwards():
        cluster = Cluster(tmp_path_factory.mktemp("operations"), 3)
        for node in cluster:
            ADMIN[node.id] = Port()
            node.options += ["--admin-listen", f":{ADMIN[node.id].number}"]
        with cluster:
            yield cluster
        for port in ADMIN.values():
            port.release()


def fetch(node: Node, page: str) -> tuple[int, str]:
    """(HTTP status, body)."""
    url = f"http://127.0.0.1:{ADMIN[node.id].number}{page}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def status_command(*nodes: Node, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """`leto status` as a process."""
    addresses = [node.address for node in nodes]
    return subprocess.run(
        [sys.executable, "-m", "leto.main", "status", "--addr", *addresses, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_status_by_the_admin_ports(cluster: Cluster) -> None:
    ports = [f"127.0.0.1:{ADMIN[node.id].number}" for node in cluster]
    command = [sys.executable, "-m", "leto.main", "status", "--admin", *ports]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "survives the loss of 1 more voter" in done.stdout


def test_status_of_a_whole_cluster(cluster: Cluster) -> None:
    done = status_command(cluster.followers[0])
    assert done.returncode == 0, done.stdout + done.stderr
    for node in cluster:
        assert node.id in done.stdout
        assert node.raft_address in done.stdout
        assert node.address in done.stdout
    assert f"healthy, led by {cluster.leader.id}" in done.stdout


def test_status_names_who_is_missing(cluster: Cluster) -> None:
    absent = cluster.followers[0]
    absent.kill()
    done = status_command(absent, cluster.leader, options=("--json",))
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{absent.address} cannot be reached" in done.stderr
    view: dict[str, Any] = json.loads(done.stdout)
    assert view["leader"] == cluster.leader.id
    assert list(view["unreachable"]) == [absent.id]
    assert any(problem.startswith(f"{absent.id} does not answer") for problem in view["problems"])


def test_status_of_nobody(cluster: Cluster) -> None:
    absent = cluster.followers[0]
    absent.kill()
    done = status_command(absent)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_health_follows_the_quorum(cluster: Cluster) -> None:
    leader, followers = cluster.leader, cluster.followers
    assert fetch(leader, "/livez") == (200, '{\n  "live": true\n}\n')
    assert [fetch(node, "/readyz")[0] for node in cluster] == [200] * 3
    for node in followers:
        node.pause()
    wait_for(lambda: fetch(leader, "/readyz")[0] == 503, "a leader without a quorum is not ready")
    assert json.loads(fetch(leader, "/readyz")[1])["reason"]
    assert fetch(leader, "/livez")[0] == 200
    for node in followers:
        node.resume()
    wait_for(lambda: [fetch(node, "/readyz")[0] for node in cluster] == [200] * 3, "all are ready again")


def test_status_page_shows_the_cluster(cluster: Cluster) -> None:
    code, body = fetch(cluster.followers[0], "/status")
    view = json.loads(body)
    assert code == 200
    assert view["healthy"] is True, view["problems"]
    assert sorted(view["nodes"]) == sorted(node.id for node in cluster)


def test_metrics_count_what_clients_do(cluster: Cluster) -> None:
    def value(name: str, **labels: str) -> float:
        page = fetch(cluster.leader, "/metrics")[1]
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        return sum(
            sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    assert value("leto_raft_is_leader") == 1
    before = value("leto_commands_total", command="set"), value("leto_replica_writes_total")
    client = cluster.leader.client()
    for i in range(25):
        client.set("metrics", i)
    after = value("leto_commands_total", command="set"), value("leto_replica_writes_total")
    assert after[0] - before[0] == 25
    assert after[1] - before[1] >= 25
    assert value("leto_raft_commit_index") > 25
    assert value("leto_process_open_fds") > 5


def test_the_admin_port_listens_on_loopback_alone(cluster: Cluster) -> None:
    """/proc/net/tcp knows: the local address of the listening socket is 127.0.0.1."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    listening = {row[1] for row in rows if row[3] == "0A"}
    for port in ADMIN.values():
        assert {address for address in listening if address.endswith(f":{port.number:04X}")} == {
            f"0100007F:{port.number:04X}"
        }
