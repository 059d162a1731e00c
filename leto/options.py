"""Where settings come from: one table of options, read from the command line, LETO_* variables and a TOML file.

The command line wins over the environment, the environment over the file, the file over the defaults of
`leto.config.Config`. All three spell an option alike: `--heartbeat-ms 100`, `LETO_HEARTBEAT_MS=100` and
`heartbeat-ms = 100`. Secrets are never read from the command line, which every user of the machine can see.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

from leto.config import Address, Config, OutputLimit, OutputLimits
from leto.errors import ConfigError

ENVIRONMENT_PREFIX = "LETO_"
# Variables that are no option of the table: secrets, and the crash points that the tests of storage switch on.
ENVIRONMENT_ONLY = frozenset({"LETO_REQUIREPASS", "LETO_CLUSTER_SECRET", "LETO_FAULTPOINT"})
_SIZE_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 10**6, "mb": 1 << 20, "g": 10**9, "gb": 1 << 30}


_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", re.ASCII)


# Values ---------------------------------------------------------------------------------------------


def parse_size(text: str) -> int:
    """Bytes, as redis.conf writes them: 1000, 1k (1000), 1kb (1024), 5mb, 2GB. Raises ValueError."""
    digits = text.rstrip("bkmgBKMG")
    unit = text[len(digits) :].lower()
    if not (digits.isascii() and digits.isdigit()) or unit not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is not a size: write bytes, or a number with kb, mb or gb")
    return int(digits) * _SIZE_UNITS[unit]


def format_size(size: int) -> str:
    """The shortest exact spelling that parse_size reads back."""
    for unit in ("gb", "mb", "kb"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return str(size)


def parse_output_limits(text: str, others: OutputLimits | None = None) -> OutputLimits:
    """`normal 0 64mb 10`, and more such classes (slave or replica, pubsub); those not named stay as in `others`, or are
    Redis's defaults. Raises ValueError in Redis's words.

    A size alone is what earlier versions took: more than so much unread for ten seconds.
    """
    words = text.lower().split()
    others = others or OutputLimits()
    if len(words) == 1:
        return replace(others, normal=OutputLimit(0, parse_size(words[0]), 10))
    if len(words) % 4:
        raise ValueError("Wrong number of arguments in buffer limit configuration.")
    for name, *limits in zip(*(words[start::4] for start in range(4)), strict=True):
        kind = "slave" if name == "replica" else name
        if kind not in ("normal", "slave", "pubsub"):
            raise ValueError("Invalid client class specified in buffer limit configuration.")
        try:
            limit = OutputLimit(parse_size(limits[0]), parse_size(limits[1]), _parse_count(limits[2]))
        except ValueError:
            raise ValueError("Error in hard, soft or soft_seconds setting in buffer limit configuration.") from None
        others = replace(others, **{kind: limit})
    return others


def _parse_addresses(text: str) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(Address.parse(part.strip()) for part in text.split(",")))


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _parse_milliseconds(text: str) -> float:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number of milliseconds")
    return int(text) / 1000


def _parse_switch(text: str) -> bool:
    if text.lower() not in ("yes", "no"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text.lower() == "yes"


def _parse_text(text: str) -> str:
    if not text:
        raise ValueError("it is empty")
    return text


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


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text

    return parse


# The table --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: `name` is its command line's and file's spelling, `field` the Config field it sets."""

    name: str
    field: str
    metavar: str
    help: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    group: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace("-", "_")

    def default(self) -> str:
        """The default as a user would type it; "" when there is none."""
        value = _DEFAULTS.get(self.field)
        return "" if value is None else self.show(value)


_DEFAULTS = {field.name: field.default for field in dataclass_fields(Config) if field.name != "id"}


def _text(name: str, metavar: str, help: str, field: str = "") -> Option:
    return Option(name, field or name.replace("-", "_"), metavar, help, _parse_text)


def _address(name: str, help: str) -> Option:
    return Option(name, name.replace("-", "_"), "HOST:PORT", help, Address.parse)


def _milliseconds(name: str, field: str, help: str) -> Option:
    return Option(name, field, "MS", help, _parse_milliseconds, lambda seconds: str(round(seconds * 1000)))


def _size(name: str, help: str, field: str = "") -> Option:
    return Option(name, field or name.replace("-", "_"), "SIZE", help, parse_size, format_size)


def _count(name: str, help: str) -> Option:
    return Option(name, name.replace("-", "_"), "N", help, _parse_count)


