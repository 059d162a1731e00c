"""Every setting of a node, validated: the one value that the command line, file and environment become."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import combinations
from typing import Literal

from leto.errors import ConfigError

ReadMode = Literal["linearizable", "lease", "local"]
FollowerPolicy = Literal["refuse", "moved", "proxy"]
FsyncPolicy = Literal["always", "everysec", "no"]

LONGEST_ADDRESS = 253 + len("[]:65535")  # characters: a host's name has at most 253 (RFC 1035)


@dataclass(frozen=True, slots=True)
class Address:
    """host:port; the host may be "" (all interfaces, or "as seen by the other side"). IPv6 hosts carry no brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_unspecified(self) -> bool:
        """Whether the host names no one host: "", 0.0.0.0 and [::] mean all interfaces."""
        return self.host in ("", "*", "0.0.0.0", "::")

    @property
    def is_loopback(self) -> bool:
        """Whether a socket bound to it is reached from this host alone."""
        try:
            return self.host == "localhost" or ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def takes(self, host: str) -> bool:
        """Whether a socket bound to this unspecified address can be reached at `host`: 0.0.0.0 is IPv4 alone, [::] is
        IPv6 alone, no host is both."""
        try:
            literal = ip_address(host.partition("%")[0])
        except ValueError:
            return True  # a name: who knows
        is_ipv4 = literal.version == 4 or literal.ipv4_mapped is not None
        return self.host == "" or is_ipv4 == (self.host != "::")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse ":5379", "127.0.0.1:5379", "[::1]:5379" or "host:5379".

        Raises ValueError with a sentence that names the text.
        """
        if len(text) > LONGEST_ADDRESS:
            raise ValueError(f"{text[:32]!r}... is not an address: it has {len(text)} characters")
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ValueError(f"{text!r} is not an address: it has no :port")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
            raise ValueError(f"{text!r} is not an address: the port must be a number from 0 to 65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if ":" not in host:
                raise ValueError(f"{text!r} is not an address: brackets are for IPv6 hosts")
        elif ":" in host or "[" in host or "]" in host:
            raise ValueError(f"{text!r} is not an address: write an IPv6 host in brackets, [::1]:5379")
        if any(c.isspace() or not c.isprintable() or c == "/" for c in host):
            raise ValueError(f"{text!r} is not an address: the host has a character that no host has")
        return cls(host, int(port))


@dataclass(frozen=True, slots=True)
class OutputLimit:
    """How many bytes of replies a client may leave unread: above `hard` it is closed at once, above `soft` once that
    has lasted `seconds`. 0: no such limit. Redis's client-output-buffer-limit, of one class of clients."""

    hard: int = 0
    soft: int = 0
    seconds: int = 0

    def __str__(self) -> str:
        return f"{self.hard} {self.soft} {self.seconds}"


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """By Redis's classes of clients, with Redis's defaults. Here all clients are `normal`."""

    normal: OutputLimit = OutputLimit()
    slave: OutputLimit = OutputLimit(256 << 20, 64 << 20, 60)
    pubsub: OutputLimit = OutputLimit(32 << 20, 8 << 20, 60)

    def __str__(self) -> str:
        return f"normal {self.normal} slave {self.slave} pubsub {self.pubsub}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Durations are seconds, sizes are bytes, unless a name says otherwise."""

    id: str
    listen: Address = Address("", 5379)
    raftbind: Address = Address("", 15379)
    raftdir: str = "./"
    join: tuple[Address, ...] = ()  # client addresses of members; this node's own may be among them
    bootstrap_expect: int = 0  # how many nodes, all of --join, form a cluster once they see each other; 0: never
    advertise: Address | None = None  # what peers dial, where it is not raftbind (a proxy, a NAT)
    advertise_client: Address | None = None  # what clients dial, where it is not listen

    # consensus
    election_timeout: float = 0.8  # lower bound; each timeout is drawn from [1, 1.5) times it
    heartbeat_interval: float = 0.1
    read_timeout: float = 2.0  # a read that no quorum confirms fails after this
    write_timeout: float = 5.0  # after losing leadership: how long an appended write may wait for its fate
    max_clock_offset: float = 5.0  # a leader's wall clock further from a majority's is not followed
    reads: ReadMode = "linearizable"
    on_follower: FollowerPolicy = "refuse"
    on_removed: Literal["exit", "wait"] = "exit"
    snapshot_bytes: int = 64 << 20  # log bytes since the last snapshot that start the next one
    snapshot_entries: int = 200_000
    trailing_entries: int = 10_000  # kept behind a snapshot for slow followers ...
    trailing_bytes: int = 64 << 20  # ... or fewer, if they take more than this
    snapshot_rate: int = 64 << 20  # bytes a second, streamed to one follower
    max_batch_bytes: int = 64 << 10  # one log entry gathers at most this (one command may exceed it)
    max_uncommitted_bytes: int = 256 << 20

    # disk
    fsync: FsyncPolicy = "always"
    flush: Literal["auto", "thread", "inline"] = "auto"
    segment_bytes: int = 64 << 20
    min_free_bytes: int = 256 << 20  # of the disk; with less, writes that add data are refused

    # clients
    compat: Literal["redis", "leto"] = "redis"
    password: str | None = None  # read from requirepass_file
    requirepass_file: str | None = None
    protected_mode: bool = True
    maxclients: int = 10_000
    timeout: int = 0  # seconds after which a client that asks nothing is closed, 0: never
    tcp_keepalive: int = 300  # seconds of silence after which the kernel asks whether a client is there, 0: never
    max_bulk_bytes: int = 512 << 20
    # What clients may make a node keep: see leto.clients.flow.
    client_output_limits: OutputLimits = OutputLimits()
    client_query_buffer_limit: int = 1 << 30  # a client that makes it keep more of its requests is closed
    client_pending_bytes: int = 16 << 20  # a client that waits for this node with more than that is not read from
    maxmemory_clients: int = 1 << 30  # of all clients; beyond it those that keep most are closed. 0: no limit

    # peers
    cluster_secret: bytes | None = None  # read from cluster_secret_file or LETO_CLUSTER_SECRET
    cluster_secret_file: str | None = None
    confirm_peers: bool = True  # without a secret: a member at its own address must vouch for who says it is that one

    # operations
    skip_entries: frozenset[int] = frozenset()  # log indexes to pass over, if their entries cannot be applied
    admin_listen: Address | None = None
    admin_hosts: tuple[str, ...] = ()  # names that the admin port answers to, besides addresses and its own
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    log_file: str | None = None
    config_file: str | None = None

    def validate(self) -> None:
        """Raise ConfigError with a sentence for each setting, or pair of settings, that makes no sense."""
        wrong = list(_violations(self))
        if wrong:
            raise ConfigError("; ".join(wrong))


