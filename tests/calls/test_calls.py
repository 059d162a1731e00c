"""How many Python functions one client's SET and GET call. No noise moves these figures, so they bind.

Lower a bound whenever a change takes calls away; raise one only for what is worth it, and say so in the commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.calls.__main__ import CLIENTS, REQUESTS, per_request
from tests.calls.cluster import Cluster
from tests.calls.counting import Calls, Place, count, count_together

# By room: what is reached, and no slack. A room that is not named is not bound here.
BOUNDS: dict[tuple[str, str], dict[str, int]] = {
    ("SET", "leader"): {
        "clients": 3,
        "replica": 35,
        "raft": 19,
        "peer": 11,
        "storage": 12,
        "reactor": 12,
        "twisted": 15,
    },
    ("SET", "follower"): {"replica": 14, "raft": 9, "peer": 6, "storage": 12, "reactor": 4, "twisted": 5},
    ("GET", "leader"): {"clients": 3, "replica": 28, "raft": 26, "peer": 6, "storage": 0, "reactor": 10, "twisted": 15},
    ("GET", "follower"): {"replica": 6, "raft": 5, "peer": 6, "storage": 0, "reactor": 4, "twisted": 5},
}
SYNCED, ANSWERED = 7, 25  # SET: from fdatasync to the acknowledgement's sending, and from that to the client's reply
TOGETHER = {"SET": 7.42, "GET": 7.96}  # calls per request of 50 clients that ask at once, all rooms' at the leader


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(str(tmp_path_factory.mktemp("calls")))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def counted(cluster: Cluster) -> dict[str, Calls]:
    return {name: count(cluster, request) for name, request in REQUESTS.items()}


def by_room(calls: Counter[Place]) -> Counter[str]:
    rooms: Counter[str] = Counter()
    for (room, _), number in calls.items():
        rooms[room] += number
    return rooms


@pytest.mark.parametrize(("request_name", "node"), BOUNDS)
def test_a_request_calls_no_more_functions(counted: dict[str, Calls], request_name: str, node: str) -> None:
    calls: Counter[Place] = getattr(counted[request_name], node)
    rooms = by_room(calls)
    over = {room for room, most in BOUNDS[request_name, node].items() if rooms[room] > most}
    shown = "\n".join(f"{number:>4} {room} {name}" for (room, name), number in calls.most_common() if room in over)
    assert not over, f"{rooms}\n{shown}"


def test_little_happens_between_the_disk_and_the_answers(counted: dict[str, Calls]) -> None:
    calls = counted["SET"]
    assert 0 < calls.synced <= SYNCED
    assert 0 < calls.answered <= ANSWERED


def test_many_clients_requests_share_all_but_a_few_calls(cluster: Cluster, counted: dict[str, Calls]) -> None:
    cluster.connect(CLIENTS - 1)
    try:
        for name, most in TOGETHER.items():
            calls = count_together(cluster, REQUESTS[name])
            shown = "\n".join(f"{number:>4} {room} {function}" for (room, function), number in calls.most_common(20))
            assert 2 < per_request(calls) <= most, f"{name}\n{shown}"
    finally:
        cluster.disconnect(CLIENTS - 1)


def test_what_is_counted_is_the_same_each_time(cluster: Cluster, counted: dict[str, Calls]) -> None:
    """And is a whole SET: it is written and applied, there and here."""
    before = cluster.leader.replica.node.last_index
    again = count(cluster, REQUESTS["SET"])
    assert again == counted["SET"]
    assert cluster.leader.replica.node.last_index > before
    for node in (again.leader, again.follower):
        assert node["storage", "FileStore.write"] == node["keyspace", "Machine.begin"] == 1


def test_a_function_more_is_counted(
    cluster: Cluster, counted: dict[str, Calls], monkeypatch: pytest.MonkeyPatch
) -> None:
    from leto.storage.store import FileStore

    write = FileStore.write

    def slower(*args: object) -> None:
        write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(FileStore, "write", slower)
    more = by_room(count(cluster, REQUESTS["SET"]).leader)
    assert more.total() == by_room(counted["SET"].leader).total() + 1
    assert more["harness"] == by_room(counted["SET"].leader)["harness"] + 1
