"""INFO: what a node tells of itself, by sections. See https://redis.io/commands/info/.

The section raft is Leto's own. Where a field has Redis's name it has Redis's meaning, as near as there is one:
the replication offset is the log's index.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import leto
from leto.clients.table import command
from leto.commands.connection import REDIS_VERSION
from leto.config import Address
from leto.interfaces.replica import ReplicaStatus
from leto.resp.codec import Request
from leto.vocabulary.replies import Reply, Verbatim

if TYPE_CHECKING:
    from leto.clients.session import Session

Fields = Iterator[tuple[str, Any]]


@command(
    "INFO",
    -1,
    "loading stale",
    group="server",
    since="1.0.0",
    summary="Get information and statistics about the server",
    syntax="[section [section ...]]",
    categories="dangerous",
    tips="nondeterministic_output request_policy:all_shards response_policy:special",
)
def info(session: Session, argv: Request) -> Reply:
    wanted = [word.decode("latin-1").lower() for word in argv[1:]]
    return Verbatim("\r\n".join(_section(session, name) for name in _names(wanted)).encode())


def _names(wanted: list[str]) -> Iterable[str]:
    if not wanted:
        return DEFAULT
    if "all" in wanted or "everything" in wanted:
        return SECTIONS
    if "default" in wanted:
        return [name for name in SECTIONS if name in DEFAULT or name in wanted]
    return [name for name in SECTIONS if name in wanted]


def _section(session: Session, name: str) -> str:
    lines = "".join(f"{field}:{value}\r\n" for field, value in SECTIONS[name](session))
    return f"# {TITLES.get(name, name.capitalize())}\r\n{lines}"


def _server(session: Session) -> Fields:
    state = session.state
    uptime = int(state.reactor.seconds() - state.started)
    yield "redis_version", REDIS_VERSION
    yield "leto_version", leto.__version__
    yield "redis_mode", "cluster" if state.config.on_follower == "moved" else "standalone"
    yield "os", f"{platform.system()} {platform.release()} {platform.machine()}"
    yield "arch_bits", 64 if sys.maxsize > 1 << 32 else 32
    yield "multiplexing_api", type(state.reactor).__name__.removesuffix("Reactor").lower()
    yield "python_version", platform.python_version()
    yield "process_id", os.getpid()
    yield "run_id", state.run_id
    yield "tcp_port", state.config.listen.port
    yield "server_time_usec", int(state.wall_clock() * 1e6)
    yield "uptime_in_seconds", uptime
    yield "uptime_in_days", uptime // 86400
    yield "executable", sys.executable
    yield "config_file", state.config.config_file or ""


def _clients(session: Session) -> Fields:
    state = session.state
    sessions = state.clients
    yield "connected_clients", len(sessions)
    yield "cluster_connections", 0
    yield "maxclients", state.settings.maxclients
    yield "client_recent_max_input_buffer", max((other.input_bytes for other in sessions), default=0)
    yield "client_recent_max_output_buffer", max((other.output.unsent for other in sessions), default=0)
    yield "blocked_clients", sum(bool(other.queue.blocked) for other in sessions)
    yield "tracking_clients", 0


def human(size: int) -> str:
    """Bytes as Redis prints them for people: 512B, 1.50K, 2.00G."""
    if size < 1024:
        return f"{size}B"
    value = float(size)
    for unit in "KMGT":
        value /= 1024
        if value < 1024:
            return f"{value:.2f}{unit}"
    return f"{value / 1024:.2f}P"


def resident_bytes() -> int:
    """What the process occupies in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _memory(session: Session) -> Fields:
    used, peak = resident_bytes(), peak_bytes()
    for name, size in (("used_memory", used), ("used_memory_rss", used), ("used_memory_peak", max(peak, used))):
        yield name, size
        yield f"{name}_human", human(size)
    yield "maxmemory", 0
    yield "maxmemory_human", "0B"
    yield "maxmemory_policy", "noeviction"
    yield "mem_clients_normal", sum(other.kept_bytes for other in session.state.clients)
    yield "mem_fragmentation_ratio", "1.00"
    yield "mem_allocator", "libc"


