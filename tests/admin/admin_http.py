"""An AdminSite in memory: a replica that says what a test tells it to, HTTP over a string transport, a fake clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from leto.admin.site import AdminSite
from leto.config import Config
from leto.interfaces.replica import PeerStatus, ReplicaStatus
from leto.raft.configuration import Configuration, Member
from leto.status import status_data

IDS = ("id1", "id2", "id3")


def configuration_of(*ids: str) -> Configuration:
    return Configuration(
        members=tuple(
            Member(id=i, address=f"10.0.0.{i[-1]}:15379", voter=True, client_address=f"10.0.0.{i[-1]}:5379")
            for i in ids
        )
    )


def status_of(server_id: str = "id1", leader: str = "id1", **changes: Any) -> ReplicaStatus:
    """A healthy member of a cluster of three."""
    leads = server_id == leader
    status = ReplicaStatus(
        id=server_id,
        cluster_id="0" * 32,
        role="leader" if leads else "follower",
        term=7,
        leader_id=leader,
        leader_address="10.0.0.1:5379",
        commit=100,
        applied=100,
        first_index=41,
        last_index=101,
        persisted=101,
        snapshot_index=40,
        snapshot_term=6,
        configuration=configuration_of(*IDS),
        configuration_index=9,
        has_quorum=True,
        digest=0xABCDEF,
        digest_index=100,
        members=tuple(
            PeerStatus(
                id=i,
                address=f"10.0.0.{i[-1]}:15379",
                client_address=f"10.0.0.{i[-1]}:5379",
                role="voter",
                connected=True,
                state="replicate" if leads and i != server_id else "",
                match=100,
                next=102,
                last_contact=0.05,
            )
            for i in IDS
        ),
        log_bytes=12345,
        counters={"elections": 2, "entries_applied": 60},
    )
    return replace(status, **changes)


def cluster_of(*statuses: ReplicaStatus, unreachable: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "id": statuses[0].id,
        "nodes": {status.id: status_data(status) for status in statuses},
        "unreachable": unreachable or {},
    }


@dataclass
class ScriptedReplica:
    """Answers status() and cluster_status() with what it was given."""

    now: ReplicaStatus = field(default_factory=status_of)
    cluster: Any = None  # a dict, an exception, or a Deferred
    statuses_asked: int = 0
    keys: int = 12

    @property
    def machine(self) -> ScriptedReplica:
        """Its own keyspace, of which only the number of keys is known."""
        return self

    def read_local(self) -> int:
        return 1_700_000_000_000

    def query(self, command: Sequence[bytes], clock_ms: int) -> int:
        assert (tuple(command), clock_ms) == ((b"DBSIZE",), self.read_local())
        return self.keys

    def status(self) -> ReplicaStatus:
        self.statuses_asked += 1
        return self.now

    def cluster_status(self) -> Deferred[dict[str, Any]]:
        if isinstance(self.cluster, Deferred):
            return self.cluster
        if isinstance(self.cluster, Exception):
            failed: Deferred[dict[str, Any]] = Deferred()
            failed.errback(self.cluster)
            return failed
        return succeed(self.cluster or cluster_of(self.now))


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers["content-type"].startswith("application/json")
        return json.loads(self.body)


class Admin:
    """The site of one node, with its clock."""

    def __init__(self, replica: ScriptedReplica | None = None, **options: Any) -> None:
        self.replica = replica or ScriptedReplica()
        self.clock = Clock()
        self.site = AdminSite(self.replica, Config(id="id1"), reactor=self.clock, **options)  # type: ignore[arg-type]
        self.site.doStart()

    def stop(self) -> None:
        self.site.doStop()

    @classmethod
    def waiting(cls, reason: str) -> Admin:
        """The site of a node that has no replica yet."""
        admin = cls(waiting=lambda: reason)
        admin.site._replica = admin.site._collector._replica = None
        return admin

    def connect(self) -> StringTransport:
        """Open a connection."""
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        transport.channel = channel
        return transport

    def begin(self, path: str, method: str = "GET", headers: str = "", host: str = "localhost") -> StringTransport:
        """Send a request; its answer appears in the transport, now or later."""
        transport = self.connect()
        request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        transport.channel.dataReceived(request.encode())
        return transport

    def get(self, path: str, method: str = "GET", headers: str = "") -> HttpAnswer:
        return parse_answer(self.begin(path, method, headers).value())


def parse_answer(data: bytes) -> HttpAnswer:
    head, separator, body = data.partition(b"\r\n\r\n")
    assert separator, f"no whole answer: {data!r}"
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return HttpAnswer(int(first.split()[1]), headers, body)