def _one_of(name: str, words: Sequence[str], help: str) -> Option:
    return Option(name, name.replace("-", "_"), "|".join(words), help, _choice(*words))


def _switch(name: str, help: str) -> Option:
    show: Callable[[Any], str] = lambda value: "yes" if value else "no"  # noqa: E731
    return Option(name, name.replace("-", "_"), "yes|no", help, _parse_switch, show)


GROUPS: Mapping[str, Sequence[Option]] = {
    "The node": (
        _text("id", "NAME", "the node's name, unique in the cluster (required)"),
        _address("listen", "where clients and joining nodes connect"),
        _address("raftbind", "where peers connect"),
        _text("raftdir", "DIR", "the node's data directory, created if missing"),
        Option(
            "join",
            "join",
            "HOST:PORT,...",
            "members' client addresses, its own may be among them; without any an empty directory founds a cluster",
            _parse_addresses,
            lambda addresses: ",".join(map(str, addresses)),
        ),
        _count("bootstrap-expect", "how many nodes, those of --join, form a cluster together once all are up; 0: none"),
        _address("advertise", "what peers dial, where that is not --raftbind (NAT, a proxy)"),
        _address("advertise-client", "what clients are told to dial, where that is not --listen"),
        _text("config", "FILE", "a TOML file of these options, without the dashes in front", "config_file"),
    ),
    "Consensus": (
        _milliseconds("election-timeout-ms", "election_timeout", "silence after which a leader is held to be dead"),
        _milliseconds("heartbeat-ms", "heartbeat_interval", "how often a leader is heard"),
        _milliseconds("read-timeout-ms", "read_timeout", "a read that no quorum confirms fails after this"),
        _milliseconds("write-timeout-ms", "write_timeout", "how long an appended write may wait for its fate"),
        _milliseconds("max-clock-offset-ms", "max_clock_offset", "a clock further off a majority's is not followed"),
        _one_of("reads", ("linearizable", "lease", "local"), "how reads are confirmed; local may be stale"),
        _one_of("on-follower", ("refuse", "moved", "proxy"), "a write on a follower: -not leader, -MOVED, forward"),
        _one_of("on-removed", ("exit", "wait"), "what a node does once it is removed from the cluster"),
        _size(
            "snapshot-bytes",
            "log since the last snapshot that starts the next (or that one's size, if larger)",
        ),
        _count("snapshot-entries", "log entries that start the next one (as many times more, likewise)"),
        _count("trailing-entries", "log entries kept behind a snapshot for slow followers"),
        _size("trailing-bytes", "fewer are kept if they take more than this"),
        _size("snapshot-rate", "bytes a second streamed to one follower that needs a snapshot"),
        _size("max-batch-bytes", "one log entry gathers at most this many bytes of commands"),
        _size("max-uncommitted-bytes", "writes waiting for a quorum; beyond this new ones are refused"),
    ),
    "Disk": (
        _one_of("fsync", ("always", "everysec", "no"), "when writes are synced to disk, as Redis names it"),
        _one_of(
            "flush", ("auto", "thread", "inline"), "where disk writes run: as the disk is quick, in a thread, at once"
        ),
        _size("segment-bytes", "size of one log file"),
        _size("min-free-bytes", "with less free on the disk (or 1/8 of a small one) writes that add data are refused"),
    ),
    "Clients": (
        _one_of("compat", ("redis", "leto"), "leto: GET, DEL, PING and LEAVE answer as the original Leto did"),
        _text("requirepass-file", "FILE", "a file with the clients' password (or set LETO_REQUIREPASS)"),
        _switch("protected-mode", "without a password, serve only clients and peers of this host"),
        _count("maxclients", "client connections at a time (fewer where the limit of open files is low)"),
        _count("timeout", "a client that asks nothing for so many seconds is closed; 0: never"),
        _count("tcp-keepalive", "seconds of silence until a client's connection is probed; 0: never"),
        _size("proto-max-bulk-len", "the longest string a client may send", "max_bulk_bytes"),
        Option(
            "client-output-buffer-limit",
            "client_output_limits",
            "LIMITS",
            "replies a client may leave unread: normal HARD SOFT SECONDS, as in redis.conf",
            parse_output_limits,
            lambda limits: f"normal {limits.normal}",
        ),
        _size("client-query-buffer-limit", "a client that sends more than this ahead is closed"),
        _size("client-pending-bytes", "a client that waits for this node with more than that is not read from"),
        _size("maxmemory-clients", "what clients may make a node keep, in sum; those that keep most are closed"),
    ),
    "Peers": (
        _text("cluster-secret-file", "FILE", "a file with the secret that peers share (or set LETO_CLUSTER_SECRET)"),
        _switch(
            "confirm-peers", "without a secret, ask a member at its own address whether it is the one that dialled"
        ),
    ),
    "Operations": (
        _address(
            "admin-listen", "HTTP: /metrics, /livez, /readyz, /status; without a host on loopback; off unless set"
        ),
        Option(
            "admin-hosts",
            "admin_hosts",
            "NAME,...",
            "names under which the admin port is asked (addresses and localhost always work)",
            _parse_names,
            ",".join,
        ),
        _one_of("log-level", ("debug", "info", "warn", "error"), "the least level that is logged"),
        _one_of("log-format", ("text", "json"), "lines for people, or one JSON object a line"),
        Option(
            "skip-entry",
            "skip_entries",
            "INDEX[,INDEX]",
            "pass over these log entries, which cannot be applied: see docs/operations.md",
            _parse_indexes,
            _show_indexes,
        ),
        _text("log-file", "FILE", "where the log goes instead of stderr; reopened on SIGHUP"),
    ),
}
LISTS = frozenset({"join"})  # may be given several times
OPTIONS: Mapping[str, Option] = {option.name: option for group in GROUPS.values() for option in group}


