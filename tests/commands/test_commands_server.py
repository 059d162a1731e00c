"""INFO, CONFIG, SLOWLOG, TIME, ROLE, LATENCY, MEMORY, DEBUG, SHUTDOWN, SAVE, WAIT."""

from __future__ import annotations

import pytest

from leto.commands.inert_settings import POLICIES
from leto.commands.info import human
from leto.config import Address
from leto.config.settings import OPTIONS
from leto.raft.configuration import Member
from tests.clients.conversation import Client, Node, error


def fields(text: bytes) -> dict[str, str]:
    lines = [line for line in text.decode().split("\r\n") if line and not line.startswith("#")]
    return dict(line.split(":", 1) for line in lines)


def sections(text: bytes) -> list[str]:
    return [line[2:] for line in text.decode().split("\r\n") if line.startswith("# ")]


# INFO -----------------------------------------------------------------------------------------------


def test_info_by_default_and_by_sections(client: Client) -> None:
    assert sections(client.call("INFO")) == [
        "Server", "Clients", "Memory", "Persistence", "Stats", "Stalls", "Replication", "CPU", "Modules",
        "Errorstats", "Cluster", "Keyspace", "Raft",
    ]  # fmt: skip
    assert "Commandstats" in sections(client.call("INFO", "all"))
    assert "Commandstats" in sections(client.call("INFO", "everything"))
    assert sections(client.call("INFO", "RAFT", "server")) == ["Server", "Raft"]
    assert sections(client.call("INFO", "default", "commandstats"))[9] == "Commandstats"
    assert client.call("INFO", "foo") == b""


def test_info_raft(node: Node) -> None:
    client = node.client()
    client.call("SET", "a", 1)
    node.replica.members["id2"] = Member("id2", "10.0.0.2:15379", False)
    found = fields(client.call("INFO", "raft"))
    assert found["raft_id"] == found["raft_leader_id"] == "lone"
    assert found["raft_role"] == "leader"
    assert (found["raft_commit_index"], found["raft_applied_index"], found["raft_state_digest_index"]) == (
        "1",
        "1",
        "1",
    )
    assert (found["raft_voters"], found["raft_learners"]) == ("lone", "id2")
    assert int(found["raft_state_digest"], 16) == node.replica.machine.digest()[1]
    assert found["raft_member0"].startswith("id=id2,address=10.0.0.2:15379,client_address=,role=learner,connected=1,")
    assert set(found) >= {
        "raft_cluster_id", "raft_term", "raft_leader_address", "raft_last_index", "raft_first_index",
        "raft_persisted_index", "raft_snapshot_index", "raft_has_quorum", "raft_configuration_index",
    }  # fmt: skip


def test_info_counts(node: Node) -> None:
    client = node.client()
    client.say(b"SET a 1\r\nSET b 2 EX 100\r\nGET a\r\nGET a\r\nINCR b\r\nget\r\nfoo\r\nLPUSH\r\n")
    client.say(b"SET x y\r\nINCR x\r\n")
    stats = fields(client.call("INFO", "commandstats"))
    assert stats["cmdstat_set"].startswith("calls=3,usec=")
    assert stats["cmdstat_get"].endswith("rejected_calls=1,failed_calls=0")
    assert stats["cmdstat_incr"].endswith("rejected_calls=0,failed_calls=1")
    assert fields(client.call("INFO", "errorstats"))["errorstat_ERR"] == "count=4"
    assert fields(client.call("INFO", "keyspace"))["db0"] == "keys=3,expires=1,avg_ttl=0"
    assert int(fields(client.call("INFO", "stats"))["total_commands_processed"]) == 14
    assert node.factory.command_calls[b"set"] == 3
    assert node.factory.counters["commands"] == 14
    assert client.call("CONFIG", "RESETSTAT") == b"OK"
    assert "cmdstat_set" not in fields(client.call("INFO", "commandstats"))