def _persistence(session: Session) -> Fields:
    status = session.state.replica.status()
    yield "loading", 0
    yield "rdb_changes_since_last_save", status.applied - status.snapshot_index
    yield "rdb_bgsave_in_progress", int(status.snapshot_in_progress)
    yield "rdb_last_save_time", session.state.last_save
    yield "rdb_last_bgsave_status", "err" if status.snapshot_found_no_room else "ok"
    yield "aof_enabled", 1
    yield "aof_rewrite_in_progress", 0
    yield "aof_last_write_status", "ok"
    yield "aof_current_size", status.log_bytes
    yield "disk_state", status.disk_state
    yield "disk_free_bytes", status.disk_free
    yield "disk_total_bytes", status.disk_total
    yield "disk_min_free_bytes", status.disk_min_free
    yield "writes_refused", int(status.growth_refusal != "")


def _stats(session: Session) -> Fields:
    state = session.state
    yield "total_connections_received", state.counters.connections
    yield "total_commands_processed", state.counters.commands
    yield "instantaneous_ops_per_sec", state.counters.commands_per_second()
    yield "total_net_input_bytes", state.counters.input_bytes
    yield "total_net_output_bytes", state.counters.output_bytes
    yield "rejected_connections", state.counters.rejected_connections
    yield "total_error_replies", sum(state.counters.errors.values())
    yield "unexpected_error_replies", 0
    yield "evicted_clients", state.memory.evicted
    yield "client_query_buffer_limit_disconnections", state.counters.query_overruns
    yield "client_output_buffer_limit_disconnections", state.counters.output_overruns
    yield "acl_access_denied_auth", state.counters.authentication_failures


def _stalls(session: Session) -> Fields:
    meter = session.state.meter
    yield "stall_meter", "on" if meter.measures else "off"
    yield "stall_longest_ms", f"{meter.longest * 1000:.1f}"
    yield "stall_longest_last_minute_ms", f"{meter.longest_last_minute * 1000:.1f}"
    yield "stall_longest_cpu_ms", f"{meter.longest_cpu * 1000:.1f}"
    yield "stall_over_20_ms", meter.stalls
    yield "stall_over_100_ms", meter.long_stalls
    yield "stall_iterations", meter.iterations
    yield "stall_histogram", ",".join(f"{bound}={int(count)}" for bound, count in meter.buckets())
    yield "gc_longest_ms", f"{meter.longest_collection * 1000:.1f}"
    for number, stall in enumerate(meter.worst):
        yield (
            f"stall{number}",
            f"ms={stall.seconds * 1000:.1f},cpu_ms={stall.cpu * 1000:.1f},at={stall.at:.3f},during={stall.during()}",
        )


def _replication(session: Session) -> Fields:
    status = session.state.replica.status()
    leads = status.role == "leader"
    yield "role", "master" if leads else "slave"
    if leads:
        others = [member for member in status.members if member.id != status.id]
        yield "connected_slaves", sum(member.connected for member in others)
        for number, member in enumerate(others):
            host, port = split_address(member.client_address)
            lag = round(member.last_contact) if member.last_contact >= 0 else -1
            state = "online" if member.connected else "offline"
            yield f"slave{number}", f"ip={host},port={port},state={state},offset={member.match},lag={lag}"
    else:
        host, port = split_address(status.leader_address)
        yield "master_host", host
        yield "master_port", port
        yield "master_link_status", "up" if status.leader_id and status.has_quorum else "down"
        yield "slave_repl_offset", status.applied
        yield "slave_read_only", 1
        yield "connected_slaves", 0
    yield "master_replid", status.cluster_id.ljust(40, "0")
    yield "master_repl_offset", status.commit


def split_address(text: str) -> tuple[str, int]:
    """(host, port) of a client address; ("", 0) where it is unknown."""
    try:
        address = Address.parse(text)
    except ValueError:
        return "", 0
    return address.host, address.port