# The command line ---------------------------------------------------------------------------------------


def double_dashes(argv: Sequence[str], flags: frozenset[str] = frozenset({"help", "version"})) -> list[str]:
    """Rewrite Go's option forms into getopt's: `-id id1` and `-raftdir=./id1` become `--id=id1`, `--raftdir=./id1`.

    The value of an option is never taken for an option itself. What does not begin with a dash ends the options.
    Raises ConfigError for what is no option, abbreviations included (getopt would take `--requirepass SECRET`).
    """
    result: list[str] = []
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        token = "--help" if rest[0] == "-h" else rest[0]
        del rest[0]
        name, equals, value = token.removeprefix("-").removeprefix("-").partition("=")
        if name in flags:
            result.append(f"--{name}{equals}{value}")
        elif name not in OPTIONS:
            raise ConfigError(f"{token.partition('=')[0]} is no option{_meant(name, OPTIONS)}")
        elif equals:
            result.append(f"--{name}={value}")
        elif rest:
            result.append(f"--{name}={rest.pop(0)}")
        else:
            raise ConfigError(f"--{name} wants a value")
    return result + rest


def gathered(argv: Sequence[str]) -> list[str]:
    """An option of LISTS that is given several times, in the form of double_dashes, as one with all its values."""
    result: list[str] = []
    for token in argv:
        name, _, value = token.removeprefix("--").partition("=")
        before = next((at for at, other in enumerate(result) if other.startswith(f"--{name}=")), None)
        if name in LISTS and before is not None:
            result[before] += f",{value}"
        else:
            result.append(token)
    return result


def help_text(command: str) -> str:
    """The text of `--help`."""
    lines = [f"Usage: {command} --id NAME [options]"]
    if command == "leto":
        lines.append("       leto status [--addr HOST:PORT]   show the cluster (leto status --help says more)")
        lines.append("       leto bench                       measure one (leto bench --help says more)")
    lines.append("")
    for title, group in GROUPS.items():
        lines.append(f"{title}:")
        for option in group:
            head = f"  --{option.name} {option.metavar}"
            default = option.default()
            text = f"{option.help} [{default}]" if default else option.help
            lines.append(f"{head:<42} {text}" if len(head) < 42 else f"{head}\n{'':<42} {text}")
        lines.append("")
    lines += [
        "  -h, --help                               show this help",
        "  --version                                show the version",
        "",
        "Every option is also a variable (LETO_HEARTBEAT_MS=100) and a key of the --config file (heartbeat-ms = 100).",
        "The command line wins over the environment, the environment over the file. Sizes take kb, mb and gb.",
    ]
    return "\n".join(lines)


# Sources -> Config ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was written, and how a message should call the place."""

    text: str
    where: str