LONGEST_PASSWORD = 16384  # bytes: what a client may send as one argument before it is authenticated
# An id travels in handshakes, log lines, RESP replies and metrics' labels: nothing that needs quoting anywhere.
_SERVER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,127}", re.ASCII)
_AT_LEAST: Mapping[str, int] = {
    "snapshot_bytes": 1 << 10,
    "snapshot_entries": 1,
    "snapshot_rate": 1 << 10,
    "max_batch_bytes": 1 << 10,
    "max_uncommitted_bytes": 1 << 20,
    "segment_bytes": 4 << 10,
    "maxclients": 1,
    "max_bulk_bytes": 1 << 10,
    "client_query_buffer_limit": 1 << 20,
    "client_pending_bytes": 1 << 10,
}
_AT_MOST: Mapping[str, int] = {"maxclients": (1 << 32) - 1, "timeout": (1 << 31) - 1, "tcp_keepalive": (1 << 31) - 1}


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
    for name in ("election_timeout", "heartbeat_interval", "read_timeout", "write_timeout", "max_clock_offset"):
        if getattr(config, name) <= 0:
            yield f"the {name.replace('_', ' ')} must be more than 0"
    if config.heartbeat_interval * 2 > config.election_timeout:
        yield (
            f"the election timeout ({config.election_timeout * 1000:g} ms) must be at least twice "
            f"the heartbeat interval ({config.heartbeat_interval * 1000:g} ms)"
        )
    for name, least in _AT_LEAST.items():
        if getattr(config, name) < least:
            yield f"{name.replace('_', '-')} must be at least {least}"
    for name, most in _AT_MOST.items():
        if getattr(config, name) > most:
            yield f"{name.replace('_', '-')} must be at most {most}"
    if any(index < 1 for index in config.skip_entries):
        yield "skip-entry names log entries, the first of which is 1"
    if config.password is not None and len(config.password.encode("utf-8", "surrogateescape")) > LONGEST_PASSWORD:
        yield f"the clients' password is longer than {LONGEST_PASSWORD} bytes: AUTH would never take it"
    if config.max_uncommitted_bytes < config.max_batch_bytes:
        yield "max-uncommitted-bytes must hold at least one batch (max-batch-bytes)"