def _cpu(session: Session) -> Fields:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield "used_cpu_sys", f"{own.ru_stime:.6f}"
    yield "used_cpu_user", f"{own.ru_utime:.6f}"
    yield "used_cpu_sys_children", f"{children.ru_stime:.6f}"
    yield "used_cpu_user_children", f"{children.ru_utime:.6f}"


def _modules(session: Session) -> Fields:
    return iter(())


def _commandstats(session: Session) -> Fields:
    for known in session.state.table.all():
        if known.calls or known.rejected:
            each = known.microseconds / known.calls if known.calls else 0.0
            yield (
                f"cmdstat_{known.full_name}",
                f"calls={known.calls},usec={int(known.microseconds)},usec_per_call={each:.2f},"
                f"rejected_calls={known.rejected},failed_calls={known.failed}",
            )


def _errorstats(session: Session) -> Fields:
    for code, count in sorted(session.state.counters.errors.items()):
        yield f"errorstat_{code.decode('latin-1')}", f"count={count}"


def _cluster(session: Session) -> Fields:
    yield "cluster_enabled", int(session.state.config.on_follower == "moved")


def _keyspace(session: Session) -> Fields:
    machine = session.state.replica.machine
    if machine.key_count:
        yield "db0", f"keys={machine.key_count},expires={machine.volatile_count},avg_ttl=0"


def _raft(session: Session) -> Fields:
    status = session.state.replica.status()
    yield from raft_fields(status)


def raft_fields(status: ReplicaStatus) -> Fields:
    """INFO raft."""
    configuration = status.configuration
    yield "raft_id", status.id
    yield "raft_cluster_id", status.cluster_id
    yield "raft_role", status.role
    yield "raft_term", status.term
    yield "raft_leader_id", status.leader_id
    yield "raft_leader_address", status.leader_address
    yield "raft_commit_index", status.commit
    yield "raft_applied_index", status.applied
    yield "raft_last_index", status.last_index
    yield "raft_first_index", status.first_index
    yield "raft_persisted_index", status.persisted
    yield "raft_snapshot_index", status.snapshot_index
    yield "raft_snapshot_in_progress", int(status.snapshot_in_progress)
    yield "raft_has_quorum", int(status.has_quorum)
    yield "raft_configuration_index", status.configuration_index
    yield "raft_level", status.level
    yield "raft_cluster_level", status.cluster_level
    yield "raft_voters", ",".join(member.id for member in configuration.members if member.voter)
    yield "raft_learners", ",".join(member.id for member in configuration.members if not member.voter)
    yield "raft_outgoing", ",".join(member.id for member in configuration.outgoing)
    yield "raft_transferring_to", status.transferring_to
    yield "raft_log_bytes", status.log_bytes
    yield "raft_state_digest", f"{status.digest:016x}"
    yield "raft_state_digest_index", status.digest_index
    yield "raft_clock_ms", status.clock_ms
    yield "raft_clock_ahead", f"{status.clock_ahead:.3f}"
    yield "raft_clock_error", f"{status.clock_error:.3f}"
    for number, member in enumerate(status.members):
        yield (
            f"raft_member{number}",
            f"id={member.id},address={member.address},client_address={member.client_address},role={member.role},"
            f"connected={int(member.connected)},state={member.state},match={member.match},next={member.next},"
            f"last_contact={member.last_contact:.3f},clock_offset={_offset(member.clock_offset)},level={member.level},version={member.version}",
        )


def _offset(seconds: float | None) -> str:
    """Empty where it is not known."""
    return "" if seconds is None else f"{seconds:.3f}"


SECTIONS: dict[str, Callable[[Session], Fields]] = {
    "server": _server,
    "clients": _clients,
    "memory": _memory,
    "persistence": _persistence,
    "stats": _stats,
    "stalls": _stalls,
    "replication": _replication,
    "cpu": _cpu,
    "modules": _modules,
    "commandstats": _commandstats,
    "errorstats": _errorstats,
    "cluster": _cluster,
    "keyspace": _keyspace,
    "raft": _raft,
}
TITLES = {"cpu": "CPU"}
DEFAULT = [name for name in SECTIONS if name != "commandstats"]