def test_info_tells_of_stalls_and_resetstat_forgets_them(node: Node) -> None:
    client, meter = node.client(), node.state.meter
    meter.spent("snapshot", 0.04)
    meter.end_iteration(0.15, 0.05)
    found = fields(client.call("INFO", "stalls"))
    assert (found["stall_longest_ms"], found["stall_longest_last_minute_ms"]) == ("150.0", "150.0")
    assert (found["stall_over_20_ms"], found["stall_over_100_ms"], found["stall_iterations"]) == ("1", "1", "1")
    assert found["stall_histogram"].endswith("0.1=0,0.2=1,0.5=1,1.0=1,2.5=1,+Inf=1")
    assert found["stall0"].startswith("ms=150.0,cpu_ms=50.0,at=")
    assert found["stall0"].endswith(",during=snapshot:40.0")
    client.call("CONFIG", "RESETSTAT")
    found = fields(client.call("INFO", "stalls"))
    assert (found["stall_longest_ms"], found["stall_over_20_ms"], found.get("stall0")) == ("0.0", "0", None)


def test_the_rate_of_commands(node: Node) -> None:
    client = node.client()
    client.say(b"PING\r\n" * 99)
    node.clock.advance(2)
    assert fields(client.call("INFO", "stats"))["instantaneous_ops_per_sec"] == "50"


def test_info_replication_of_both_roles() -> None:
    node = Node(listen=Address("", 5379))
    client = node.client()
    node.replica.members["id2"] = Member("id2", "10.0.0.2:15379", True, client_address="10.0.0.2:6379")
    found = fields(client.call("INFO", "replication"))
    assert (found["role"], found["connected_slaves"]) == ("master", "1")
    assert found["slave0"].startswith("ip=10.0.0.2,port=6379,state=online,offset=0,")
    node.replica.is_leader, node.replica.leader_id, node.replica.leader_address = False, "id2", "10.0.0.2:6379"
    found = fields(client.call("INFO", "replication"))
    assert (found["role"], found["master_host"], found["master_port"]) == ("slave", "10.0.0.2", "6379")
    assert found["master_link_status"] == "up"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (1023, "1023B"), (1536, "1.50K"), (1 << 20, "1.00M"), (5 << 30, "5.00G")]
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human(size) == text


# CONFIG ------------------------------------------------------------------------------------------------


def config(client: Client, *patterns: str) -> dict[str, str]:
    flat = client.call("CONFIG", "GET", *patterns)
    return {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}


def test_config_get_by_globs(client: Client) -> None:
    assert config(client, "port") == {"port": "5379"}
    assert config(client, "PORT", "save", "nothing") == {"port": "5379", "save": ""}
    assert config(client, "maxmemory", "maxmemory-p*") == {"maxmemory": "0", "maxmemory-policy": "noeviction"}
    assert config(client, "appendonly", "election-timeout-ms") == {"appendonly": "yes", "election-timeout-ms": "800"}
    assert config(client, "*secret*") == {"cluster-secret-file": ""}  # the file's path, never what it holds


def test_config_set(node: Node) -> None:
    client = node.client()
    assert client.call("CONFIG", "SET", "maxclients", 7, "slowlog-max-len", 3, "client-pending-bytes", "2mb") == b"OK"
    found = config(client, "maxclients", "slowlog-max-len", "client-pending-bytes")
    assert found == {"maxclients": "7", "slowlog-max-len": "3", "client-pending-bytes": str(2 << 20)}


INT64 = (1 << 63) - 1
PREFIX = "ERR CONFIG SET failed (possibly related to argument "


def test_config_get_shows_every_option_but_the_secrets(client: Client) -> None:
    found = config(client, "*")
    assert set(OPTIONS) <= set(found)
    assert found["log-format"] == "text"
    assert found["snapshot-bytes"] == str(64 << 20)
    assert found["cluster-secret-file"] == ""


def test_config_get_shows_names_of_files_and_passwords_byte_by_byte() -> None:
    client = Node(raftdir="/data/\udcff", log_file="/log/\udcfe").client()
    assert client.call("CONFIG", "GET", "dir") == [b"dir", b"/data/\xff"]
    assert b"/log/\xfe" in client.call("CONFIG", "GET", "*")
    assert client.call("CONFIG", "SET", "requirepass", b"\xff\0") == b"OK"
    assert client.call("CONFIG", "GET", "requirepass") == [b"requirepass", b"\xff\0"]


@pytest.mark.parametrize("kind", ["hash", "zset"])
def test_a_listpack_value_is_a_size_as_in_redis(client: Client, kind: str) -> None:
    assert client.call("CONFIG", "SET", f"{kind}-max-ziplist-value", "1kb") == b"OK"
    assert config(client, f"{kind}-max-listpack-value") == {f"{kind}-max-listpack-value": "1024"}
    assert "memory value" in error(client.call("CONFIG", "SET", f"{kind}-max-listpack-value", "1x"))
    assert "integer" in error(client.call("CONFIG", "SET", f"{kind}-max-listpack-entries", "1kb"))


