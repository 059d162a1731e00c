"""What the admin port answers over HTTP."""

from __future__ import annotations

from dataclasses import replace

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from leto.admin.pages import Page, json_answer
from leto.admin.site import bind_address
from leto.config import Address
from leto.errors import Stopping
from leto.raft.configuration import Configuration
from tests.admin.admin_http import Admin, cluster_of, parse_answer, status_of

PATHS = ("/", "/status", "/livez", "/readyz", "/metrics")


def test_index_lists_the_pages(admin: Admin) -> None:
    assert admin.get("/").json() == {"pages": ["/livez", "/metrics", "/readyz", "/status"]}


def test_status_shows_this_node_and_the_whole_cluster(admin: Admin) -> None:
    admin.replica.cluster = cluster_of(status_of("id1"), status_of("id2"), status_of("id3"))
    answer = admin.get("/status")
    assert answer.status == 200
    view = answer.json()
    assert (view["id"], view["leader"], view["healthy"], view["problems"]) == ("id1", "id1", True, [])
    assert sorted(view["nodes"]) == ["id1", "id2", "id3"]
    assert view["nodes"]["id2"]["role"] == "follower"
    assert view["nodes"]["id1"]["configuration"]["members"][0]["address"] == "10.0.0.1:15379"


def test_status_names_what_is_wrong(admin: Admin) -> None:
    admin.replica.cluster = cluster_of(status_of("id1"), status_of("id2"), unreachable={"id3": "connection refused"})
    view = admin.get("/status").json()
    assert view["healthy"] is False
    assert view["problems"] == ["id3 does not answer: connection refused"]


def test_status_of_a_stopping_node_is_a_503_in_json(admin: Admin) -> None:
    admin.replica.cluster = Stopping("the node stops")
    answer = admin.get("/status")
    assert (answer.status, answer.json()) == (503, {"error": "the node stops"})


def test_status_is_answered_when_the_cluster_has_answered(admin: Admin) -> None:
    waiting: Deferred[dict[str, object]] = Deferred()
    admin.replica.cluster = waiting
    transport = admin.begin("/status")
    assert transport.value() == b""
    waiting.callback(cluster_of(status_of("id1")))
    assert parse_answer(transport.value()).json()["id"] == "id1"


def test_a_client_that_goes_away_cancels_its_question(admin: Admin) -> None:
    cancelled: list[Deferred[dict[str, object]]] = []
    admin.replica.cluster = Deferred(cancelled.append)
    transport = admin.begin("/status")
    transport.channel.connectionLost(Failure(ConnectionLost()))
    assert cancelled == [admin.replica.cluster]
    assert transport.value() == b""


def test_a_page_that_breaks_is_a_500_in_json_without_a_traceback(admin: Admin) -> None:
    admin.replica.cluster = RuntimeError("secret detail")
    answer = admin.get("/status")
    assert answer.status == 500
    assert answer.json() == {"error": "this page failed; the node's log says why"}


@pytest.mark.parametrize(
    "path", ["/nothing", "/status/more", "/status/", "//status", "/livez/x", "/%00", "/../etc/passwd"]
)
def test_unknown_paths_are_404_in_json(admin: Admin, path: str) -> None:
    answer = admin.get(path)
    assert (answer.status, answer.json()) == (404, {"error": "there is no such page"})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_but_get_and_head(admin: Admin, path: str, method: str) -> None:
    answer = admin.get(path, method, "Content-Length: 0\r\n")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert "error" in answer.json()


@pytest.mark.parametrize("path", PATHS)
def test_head_gives_the_headers_of_get_and_no_body(admin: Admin, path: str) -> None:
    admin.get(path)  # the first scrape of the metrics may load what the second finds loaded
    head, get = admin.get(path, "HEAD"), admin.get(path)
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert "content-length" in head.headers
    assert get.body


def test_answers_are_never_cached(admin: Admin) -> None:
    assert admin.get("/readyz").headers["cache-control"] == "no-store"


def test_live_while_the_disk_has_not_failed() -> None:
    failures = [""]
    admin = Admin(failure=lambda: failures[0])
    assert (admin.get("/livez").status, admin.get("/livez").json()) == (200, {"live": True})
    failures[0] = "fdatasync failed: Input/output error"
    answer = admin.get("/livez")
    assert (answer.status, answer.json()["reason"]) == (503, failures[0])


def test_ready_when_a_leader_is_known_and_everything_committed_is_applied(admin: Admin) -> None:
    answer = admin.get("/readyz")
    assert (answer.status, answer.json()) == (200, {"ready": True})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"leader_id": ""}, "no leader is known"),
        ({"has_quorum": False}, "the leader does not hear from a quorum"),
        ({"has_quorum": False, "role": "follower", "leader_id": "id2"}, "the leader is not heard from"),
        ({"role": "removed"}, "this node was removed from the cluster"),
        ({"configuration": Configuration()}, "this node has not joined a cluster yet"),
    ],
)
def test_not_ready_says_why(admin: Admin, changes: dict[str, object], reason: str) -> None:
    admin.replica.now = replace(admin.replica.now, **changes)
    answer = admin.get("/readyz")
    assert (answer.status, answer.json()) == (503, {"ready": False, "reason": reason})


def test_readiness_waits_a_moment_for_what_was_committed(admin: Admin) -> None:
    admin.replica.now = replace(admin.replica.now, applied=90)
    transport = admin.begin("/readyz")
    admin.clock.advance(0.05)
    assert transport.value() == b""
    admin.replica.now = replace(admin.replica.now, commit=120, applied=100)  # more came meanwhile: not asked for
    admin.clock.advance(0.05)
    assert parse_answer(transport.value()).status == 200


def test_a_node_that_stays_behind_is_not_ready(admin: Admin) -> None:
    admin.replica.now = replace(admin.replica.now, applied=90)
    transport = admin.begin("/readyz")
    admin.clock.pump([0.02] * 60)
    answer = parse_answer(transport.value())
    assert (answer.status, answer.json()["reason"]) == (503, "applied 90 of 100 committed entries")


def test_a_readiness_question_that_is_given_up_stops_polling(admin: Admin) -> None:
    admin.replica.now = replace(admin.replica.now, applied=90)
    transport = admin.begin("/readyz")
    transport.channel.connectionLost(Failure(ConnectionLost()))
    asked = admin.replica.statuses_asked
    admin.clock.advance(0.5)
    assert admin.replica.statuses_asked == asked


def test_pages_can_be_added_and_the_index_replaced(admin: Admin) -> None:
    admin.site.add_page("", Page(lambda request: json_answer("dashboard")))
    admin.site.add_page("more", Page(lambda request: json_answer("more")))
    assert admin.get("/").json() == "dashboard"
    assert admin.get("/more").json() == "more"


def test_bytes_that_are_no_http_close_the_connection(admin: Admin) -> None:
    transport = StringTransport()
    channel = admin.site.buildProtocol(None)
    channel.makeConnection(transport)
    channel.dataReceived(b"*1\r\n$4\r\nPING\r\n\r\n")
    assert transport.value().startswith(b"HTTP/1.1 400 ")
    assert transport.disconnecting
    channel.connectionLost(Failure(ConnectionDone()))


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        (":9090", "127.0.0.1:9090"),
        ("10.0.0.1:9090", "10.0.0.1:9090"),
        ("*:9090", ":9090"),
        ("[::1]:9090", "[::1]:9090"),
    ],
)
def test_without_a_host_it_binds_loopback(given: str, bound: str) -> None:
    assert str(bind_address(Address.parse(given))) == bound
