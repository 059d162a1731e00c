"""What Prometheus reads."""

from __future__ import annotations

import re
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from leto.reactor.stalls import StallMeter
from tests.admin.admin_http import Admin, ScriptedReplica, status_of


class CountingFactory:
    """The counters of a RESP factory."""

    connected = 2
    counters = {"connections": 5, "received_bytes": 1000, "something_new": 1}
    command_calls = {b"GET": 3, b"SET": 4}


def samples(admin: Admin) -> dict[str, float]:
    """Every sample of the page: name{label="value",...} -> value."""
    result = {}
    for family in text_string_to_metric_families(admin.get("/metrics").body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            result[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return result


def test_the_state_of_consensus(admin: Admin) -> None:
    page = samples(admin)
    assert page["leto_raft_term"] == 7
    assert page["leto_raft_commit_index"] == 100
    assert page["leto_raft_applied_index"] == 100
    assert page["leto_raft_snapshot_index"] == 40
    assert page["leto_raft_voters"] == 3
    assert page["leto_log_bytes"] == 12345
    assert page["leto_keys"] == 12
    assert page['leto_raft_role{leto_raft_role="leader"}'] == 1
    assert page['leto_raft_role{leto_raft_role="follower"}'] == 0
    assert page["leto_replica_elections_total"] == 2
    assert page["leto_replica_entries_applied_total"] == 60


def test_peers_but_not_the_node_itself(admin: Admin) -> None:
    page = samples(admin)
    assert page['leto_peer_match_index{peer="id2"}'] == 100
    assert page['leto_peer_connected{peer="id3"}'] == 1
    assert not any('peer="id1"' in name for name in page)


def test_what_only_a_leader_knows_is_left_out_at_a_follower() -> None:
    page = samples(Admin(ScriptedReplica(status_of("id2", leader="id1"))))
    assert not any(name.startswith("leto_peer_match_index") for name in page)
    assert page["leto_raft_is_leader"] == 0


def test_metrics_are_read_when_asked(admin: Admin) -> None:
    assert admin.replica.statuses_asked == 0
    samples(admin)
    admin.replica.now = replace(admin.replica.now, commit=200)
    assert samples(admin)["leto_raft_commit_index"] == 200
    assert admin.replica.statuses_asked == 2


def test_clients_and_commands() -> None:
    page = samples(Admin(resp_factory=CountingFactory()))
    assert page['leto_commands_total{command="get"}'] == 3
    assert page["leto_clients_received_bytes_total"] == 1000
    assert page["leto_clients_something_new_total"] == 1
    assert page["leto_clients_connected"] == 2
    assert page["leto_clients_max"] == 10_000


def test_the_process(admin: Admin) -> None:
    page = samples(admin)
    assert page["leto_process_resident_memory_bytes"] > 1 << 20
    assert page["leto_process_open_fds"] > 0
    assert page['leto_gc_collections_total{generation="0"}'] >= 0


def test_every_name_is_ours_and_has_help() -> None:
    text = Admin(resp_factory=CountingFactory()).get("/metrics").body.decode()
    families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    helped = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    assert len(families) > 30
    assert all(name.startswith("leto_") for name in families)
    assert all(helped.get(name, "").endswith(".") for name in families)


def test_labels_cannot_break_the_page() -> None:
    status = status_of("id1")
    odd = replace(status.members[1], id='a"b\nc\\')
    page = Admin(ScriptedReplica(replace(status, members=(odd,)))).get("/metrics").body.decode()
    assert r'leto_peer_connected{peer="a\"b\nc\\"} 1.0' in page


def test_media_type_as_prometheus_asks(admin: Admin) -> None:
    assert admin.get("/metrics").headers["content-type"].startswith("text/plain; version=")
    openmetrics = admin.get("/metrics", headers="Accept: application/openmetrics-text; version=1.0.0\r\n")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")


def test_iterations_of_the_reactor_are_a_histogram() -> None:
    meter = StallMeter()
    for seconds in (0.0005, 0.015, 0.3):
        meter.end_iteration(seconds, seconds)
    meter.took("fsync", 0.25)
    admin = Admin(meter=meter)
    page = samples(admin)
    bucket = "leto_reactor_iteration_seconds_bucket"
    assert [page[f'{bucket}{{le="{bound}"}}'] for bound in ("0.001", "0.01", "0.02", "0.5", "+Inf")] == [1, 1, 2, 3, 3]
    assert page["leto_reactor_longest_iteration_seconds"] == page["leto_reactor_longest_iteration_last_minute_seconds"]
    assert page['leto_latency_event_longest_seconds{event="fsync"}'] == 0.25
    admin.stop()