def test_config_set_takes_what_steers_nothing_here(client: Client) -> None:
    words = "hz 1000 lua-time-limit 10 hash-max-ziplist-entries 7 list-max-listpack-size -5 appendonly no maxmemory 0"
    rest = ("save", "900 1 300 10", "maxmemory-policy", "ALLKEYS-LRU")
    assert client.call("CONFIG", "SET", *words.split(), *rest) == b"OK"
    for wrong in ("1 2 3", "0 1", "a b"):
        assert "Invalid save parameters" in error(client.call("CONFIG", "SET", "save", wrong))
    assert config(client, "hz", "busy-*", "hash-max-*-entries", "list-max-*", "save", "maxmemory-policy") == {
        "hz": "500",
        "busy-reply-threshold": "10",
        "hash-max-listpack-entries": "7",
        "hash-max-ziplist-entries": "7",
        "list-max-listpack-size": "-5",
        "list-max-ziplist-size": "-5",
        "save": "900 1 300 10",
        "maxmemory-policy": "allkeys-lru",
    }


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ("foo bar", "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
        ("maxclients 0", f"{PREFIX}'maxclients') - argument must be between 1 and 4294967295 inclusive"),
        ("maxclients abc", f"{PREFIX}'maxclients') - argument couldn't be parsed into an integer"),
        ("maxclients 1 maxclients 2", f"{PREFIX}'maxclients') - duplicate parameter"),
        ("port 1", f"{PREFIX}'port') - can't set immutable config"),
        ("hz abc", f"{PREFIX}'hz') - argument couldn't be parsed into an integer"),
        ("hz 1 hz 2", f"{PREFIX}'hz') - duplicate parameter"),
        (
            "set-max-intset-entries -1",
            f"{PREFIX}'set-max-intset-entries') - argument must be between 0 and {INT64} inclusive",
        ),
        ("maxmemory 100mb", f"{PREFIX}'maxmemory') - Leto holds no memory limit: 0 is the one value that it can keep"),
        ("maxmemory x", f"{PREFIX}'maxmemory') - argument must be a memory value"),
        (
            "maxmemory-policy x",
            f"{PREFIX}'maxmemory-policy') - argument(s) must be one of the following: {', '.join(POLICIES)}",
        ),
        ("protected-mode maybe", f"{PREFIX}'protected-mode') - argument must be 'yes' or 'no'"),
        ("client-pending-bytes 1x", f"{PREFIX}'client-pending-bytes') - argument must be a memory value"),
        ("maxclients 1 foo", "ERR syntax error"),
        ("maxclients 5 foo 1", "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
    ],
)
def test_config_set_refusals_change_nothing(client: Client, words: str, reply: str) -> None:
    assert error(client.call("CONFIG", "SET", *words.split())) == reply
    assert config(client, "maxclients") == {"maxclients": "10000"}


# SLOWLOG -----------------------------------------------------------------------------------------------


