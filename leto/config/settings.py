"""Every setting of a node, stated once: the one value that the command line, file and environment become."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from functools import partial
from itertools import combinations
from typing import Any, Literal

from leto.config.address import Address
from leto.config.kinds import Setting, count, milliseconds, number, one_of, parse_text, setting, size, switch, text
from leto.config.limits import OutputLimits, parse_output_limits, show_output_limits
from leto.errors import ConfigError

ReadMode = Literal["linearizable", "lease", "local"]
FollowerPolicy = Literal["refuse", "moved", "proxy"]
FsyncPolicy = Literal["always", "everysec", "no"]

LONGEST_PASSWORD = 16384  # bytes: what a client may send as one argument before it is authenticated
_INT32 = (1 << 31) - 1
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", re.ASCII)


def _parse_addresses(text: str) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(Address.parse(part.strip()) for part in text.split(",")))


def _parse_indexes(text: str) -> frozenset[int]:
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 20 for word in words):
        raise ValueError(f"{text!r} is no log index, nor several with commas between them")
    return frozenset(map(int, words))


def _show_indexes(indexes: frozenset[int]) -> str:
    return ",".join(map(str, sorted(indexes)))


def _parse_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no host name")
    return names


_address = partial(setting, metavar="HOST:PORT", parse=Address.parse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Durations are seconds, sizes are bytes, unless a name says otherwise."""

    # The node
    id: str = setting(..., "the node's name, unique in the cluster (required)", "NAME", parse_text)
    listen: Address = _address(Address("", 5379), "where clients and joining nodes connect")
    raftbind: Address = _address(Address("", 15379), "where peers connect")
    raftdir: str = text("./", "the node's data directory, created if missing", "DIR", redis="dir")
    join: tuple[Address, ...] = setting(
        (),
        "members' client addresses, its own may be among them; without any an empty directory founds a cluster",
        "HOST:PORT,...",
        _parse_addresses,
        show=lambda addresses: ",".join(map(str, addresses)),
    )
    bootstrap_expect: int = count(
        0, "how many nodes, those of --join, form a cluster together once all are up; 0: none"
    )
    advertise: Address | None = _address(None, "what peers dial, where that is not --raftbind (NAT, a proxy)")
    advertise_client: Address | None = _address(None, "what clients are told to dial, where that is not --listen")
    config_file: str | None = text(
        None, "a TOML file of these options, without the dashes in front", "FILE", name="config"
    )

    # Consensus
    # The lower bound: each timeout is drawn from [1, 1.5) times it.
    election_timeout: float = milliseconds(
        0.8, "silence after which a leader is held to be dead", name="election-timeout-ms"
    )
    heartbeat_interval: float = milliseconds(0.1, "how often a leader is heard", name="heartbeat-ms")
    read_timeout: float = milliseconds(2.0, "a read that no quorum confirms fails after this", name="read-timeout-ms")
    write_timeout: float = milliseconds(
        5.0, "how long an appended write may wait for its fate", name="write-timeout-ms"
    )
    max_clock_offset: float = milliseconds(
        5.0, "a clock further off a majority's is not followed", name="max-clock-offset-ms"
    )
    reads: ReadMode = one_of(
        "linearizable", ("linearizable", "lease", "local"), "how reads are confirmed; local may be stale"
    )
    on_follower: FollowerPolicy = one_of(
        "refuse", ("refuse", "moved", "proxy"), "a write on a follower: -not leader, -MOVED, forward"
    )
    on_removed: Literal["exit", "wait"] = one_of(
        "exit", ("exit", "wait"), "what a node does once it is removed from the cluster"
    )
    snapshot_bytes: int = size(
        64 << 20, "log since the last snapshot that starts the next (or that one's size, if larger)", least=1 << 10
    )
    snapshot_entries: int = count(
        200_000, "log entries that start the next one (as many times more, likewise)", least=1
    )
    trailing_entries: int = count(10_000, "log entries kept behind a snapshot for slow followers")
    trailing_bytes: int = size(64 << 20, "fewer are kept if they take more than this")
    snapshot_rate: int = size(64 << 20, "bytes a second streamed to one follower that needs a snapshot", least=1 << 10)
    # One command may exceed it.
    max_batch_bytes: int = size(64 << 10, "one log entry gathers at most this many bytes of commands", least=1 << 10)
    max_uncommitted_bytes: int = size(
        256 << 20, "writes waiting for a quorum; beyond this new ones are refused", least=1 << 20
    )

    # Disk
    fsync: FsyncPolicy = one_of(
        "always",
        ("always", "everysec", "no"),
        "when writes are synced to disk, as Redis names it",
        redis="appendfsync",
    )
    flush: Literal["auto", "thread", "inline"] = one_of(
        "auto", ("auto", "thread", "inline"), "where disk writes run: as the disk is quick, in a thread, at once"
    )
    segment_bytes: int = size(64 << 20, "size of one log file", least=4 << 10)
    min_free_bytes: int = size(
        256 << 20, "with less free on the disk (or 1/8 of a small one) writes that add data are refused"
    )

    # Clients
    compat: Literal["redis", "leto"] = one_of(
        "redis", ("redis", "leto"), "leto: GET, DEL, PING and LEAVE answer as the original Leto did"
    )
    password: str | None = None  # read from requirepass_file
    requirepass_file: str | None = text(None, "a file with the clients' password (or set LETO_REQUIREPASS)", "FILE")
    protected_mode: bool = switch(True, "without a password, serve only clients and peers of this host", settable=True)
    maxclients: int = count(
        10_000,
        "client connections at a time (fewer where the limit of open files is low)",
        least=1,
        most=(1 << 32) - 1,
        settable=True,
    )
    timeout: int = count(
        0, "a client that asks nothing for so many seconds is closed; 0: never", most=_INT32, settable=True
    )
    tcp_keepalive: int = count(
        300, "seconds of silence until a client's connection is probed; 0: never", most=_INT32, settable=True
    )
    max_bulk_bytes: int = size(
        512 << 20, "the longest string a client may send", name="proto-max-bulk-len", least=1 << 10
    )
    # What clients may make a node keep: see leto.clients.flow.
    client_output_limits: OutputLimits = setting(
        OutputLimits(),
        "replies a client may leave unread: normal HARD SOFT SECONDS, as in redis.conf",
        "LIMITS",
        parse_output_limits,
        show=show_output_limits,
        name="client-output-buffer-limit",
        settable=True,
    )
    client_query_buffer_limit: int = size(
        1 << 30, "a client that sends more than this ahead is closed", least=1 << 20, settable=True
    )
    client_pending_bytes: int = size(
        16 << 20,
        "a client that waits for this node with more than that is not read from",
        least=1 << 10,
        settable=True,
    )
    maxmemory_clients: int = size(
        1 << 30, "what clients may make a node keep, in sum; those that keep most are closed", settable=True
    )

    # Peers
    cluster_secret: bytes | None = None  # read from cluster_secret_file or LETO_CLUSTER_SECRET
    cluster_secret_file: str | None = text(
        None, "a file with the secret that peers share (or set LETO_CLUSTER_SECRET)", "FILE"
    )
    confirm_peers: bool = switch(
        True, "without a secret, ask a member at its own address whether it is the one that dialled"
    )

    # Operations
    admin_listen: Address | None = _address(
        None, "HTTP: /metrics, /livez, /readyz, /status; without a host on loopback; off unless set"
    )
    admin_hosts: tuple[str, ...] = setting(
        (),
        "names under which the admin port is asked (addresses and localhost always work)",
        "NAME,...",
        _parse_names,
        show=",".join,
    )
    log_level: Literal["debug", "info", "warn", "error"] = one_of(
        "info", ("debug", "info", "warn", "error"), "the least level that is logged"
    )
    log_format: Literal["text", "json"] = one_of(
        "text", ("text", "json"), "lines for people, or one JSON object a line"
    )
    skip_entries: frozenset[int] = setting(
        frozenset(),
        "pass over these log entries, which cannot be applied: see docs/operations.md",
        "INDEX[,INDEX]",
        _parse_indexes,
        show=_show_indexes,
        name="skip-entry",
    )
    slowlog_log_slower_than: int = number(
        10_000, "microseconds from which SLOWLOG keeps a command; 0: all, -1: none", least=-1, settable=True
    )
    slowlog_max_len: int = count(128, "how many commands SLOWLOG keeps", settable=True)
    latency_monitor_threshold: int = count(20, "milliseconds from which LATENCY keeps an event; 0: none", settable=True)
    check_invariants: bool = switch(
        False, "check the whole keyspace after each entry, as tests do: dear; a node that finds a fault ends"
    )
    log_file: str | None = text(
        None, "where the log goes instead of stderr; reopened on SIGHUP", "FILE", redis="logfile"
    )

    # What of these the command line and the environment gave: the file's own do not count beside them.
    given_beside_file: frozenset[str] = frozenset()

    def validate(self) -> None:
        """Raise ConfigError with a sentence for each setting, or pair of settings, that makes no sense."""
        wrong = list(_violations(self))
        if wrong:
            raise ConfigError("; ".join(wrong))