def load(command_line: Mapping[str, str], environment: Mapping[str, str]) -> tuple[Config, list[str]]:
    """Merge the sources into a validated Config, and warnings that deserve a line in the log.

    `command_line` maps option names to what was typed. Raises ConfigError with one line that names the culprit.
    """
    given, warnings = _from_environment(environment)
    given.update({name: _Given(text, f"--{name}") for name, text in command_line.items()})
    if "config" in given:
        given = {**_from_file(given["config"]), **given}

    values: dict[str, Any] = {}
    for name, value in given.items():
        option = OPTIONS[name]
        try:
            values[option.field] = option.parse(value.text)
        except ValueError as error:
            raise ConfigError(f"{value.where}: {error}") from None
    if "id" not in values:
        raise ConfigError("the node's name is missing: give --id NAME")
    values["password"] = password = _secret(given, "requirepass-file", "LETO_REQUIREPASS", environment, warnings)
    if password is not None and any("\udc80" <= character <= "\udcff" for character in password):
        raise ConfigError("the clients' password (requirepass-file, LETO_REQUIREPASS) is not UTF-8 text")
    secret = _secret(given, "cluster-secret-file", "LETO_CLUSTER_SECRET", environment, warnings)
    values["cluster_secret"] = None if secret is None else secret.encode("utf-8", "surrogateescape")
    config = Config(**values)
    config.validate()
    warnings += _open_doors(config)
    return config, warnings


def _open_doors(config: Config) -> Iterator[str]:
    """What an operator should know of a peers' port that asks for no secret."""
    if config.cluster_secret is not None:
        return
    if not config.protected_mode and not config.raftbind.is_loopback:
        yield (
            f"protected mode is off and there is no cluster secret: whoever can take the address of a member that is "
            f"down is that member to those on {config.raftbind}, and may read and write everything; whoever can "
            "listen to the network reads it. Give all nodes one secret: --cluster-secret-file"
        )
    elif config.password is not None:
        yield (
            "clients need a password, but peers need no secret: whoever can listen at the address of a member that is "
            "down is taken for it, and may read and write everything. Give all nodes one secret: --cluster-secret-file"
        )


def _from_environment(environment: Mapping[str, str]) -> tuple[dict[str, _Given], list[str]]:
    by_variable = {option.variable: option.name for option in OPTIONS.values()}
    given: dict[str, _Given] = {}
    warnings: list[str] = []
    for variable in sorted(environment):
        if variable in by_variable:
            given[by_variable[variable]] = _Given(environment[variable], variable)
        elif variable.startswith(ENVIRONMENT_PREFIX) and variable not in ENVIRONMENT_ONLY:
            warnings.append(f"the environment variable {variable} is no option of Leto{_meant(variable, by_variable)}")
    return given, warnings


def _from_file(file: _Given) -> dict[str, _Given]:
    try:
        table = tomllib.loads(Path(file.text).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file.where}: cannot read {file.text}: {error.strerror}") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ConfigError(f"{file.where}: {file.text} is not TOML: {error}") from None
    given: dict[str, _Given] = {}
    for key, value in table.items():
        name = key.replace("_", "-")
        where = f"{file.text}: {key}"
        if name not in OPTIONS or name == "config":
            raise ConfigError(f"{where} is no option of Leto{_meant(name, OPTIONS)}")
        if name in given:
            raise ConfigError(f"{where} is given twice")
        if isinstance(value, bool):
            text = "yes" if value else "no"
        elif isinstance(value, int | str):
            text = str(value)
        elif name in LISTS and isinstance(value, list) and all(isinstance(part, str) for part in value):
            text = ",".join(value)
        else:
            raise ConfigError(f"{where} must be a string, a whole number or a boolean")
        given[name] = _Given(text, where)
    return given


def _meant(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _secret(
    given: Mapping[str, _Given],
    option: str,
    variable: str,
    environment: Mapping[str, str],
    warnings: list[str],
) -> str | None:
    """The secret in the file that `option` names, or in `variable`: whichever source ranks higher."""
    file = given.get(option)
    if variable in environment and (file is None or not file.where.startswith("--")):
        if file is not None and file.where == OPTIONS[option].variable:
            raise ConfigError(f"{variable} and {file.where} are both set: keep one")
        if not environment[variable]:
            raise ConfigError(f"{variable} is empty")
        return environment[variable]
    if file is None:
        return None
    path = Path(file.text)
    try:
        secret = path.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n").removesuffix("\r")
        readable_by_others = path.stat().st_mode & 0o077
    except OSError as error:
        raise ConfigError(f"{file.where}: cannot read {file.text}: {error.strerror}") from None
    if not secret or "\n" in secret:
        raise ConfigError(f"{file.where}: {file.text} must hold the secret on one line, and nothing else")
    if readable_by_others:
        warnings.append(f"{file.text} holds a secret and can be read by other users: chmod 600 it")
    return secret