def test_the_slow_log_keeps_what_took_long(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    client = node.client()
    client.call("CLIENT", "SETNAME", "bob")
    with monkeypatch.context() as slow:
        apply = node.replica.machine.apply
        slow.setattr(node.replica.machine, "apply", lambda entry: node.clock.advance(0.5) or apply(entry))
        client.send(b"SET key %b\r\n" % (b"v" * 200))
        assert client.hear() == b"+OK\r\n"
    client.say(b"SET quick 1\r\n")
    assert client.call("SLOWLOG", "LEN") == 1
    ((number, at, microseconds, arguments, address, name),) = client.call("SLOWLOG", "GET")
    assert (number, at, microseconds) == (0, 1_700_000_000, 500_000)
    assert arguments == [b"SET", b"key", b"v" * 128 + b"... (72 more bytes)"]
    assert (address, name) == (b"127.0.0.1:50000", b"bob")
    assert client.call("SLOWLOG", "RESET") == b"OK"
    assert client.call("SLOWLOG", "GET", -1) == []


def test_what_a_write_waits_for_the_log_is_not_slowness(node: Node) -> None:
    client = node.client()
    node.replica.hold_writes = True
    client.send(b"SET key 1\r\n")
    node.clock.advance(0.5)
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n"
    assert client.call("SLOWLOG", "LEN") == 0


def test_the_slow_log_is_bounded_and_newest_first(node: Node) -> None:
    client = node.client()
    client.pipeline(("CONFIG", "SET", "slowlog-log-slower-than", 0), ("CONFIG", "SET", "slowlog-max-len", 3))
    for number in range(5):
        client.call("MGET", *[f"k{number}"] * 40)
    entries = client.call("SLOWLOG", "GET", 2)
    assert [entry[0] for entry in entries] == [6, 5]  # the CONFIG SETs are commands too
    assert len(entries[0][3]) == 32
    assert entries[0][3][-1] == b"... (10 more arguments)"
    assert client.call("SLOWLOG", "LEN") == 3
    client.call("CONFIG", "SET", "slowlog-log-slower-than", -1)
    client.call("GET", "a")
    assert client.call("SLOWLOG", "LEN") == 3


def test_one_slow_read_in_a_pipeline_is_found(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    client = node.client()
    query = node.replica.machine.query

    def slow_keys(argv: list[bytes], clock_ms: int) -> object:
        if argv[0] == b"KEYS":
            node.clock.advance(0.02)
        return query(argv, clock_ms)

    client.session.queue.query = slow_keys
    client.pipeline(*[("GET", "a")] * 50, ("KEYS", "*"), *[("GET", "a")] * 50)
    ((_, _, microseconds, arguments, *_),) = client.call("SLOWLOG", "GET")
    assert (microseconds, arguments) == (20_000, [b"KEYS", b"*"])


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ("GET x", "ERR count should be greater than or equal to -1"),
        ("GET -2", "ERR count should be greater than or equal to -1"),
        ("GET 1 2", "ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP."),
        ("foo", "ERR unknown subcommand 'foo'. Try SLOWLOG HELP."),
    ],
)
def test_slowlog_refusals(client: Client, words: str, reply: str) -> None:
    assert error(client.call("SLOWLOG", *words.split())) == reply


# The rest ------------------------------------------------------------------------------------------------


def test_time_and_lastsave(node: Node) -> None:
    client = node.client()
    assert client.call("TIME") == [b"1700000000", b"250000"]
    assert client.call("LASTSAVE") == 1_700_000_000
    node.clock.advance(60)
    client.call("SET", "a", 1)
    assert client.call("SAVE") == b"OK"
    assert client.call("LASTSAVE") == 1_700_000_060
    assert client.call("SAVE") == b"OK"


def test_saving_in_the_background(node: Node) -> None:
    client = node.client()
    client.call("SET", "a", 1)
    assert client.say(b"BGSAVE\r\n") == b"+Background saving started\r\n"
    assert ("snapshot",) in node.replica.calls
    assert client.say(b"BGSAVE SCHEDULE\r\n") == b"+Background saving started\r\n"
    assert client.say(b"BGSAVE foo\r\n") == b"-ERR syntax error\r\n"
    assert client.say(b"BGREWRITEAOF\r\n") == b"+Background append only file rewriting started\r\n"


def test_role_of_leader_and_follower(node: Node) -> None:
    client = node.client()
    node.replica.members["id2"] = Member("id2", "10.0.0.2:15379", True, client_address="10.0.0.2:6379")
    client.call("SET", "a", 1)
    assert client.call("ROLE") == [b"master", 1, [[b"10.0.0.2", b"6379", b"0"]]]
    node.replica.is_leader, node.replica.leader_id, node.replica.leader_address = False, "id2", "10.0.0.2:6379"
    assert client.call("ROLE") == [b"slave", b"10.0.0.2", 6379, b"connected", 1]
    node.replica.leader_id = node.replica.leader_address = None
    assert client.call("ROLE") == [b"slave", b"", 0, b"connect", 1]


def test_wait_counts_after_the_writes_before_it(node: Node) -> None:
    node.replica.hold_writes = True
    node.replica.members |= {f"id{n}": Member(f"id{n}", f"10.0.0.{n}:1", True) for n in (2, 3)}
    client = node.client()
    client.send(b"SET a 1\r\nWAIT 2 100\r\n")
    assert client.hear() == b""
    node.replica.release_writes()
    assert client.hear() == b"+OK\r\n:1\r\n"
    assert error(client.call("WAIT", "a", 1)) == "ERR value is not an integer or out of range"
    assert error(client.call("WAIT", 1, "a")) == "ERR timeout is not an integer or out of range"
    assert error(client.call("WAIT", 1, -1)) == "ERR timeout is negative"