@dataclass(frozen=True, slots=True)
class Option:
    """A setting as it is given: its `name` on the command line and in the file, the `field` of Config that it sets."""

    name: str
    field: str
    of: Setting
    default_value: Any

    def default(self) -> str:
        """The default as a user would type it; "" when there is none."""
        return "" if self.default_value is None else self.of.show(self.default_value)


def _options() -> Iterator[Option]:
    for of_field in dataclass_fields(Config):
        of = of_field.metadata.get("setting")
        if of is not None:
            default = None if of_field.name == "id" else of_field.default
            yield Option(of.name or of_field.name.replace("_", "-"), of_field.name, of, default)


OPTIONS: Mapping[str, Option] = {option.name: option for option in _options()}
_FIRST_OF_GROUP = {
    "id": "The node",
    "election-timeout-ms": "Consensus",
    "fsync": "Disk",
    "compat": "Clients",
    "cluster-secret-file": "Peers",
    "admin-listen": "Operations",
}


def groups() -> Mapping[str, Sequence[Option]]:
    """The options by the part of the node that they are about, as `--help` shows them."""
    found: dict[str, list[Option]] = {}
    title = ""
    for name, option in OPTIONS.items():
        title = _FIRST_OF_GROUP.get(name, title)
        found.setdefault(title, []).append(option)
    return found


