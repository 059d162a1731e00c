"""Options: their spellings, where they come from, which source wins, and how a mistake is told."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto import tap
from leto.config import Address, Config, OutputLimit, OutputLimits
from leto.config.kinds import format_size, parse_size
from leto.config.settings import OPTIONS
from leto.config.sources import double_dashes, help_text, load
from leto.errors import ConfigError
from tests.daemon.processes import ROOT


def config_of(*argv: str, environment: dict[str, str] | None = None) -> Config:
    """What the command line and environment become."""
    options = tap.Options()
    options.parseOptions(argv)
    config, _ = load(options.given(), environment or {})
    return config


def refusal_of(*argv: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises((ConfigError, tap.Refused)) as caught:
        config_of(*argv, environment=environment)
    line = caught.value.reason if isinstance(caught.value, tap.Refused) else str(caught.value)
    assert "\n" not in line
    return line


# Defaults and the table --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ""),
        ({"protected-mode": "no"}, "protected mode is off and there is no cluster secret"),
        ({"protected-mode": "no", "raftbind": "0.0.0.0:1"}, "to those on 0.0.0.0:1"),
        ({"protected-mode": "no", "raftbind": "127.0.0.1:1"}, ""),
    ],
)
def test_an_open_peers_port_is_told_at_start(given, words):
    _, warnings = load({"id": "a", **given}, {})
    assert [words in line for line in warnings] == [True] * bool(words)
    assert load({"id": "a", **given}, {"LETO_CLUSTER_SECRET": "s"})[1] == []
    _, [line] = load({"id": "a", **given}, {"LETO_REQUIREPASS": "s"})
    assert (words or "clients need a password, but peers need no secret") in line


def test_the_original_options_have_the_original_defaults() -> None:
    config = config_of("--id", "id1")
    assert (config.id, str(config.listen), str(config.raftbind)) == ("id1", ":5379", ":15379")
    assert (config.raftdir, config.join) == ("./", ())


def test_every_setting_has_an_option_but_the_secrets() -> None:
    others = {"password", "cluster_secret", "given_beside_file"}  # what secrets and sources come to
    assert {option.field for option in OPTIONS.values()} == {field.name for field in fields(Config)} - others


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "config"])
def test_every_default_can_be_typed(name: str) -> None:
    option = OPTIONS[name]
    default = option.default()
    if default:
        assert option.of.parse(default) == next(f.default for f in fields(Config) if f.name == option.field)


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (("--heartbeat-ms", "50"), "heartbeat_interval", 0.05),
        (("--election-timeout-ms", "1500"), "election_timeout", 1.5),
        (("--segment-bytes", "8mb"), "segment_bytes", 8 << 20),
        (("--skip-entry", "17,9"), "skip_entries", frozenset((9, 17))),
        (("--check-invariants", "yes"), "check_invariants", True),
        (("--maxclients", "12"), "maxclients", 12),
        (("--proto-max-bulk-len", "1gb"), "max_bulk_bytes", 1 << 30),
        (
            ("--client-output-buffer-limit", "normal 2m 1mb 60"),
            "client_output_limits",
            OutputLimits(OutputLimit(2_000_000, 1 << 20, 60)),
        ),
        # what earlier versions took: a client with more than that unread for ten seconds is closed
        (("--client-output-buffer-limit", "1m"), "client_output_limits", OutputLimits(OutputLimit(0, 1_000_000, 10))),
        (("--client-query-buffer-limit", "2mb"), "client_query_buffer_limit", 2 << 20),
        (("--maxmemory-clients", "0"), "maxmemory_clients", 0),
        (("--protected-mode", "no"), "protected_mode", False),
        (("--fsync", "everysec"), "fsync", "everysec"),
        (("--flush", "inline"), "flush", "inline"),
        (("--reads", "local"), "reads", "local"),
        (("--on-follower", "moved"), "on_follower", "moved"),
        (("--compat", "leto"), "compat", "leto"),
        (("--join", "[::1]:5379"), "join", (Address("::1", 5379),)),
        (("--advertise", "db.example:15379"), "advertise", Address("db.example", 15379)),
        (("--admin-listen", ":9100"), "admin_listen", Address("", 9100)),
        (("--log-format", "json"), "log_format", "json"),
    ],
)
def test_an_option_sets_its_field(argv: tuple[str, ...], field: str, value: object) -> None:
    assert getattr(config_of("--id", "a", *argv), field) == value


# Go's forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ("-id", "id1", "-raftdir", "./id1", "-listen", ":6379", "-raftbind", ":16379", "-join", "127.0.0.1:5379"),
        ("-id=id1", "-raftdir=./id1", "-listen=:6379", "-raftbind=:16379", "-join=127.0.0.1:5379"),
        ("--id", "id1", "--raftdir", "./id1", "--listen", ":6379", "--raftbind", ":16379", "--join", "127.0.0.1:5379"),
        ("--id=id1", "-raftdir", "./id1", "--listen=:6379", "-raftbind=:16379", "-join", "127.0.0.1:5379"),
    ],
)
def test_go_forms_and_long_forms_mean_the_same(argv: tuple[str, ...]) -> None:
    config = config_of(*argv)
    assert (config.id, config.raftdir, config.listen.port, config.raftbind.port) == ("id1", "./id1", 6379, 16379)
    assert config.join == (Address("127.0.0.1", 5379),)


def test_a_value_that_looks_like_an_option_is_a_value() -> None:
    assert config_of("-id", "a", "-raftdir", "-listen").raftdir == "-listen"


def test_a_value_may_hold_an_equals_sign() -> None:
    assert config_of("-id", "a", "-raftdir=./x=y").raftdir == "./x=y"


@pytest.mark.parametrize("argv", [("-h",), ("-help",), ("--help",)])
def test_help_is_shown(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        tap.Options().parseOptions(argv)
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{name} " in text for name in OPTIONS)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_a_reader_that_has_seen_enough_of_the_help_hears_no_complaint(argument: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [sys.executable, "-m", "leto.main", argument], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (1, b"")


def test_the_help_names_every_default() -> None:
    text = help_text("leto")
    assert "[:5379]" in text
    assert "[always]" in text
    assert "[64mb]" in text


@given(st.lists(st.text(max_size=12), max_size=6))
def test_rewriting_dashes_twice_changes_nothing_more(argv: list[str]) -> None:
    try:
        once = double_dashes(argv)
    except ConfigError as error:
        assert "is no option" in str(error) or "wants a value" in str(error)
    else:
        assert double_dashes(once) == once


@given(st.lists(st.tuples(st.sampled_from(sorted(OPTIONS)), st.text(max_size=8), st.booleans(), st.booleans())))
def test_one_dash_or_two_and_with_or_without_equals_mean_the_same(
    options: list[tuple[str, str, bool, bool]],
) -> None:
    argv: list[str] = []
    for name, value, two_dashes, equals in options:
        dashes = "--" if two_dashes else "-"
        argv += [f"{dashes}{name}={value}"] if equals else [f"{dashes}{name}", value]
    assert double_dashes(argv) == [f"--{name}={value}" for name, value, _, _ in options]


# Precedence ----------------------------------------------------------------------------------------------------


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "leto.toml"
    file.write_text('id = "f"\nheartbeat-ms = 30\nelection_timeout_ms = 900\nfsync = "no"\nprotected-mode = false\n')
    environment = {"LETO_CONFIG": str(file), "LETO_HEARTBEAT_MS": "40", "LETO_FSYNC": "everysec"}
    config = config_of("--fsync", "always", environment=environment)
    assert config.fsync == "always"
    assert config.heartbeat_interval == 0.04
    assert config.election_timeout == 0.9
    assert config.protected_mode is False
    assert config.id == "f"
    assert config.maxclients == 10_000


def test_a_later_option_wins_over_an_earlier_one() -> None:
    assert config_of("--id", "a", "--id", "b").id == "b"


# Mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "the node's name is missing: give --id NAME"),
        (("--id", ""), "--id: it is empty"),
        (("--id", "a b"), "'a b' is no name for a node"),
        (("--id", "../x"), "'../x' is no name for a node"),
        (("--id", "a" * 129), "is no name for a node"),
        (("--id",), "--id wants a value"),
        (("-id",), "--id wants a value"),
        (("--nonsense", "1"), "--nonsense is no option"),
        (("-nonsense",), "-nonsense is no option"),
        (("--raftdi", "x"), "--raftdi is no option; did you mean raftdir?"),
        (("--help=1",), "must not have an argument"),
        (("-",), "- is no option"),
        (("--id", "a", "--"), "-- is no option"),
        (("--id", "a", "stray"), "'stray' is no option"),
        (("--id", "a", "--listen", "5379"), "--listen: '5379' is not an address: it has no :port"),
        (("--id", "a", "--listen", ":65536"), "--listen: ':65536' is not an address"),
        (("--id", "a", "--listen", "::1:5379"), "write an IPv6 host in brackets"),
        (("--id", "a", "--join", "host:0"), "join host:0 names no port that can be dialled"),
        (("--id", "a", "--join", "h:1,"), "--join: '' is not an address: it has no :port"),
        (("--id", "a", "--join", "h:1", "--bootstrap-expect", "3"), "bootstrap-expect 3 needs the addresses of all"),
        (("--id", "a", "--join", "h:1,h:2,h:3", "--bootstrap-expect", "2"), "which has 3"),
        (("--id", "a", "--advertise", ":15379"), "advertise :15379 names no host"),
        (("--id", "a", "--raftbind", ":5379"), "listen and raftbind cannot both be :5379"),
        (("--id", "a", "--heartbeat-ms", "-1"), "--heartbeat-ms: '-1' is not a whole number of milliseconds"),
        (("--id", "a", "--heartbeat-ms", "1e3"), "'1e3' is not a whole number"),
        (("--id", "a", "--heartbeat-ms", "٣"), "is not a whole number"),
        (("--id", "a", "--heartbeat-ms", "0"), "the heartbeat interval must be more than 0"),
        (("--id", "a", "--heartbeat-ms", "500"), "must be at least twice the heartbeat interval (500 ms)"),
        (("--id", "a", "--segment-bytes", "12x"), "--segment-bytes: '12x' is not a size"),
        (("--id", "a", "--segment-bytes", "mb"), "'mb' is not a size"),
        (("--id", "a", "--skip-entry", "9,x"), "--skip-entry: '9,x' is no log index"),
        (("--id", "a", "--skip-entry", "0"), "skip-entry names log entries, the first of which is 1"),
        (("--id", "a", "--segment-bytes", "1"), "segment-bytes must be at least 4096"),
        (("--id", "a", "--fsync", "sometimes"), "--fsync: 'sometimes' is none of always, everysec, no"),
        (("--id", "a", "--protected-mode", "maybe"), "'maybe' is neither yes nor no"),
        (("--id", "a", "--config", "/no/such/file"), "cannot read /no/such/file: No such file or directory"),
        (("--id", "a", "--requirepass-file", "/no/such"), "--requirepass-file: cannot read /no/such"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(argv: tuple[str, ...], words: str) -> None:
    assert words in refusal_of(*argv)


def test_several_senseless_settings_are_told_together() -> None:
    line = refusal_of("--id", "!", "--heartbeat-ms", "0", "--maxclients", "0")
    assert line.count(";") == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("heartbeat = 100\n", "heartbeat is no option of Leto; did you mean heartbeat-ms?"),
        ("[node]\nid = 'a'\n", "node is no option of Leto"),
        ("config = 'x'\n", "config is no option of Leto"),
        ("id = [1]\n", "id must be a string, a whole number or a boolean"),
        ("heartbeat-ms = 1.5\n", "heartbeat-ms must be a string, a whole number or a boolean"),
        ("heartbeat-ms = 1\nheartbeat_ms = 2\n", "heartbeat_ms is given twice"),
        ("id = \n", "is not TOML"),
        ("fsync = 'never'\n", "fsync: 'never' is none of"),
    ],
)
def test_a_mistake_in_the_file_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "leto.toml"
    file.write_text(text)
    line = refusal_of("--id", "a", "--config", str(file))
    assert words in line
    assert str(file) in line


def test_an_unknown_variable_is_a_warning_with_a_guess() -> None:
    _, warnings = load({"id": "a"}, {"LETO_LISTNE": ":1", "LETO_FAULTPOINT": "x", "HOME": "/"})
    assert warnings == ["the environment variable LETO_LISTNE is no option of Leto; did you mean LETO_LISTEN?"]


def test_a_mistake_in_the_environment_names_the_variable() -> None:
    assert "LETO_LISTEN: '1' is not an address" in refusal_of("--id", "a", environment={"LETO_LISTEN": "1"})


# Secrets ---------------------------------------------------------------------------------------------------------


def secret_file(tmp_path: Path, text: str = "s3cret\n", mode: int = 0o600) -> str:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_secrets_come_from_files_without_their_line_end(tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    config = config_of("--id", "a", "--requirepass-file", path, "--cluster-secret-file", path)
    assert (config.password, config.cluster_secret) == ("s3cret", b"s3cret")


def test_secrets_come_from_the_environment() -> None:
    config = config_of("--id", "a", environment={"LETO_REQUIREPASS": "p", "LETO_CLUSTER_SECRET": "c"})
    assert (config.password, config.cluster_secret) == ("p", b"c")


def test_a_secret_file_of_the_command_line_beats_the_environment(tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    config = config_of("--id", "a", "--requirepass-file", path, environment={"LETO_REQUIREPASS": "p"})
    assert config.password == "s3cret"


def test_two_secrets_from_the_environment_are_refused(tmp_path: Path) -> None:
    environment = {"LETO_REQUIREPASS": "p", "LETO_REQUIREPASS_FILE": secret_file(tmp_path)}
    assert "are both set: keep one" in refusal_of("--id", "a", environment=environment)


@pytest.mark.parametrize("text", ["", "\n", "two\nlines\n"])
def test_a_file_without_one_secret_is_refused(tmp_path: Path, text: str) -> None:
    assert "must hold the secret on one line" in refusal_of(
        "--id", "a", "--requirepass-file", secret_file(tmp_path, text)
    )


def test_a_secret_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    _, warnings = load({"id": "a", "requirepass-file": secret_file(tmp_path, mode=0o644)}, {"LETO_CLUSTER_SECRET": "s"})
    assert len(warnings) == 1
    assert "can be read by other users" in warnings[0]


@pytest.mark.parametrize("argv", [("--requirepass", "hush"), ("-cluster-secret=hush",), ("--cluster-secret-fil=hush",)])
def test_no_option_takes_a_secret_itself_nor_shows_it(argv: tuple[str, ...]) -> None:
    line = refusal_of("--id", "a", *argv)
    assert "is no option; did you mean" in line
    assert "hush" not in line


# Values -----------------------------------------------------------------------------------------------------------


@given(st.integers(min_value=0, max_value=1 << 60))
def test_a_size_that_is_shown_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "size"), [("1k", 1000), ("1kb", 1024), ("5MB", 5 << 20), ("2g", 2 * 10**9), ("7", 7), ("7b", 7)]
)
def test_sizes_are_read_as_redis_reads_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "1kk", "1 kb", "+1", "-1", "1_0", "1.5mb", "1bk", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


names = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True)
ipv4 = st.ip_addresses(v=4).map(str)
ipv6 = st.ip_addresses(v=6).map(str)


@given(st.one_of(st.just(""), names, ipv4, ipv6), st.integers(min_value=0, max_value=65535))
def test_an_address_that_is_shown_is_read_back(host: str, port: int) -> None:
    address = Address(host, port)
    assert Address.parse(str(address)) == address


@given(st.text())
def test_any_text_is_an_address_or_a_clear_refusal(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert 0 <= address.port <= 65535
        assert not any(c.isspace() for c in address.host)


@pytest.mark.parametrize("port", ["65536", "-1", "+1", "1_0", " 1", "１", "", "99999999999"])
def test_odd_ports_are_refused(port: str) -> None:
    with pytest.raises(ValueError, match="the port must be a number"):
        Address.parse(f"host:{port}")


@pytest.mark.parametrize(
    "typed",
    [
        ("--join", "h:1,h:2, h:3,h:1"),
        ("--join", "h:1", "--join=h:2", "-join", "h:3"),
        ("--join=h:1,h:2", "--join", "h:3"),
    ],
)
def test_members_to_join_are_listed_or_given_one_by_one(typed: tuple[str, ...]) -> None:
    config = config_of("--id", "a", *typed, "--bootstrap-expect", "3")
    assert config.join == (Address("h", 1), Address("h", 2), Address("h", 3))
    assert config.bootstrap_expect == 3


def test_members_to_join_are_a_list_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "leto.toml"
    file.write_text('id = "a"\njoin = ["h:1", "h:2"]\nbootstrap-expect = 3\n')
    config, _ = load({"config": str(file)}, {})
    assert config.join == (Address("h", 1), Address("h", 2))
    file.write_text('id = "a"\nlisten = ["h:1", "h:2"]\n')
    with pytest.raises(ConfigError, match="listen must be a string"):
        load({"config": str(file)}, {})