def test_shutdown_stops_the_node_through_its_callable(node: Node) -> None:
    client = node.client()
    assert client.say(b"SHUTDOWN foo\r\n") == b"-ERR syntax error\r\n"
    assert client.say(b"SHUTDOWN SAVE NOSAVE\r\n") == b"-ERR syntax error\r\n"
    assert client.say(b"SHUTDOWN ABORT\r\n") == b"-ERR No shutdown in progress.\r\n"
    assert node.shutdowns == 0
    assert client.say(b"SHUTDOWN NOSAVE\r\n") == b""
    assert node.shutdowns == 1


def test_debug_is_refused_clearly(client: Client) -> None:
    assert error(client.call("DEBUG", "SLEEP", 1)).startswith("ERR DEBUG command not allowed: ")
    assert error(client.call("DEBUG")) == "ERR wrong number of arguments for 'debug' command"


def test_memory_usage_of_a_key(client: Client) -> None:
    assert client.call("MEMORY", "USAGE", "a") is None
    client.call("SET", "a", "v" * 1000)
    assert 1000 < client.call("MEMORY", "USAGE", "a", "SAMPLES", 5) < 1500
    assert error(client.call("MEMORY", "USAGE", "a", "SAMPLES", "x")) == "ERR value is not an integer or out of range"
    assert error(client.call("MEMORY", "USAGE", "a", "SAMPLES", -1)) == "ERR syntax error"
    assert error(client.call("MEMORY", "USAGE", "a", "foo", 1)) == "ERR syntax error"
    assert error(client.call("MEMORY", "USAGE", "a", "foo")) == "ERR syntax error"


def test_memory_and_latency_reports(client: Client) -> None:
    stats = client.call("MEMORY", "STATS")
    assert dict(zip(stats[::2], stats[1::2], strict=True))[b"total.allocated"] > 1_000_000
    assert client.call("MEMORY", "DOCTOR").startswith(b"Sam, ")
    assert client.call("LATENCY", "LATEST") == []
    assert client.call("LATENCY", "HISTORY", "x") == []
    assert client.call("LATENCY", "RESET") == 0
    assert client.call("LATENCY", "HISTOGRAM", "nosuch") == []
    assert error(client.call("LATENCY", "GRAPH", "x")) == "ERR No samples available for event 'x'"
    assert b"Leto ver. " in client.call("LOLWUT")
    assert b"Leto ver. " in client.call("LOLWUT", "VERSION", 5)


def test_latency_events_as_in_redis(node: Node) -> None:
    client, meter = node.client(), node.state.meter
    meter.took("fsync", 0.0304)
    meter.took("gc2", 0.5)
    latest = client.call("LATENCY", "LATEST")
    assert [[event[0], *event[2:]] for event in latest] == [[b"fsync", 30, 30], [b"gc2", 500, 500]]
    ((at, milliseconds),) = client.call("LATENCY", "HISTORY", "gc2")
    assert milliseconds == 500
    assert client.call("LATENCY", "LATEST")[1][1] == at
    assert client.call("LATENCY", "GRAPH", "gc2").startswith(b"gc2 - high 500 ms, low 500 ms\n")
    assert b"- gc2: 1 seconds with one of at least 20 ms, the longest 500 ms" in client.call("LATENCY", "DOCTOR")
    assert client.call("LATENCY", "RESET", "gc2", "unknown") == 1
    assert [event[0] for event in client.call("LATENCY", "LATEST")] == [b"fsync"]
    meter.end_iteration(0.3, 0.0)
    assert client.call("LATENCY", "RESET") == 2
    assert client.call("LATENCY", "LATEST") == []
    assert meter.longest == 0.0


def test_the_latency_threshold_is_a_setting(node: Node) -> None:
    client, meter = node.client(), node.state.meter
    assert client.call("CONFIG", "GET", "latency-monitor-threshold") == [b"latency-monitor-threshold", b"20"]
    assert client.call("CONFIG", "SET", "latency-monitor-threshold", 100) == b"OK"
    meter.took("fsync", 0.09)
    assert client.call("LATENCY", "LATEST") == []
    meter.took("fsync", 0.11)
    assert client.call("CONFIG", "SET", "latency-monitor-threshold", 0) == b"OK"
    meter.took("gc2", 9.0)
    assert [event[0] for event in client.call("LATENCY", "LATEST")] == [b"fsync"]