# An id travels in handshakes, log lines, RESP replies and metrics' labels: nothing that needs quoting anywhere.
_SERVER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,127}", re.ASCII)


def is_server_id(text: str) -> bool:
    """Whether a node may be called that."""
    return _SERVER_ID.fullmatch(text) is not None


def _violations(config: Config) -> Iterator[str]:
    if not is_server_id(config.id):
        yield (
            f"the id {config.id!r} is no name for a node: use 1 to 128 letters, digits and _ . : @ - "
            "(the first a letter, a digit or _)"
        )
    dialled: list[tuple[str, Address | None]] = [("join", address) for address in config.join]
    dialled += [("advertise", config.advertise), ("advertise_client", config.advertise_client)]
    for name, address in dialled:
        if address is not None and address.port == 0:
            yield f"{name.replace('_', '-')} {address} names no port that can be dialled"
        if address is not None and name != "join" and address.is_unspecified:
            yield f"{name.replace('_', '-')} {address} names no host that others can dial"
    if config.bootstrap_expect and config.bootstrap_expect - len(config.join) not in (0, 1):
        yield (
            f"bootstrap-expect {config.bootstrap_expect} needs the addresses of all these nodes in join (this node's "
            f"own may be left out), which has {len(config.join)}"
        )
    served = (("listen", config.listen), ("raftbind", config.raftbind), ("admin-listen", config.admin_listen))
    for (one, a), (other, b) in combinations(served, 2):
        if a is not None and b is not None and a.port == b.port != 0 and (a.host == b.host or "" in (a.host, b.host)):
            yield f"{one} and {other} cannot both be {a}"
    for option in OPTIONS.values():
        yield from _beyond_bounds(option, getattr(config, option.field))
    if config.heartbeat_interval * 2 > config.election_timeout:
        yield (
            f"the election timeout ({config.election_timeout * 1000:g} ms) must be at least twice "
            f"the heartbeat interval ({config.heartbeat_interval * 1000:g} ms)"
        )
    if any(index < 1 for index in config.skip_entries):
        yield "skip-entry names log entries, the first of which is 1"
    if config.password is not None and len(config.password.encode("utf-8", "surrogateescape")) > LONGEST_PASSWORD:
        yield f"the clients' password is longer than {LONGEST_PASSWORD} bytes: AUTH would never take it"
    if config.max_uncommitted_bytes < config.max_batch_bytes:
        yield "max-uncommitted-bytes must hold at least one batch (max-batch-bytes)"


def _beyond_bounds(option: Option, value: Any) -> Iterator[str]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if isinstance(value, float) and value <= 0:
        yield f"the {option.field.replace('_', ' ')} must be more than 0"
    elif not isinstance(value, float) and value < option.of.least:
        yield f"{option.field.replace('_', '-')} must be at least {option.of.least}"
    elif value > option.of.most:
        yield f"{option.field.replace('_', '-')} must be at most {option.of.most}"
