"""The metrics page: everything is read when Prometheus asks; nothing is counted here, so a request costs nothing.

All names begin with leto_. Times are seconds, sizes are bytes, as Prometheus has it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

import leto
from leto.config import Config
from leto.interfaces.replica import PeerStatus, Replica, ReplicaStatus
from leto.reactor.stalls import StallMeter

ROLES = ("leader", "candidate", "pre-candidate", "follower", "learner", "removed")

# name, what it tells, how to read it from a ReplicaStatus
STATUS_GAUGES: tuple[tuple[str, str, Callable[[ReplicaStatus], float]], ...] = (
    ("leto_raft_term", "Current term of this node.", lambda s: s.term),
    ("leto_raft_is_leader", "1 while this node leads.", lambda s: s.role == "leader"),
    ("leto_raft_has_leader", "1 while this node knows a leader.", lambda s: s.leader_id != ""),
    (
        "leto_raft_has_quorum",
        "1 while a leader hears from a quorum, or a follower from its leader.",
        lambda s: s.has_quorum,
    ),
    ("leto_raft_commit_index", "Highest log index known to be committed.", lambda s: s.commit),
    ("leto_raft_applied_index", "Highest log index applied to the keyspace.", lambda s: s.applied),
    ("leto_raft_persisted_index", "Highest log index durable on this node's disk.", lambda s: s.persisted),
    ("leto_raft_first_index", "First log index that is still stored.", lambda s: s.first_index),
    ("leto_raft_last_index", "Last index of this node's log.", lambda s: s.last_index),
    ("leto_raft_snapshot_index", "Log index of the newest durable snapshot.", lambda s: s.snapshot_index),
    ("leto_raft_configuration_index", "Log index of the configuration in force.", lambda s: s.configuration_index),
    (
        "leto_raft_voters",
        "Voters of the configuration in force.",
        lambda s: sum(member.voter for member in s.configuration.members),
    ),
    (
        "leto_raft_learners",
        "Learners of the configuration in force.",
        lambda s: sum(not member.voter for member in s.configuration.members),
    ),
    (
        "leto_raft_configuration_joint",
        "1 while the configuration is joint (members are being replaced).",
        lambda s: bool(s.configuration.outgoing),
    ),
    ("leto_raft_level", "What this node understands, as a level.", lambda s: s.level),
    ("leto_raft_cluster_level", "Level that all members have agreed on.", lambda s: s.cluster_level),
    ("leto_raft_transferring", "1 while leadership is being handed over.", lambda s: s.transferring_to != ""),
    (
        "leto_clock_ahead_seconds",
        "How far the cluster's clock is ahead of this leader's wall clock (below 0: behind).",
        lambda s: s.clock_ahead,
    ),
    (
        "leto_clock_error_seconds",
        "How far this leader's wall clock is off what a majority's stand for; 0 within max-clock-offset-ms.",
        lambda s: s.clock_error,
    ),
    ("leto_log_bytes", "Size of the stored log.", lambda s: s.log_bytes),
    ("leto_disk_free_bytes", "Room left on the disk of the data directory.", lambda s: s.disk_free),
    ("leto_disk_total_bytes", "Size of that disk.", lambda s: s.disk_total),
    (
        "leto_disk_min_free_bytes",
        "With less left there, a leader refuses writes that add data.",
        lambda s: s.disk_min_free,
    ),
    (
        "leto_disk_state",
        "0 while there is room, 1 below twice leto_disk_min_free_bytes, 2 below it.",
        lambda s: ("ok", "warning", "low").index(s.disk_state),
    ),
    ("leto_writes_refused", "1 while a leader refuses writes that add data.", lambda s: s.growth_refusal != ""),
    (
        "leto_snapshot_found_no_room",
        "1 if the last snapshot that was tried found no room.",
        lambda s: s.snapshot_found_no_room,
    ),
    ("leto_snapshot_in_progress", "1 while a snapshot is being written.", lambda s: s.snapshot_in_progress),
)

PEER_GAUGES: tuple[tuple[str, str, Callable[[PeerStatus], float | None]], ...] = (
    ("leto_peer_connected", "1 while this node is connected to that member.", lambda p: p.connected),
    (
        "leto_peer_match_index",
        "Highest log index known to be on that member; reported by the leader.",
        lambda p: p.match if p.state else None,
    ),
    (
        "leto_peer_next_index",
        "Next log index to send to that member; reported by the leader.",
        lambda p: p.next if p.state else None,
    ),
    (
        "leto_peer_last_contact_seconds",
        "Time since that member was last heard from.",
        lambda p: p.last_contact if p.last_contact >= 0 else None,
    ),
    (
        "leto_peer_clock_offset_seconds",
        "How far that member's wall clock is ahead of this leader's (below 0: behind).",
        lambda p: p.clock_offset,
    ),
    ("leto_peer_level", "What that connected member understands, as a level.", lambda p: p.level or None),
)

COUNTERS = {
    "leto_replica_writes": "Write requests accepted to be appended.",
    "leto_replica_reads": "Confirmed reads asked for (one may serve many commands).",
    "leto_replica_entries_proposed": "Log entries proposed as the leader.",
    "leto_replica_entries_applied": "Log entries applied to the keyspace.",
    "leto_replica_flushes": "Writes to the log, each made durable as --fsync says.",
    "leto_replica_elections_won": "Elections won.",
    "leto_replica_snapshots_sent": "Snapshots streamed to followers.",
    "leto_clients_connections": "Client connections accepted.",
    "leto_clients_rejected_connections": "Client connections refused because maxclients was reached.",
    "leto_clients_refused_unprotected_connections": "Client connections refused by protected mode.",
    "leto_clients_commands": "Commands that clients sent.",
    "leto_clients_received_bytes": "Bytes that clients sent.",
    "leto_clients_sent_bytes": "Bytes sent to clients.",
    "leto_clients_protocol_errors": "Client connections closed for a protocol error.",
    "leto_clients_output_overruns": "Client connections closed because they did not read their replies.",
    "leto_clients_query_buffer_overruns": "Client connections closed because they sent too far ahead.",
    "leto_clients_evicted_clients": "Client connections closed because all of them kept too much memory.",
    "leto_clients_authentication_failures": "Wrong passwords.",
    "leto_clients_error_replies": "Error replies sent to clients.",
}


class LetoCollector(Collector):
    """Reads replica.status(), the RESP factory's counters and the process at every scrape."""

    def __init__(self, replica: Replica | None, config: Config, *, resp_factory: Any, meter: StallMeter) -> None:
        self._replica = replica
        self._config = config
        self._resp_factory = resp_factory
        self._meter = meter
        self._process = ProcessCollector(namespace="leto", registry=None)

    def attach(self, replica: Replica, resp_factory: Any) -> None:
        """The node has its replica; before there is little to tell."""
        self._replica = replica
        self._resp_factory = resp_factory

    def collect(self) -> Iterable[Metric]:
        if self._replica is not None:
            status = self._replica.status()
            yield from self._node(status)
            yield from self._keyspace(self._replica)
            yield from self._peers(status)
            yield from counter_families("leto_replica", status.counters)
        if self._resp_factory is not None:
            yield from self._clients(self._resp_factory)
        yield from self._runtime()
        yield from self._process.collect()

    def _node(self, status: ReplicaStatus) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "leto_node",
            "This node's names and version.",
            value={"id": status.id, "cluster_id": status.cluster_id, "version": leto.__version__},
        )
        yield StateSetMetricFamily(
            "leto_raft_role", "Role of this node.", value={role: role == status.role for role in ROLES}
        )
        for name, text, read in STATUS_GAUGES:
            yield GaugeMetricFamily(name, text, value=float(read(status)))

    def _keyspace(self, replica: Replica) -> Iterator[Metric]:
        keys = replica.machine.query((b"DBSIZE",), replica.read_local())
        if isinstance(keys, int):
            yield GaugeMetricFamily("leto_keys", "Keys of this node's keyspace.", keys)

    def _peers(self, status: ReplicaStatus) -> Iterator[Metric]:
        for name, text, read in PEER_GAUGES:
            family = GaugeMetricFamily(name, text, labels=("peer",))
            for peer in status.members:
                value = None if peer.id == status.id else read(peer)
                if value is not None:
                    family.add_metric((peer.id,), float(value))
            yield family

    def _clients(self, factory: Any) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "leto_clients_max", "Highest number of client connections taken.", self._config.maxclients
        )
        yield GaugeMetricFamily("leto_clients_connected", "Clients connected now.", factory.connected)
        yield from counter_families("leto_clients", factory.counters)
        calls = CounterMetricFamily("leto_commands", "Commands received from clients.", labels=("command",))
        for name, count in sorted(factory.command_calls.items()):
            calls.add_metric((name.decode("ascii", "replace").lower(),), count)
        yield calls

    def _runtime(self) -> Iterator[Metric]:
        meter = self._meter
        yield HistogramMetricFamily(
            "leto_reactor_iteration_seconds",
            "How long the reactor was away from its sockets and timers, each time.",
            buckets=meter.buckets(),
            sum_value=meter.total_seconds,
        )
        for name, text, seconds in (
            ("longest_iteration", "Longest of these since the start.", meter.longest),
            ("longest_iteration_last_minute", "Longest of these in the last minute.", meter.longest_last_minute),
        ):
            yield GaugeMetricFamily(f"leto_reactor_{name}_seconds", text, value=seconds)
        events = GaugeMetricFamily(
            "leto_latency_event_longest_seconds",
            "Longest of each kind of what took longer than latency-monitor-threshold (LATENCY LATEST).",
            labels=("event",),
        )
        for name, event in sorted(meter.events.items()):
            events.add_metric((name,), event.longest)
        yield events
        collections = CounterMetricFamily(
            "leto_gc_collections", "Runs of Python's cyclic garbage collector.", labels=("generation",)
        )
        for generation, stats in enumerate(gc.get_stats()):
            collections.add_metric((str(generation),), stats["collections"])
        yield collections


def counter_families(prefix: str, counters: Mapping[str, int]) -> Iterator[Metric]:
    """One counter a name: {"reads": 3} becomes leto_replica_reads_total."""
    for name, value in sorted(counters.items()):
        metric = f"{prefix}_{name}"
        text = COUNTERS.get(metric, f"Number of {name.replace('_', ' ')} since the start.")
        yield CounterMetricFamily(metric, text, value=value)
