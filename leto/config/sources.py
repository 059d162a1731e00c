"""Where settings come from: one table of options, read from the command line, LETO_* variables and a TOML file.

The command line wins over the environment, the environment over the file, the file over the defaults of
`leto.config.Config`. All three spell an option alike: `--heartbeat-ms 100`, `LETO_HEARTBEAT_MS=100` and
`heartbeat-ms = 100`. Secrets are never read from the command line, which every user of the machine can see.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leto.config.settings import OPTIONS, Config, Option, groups
from leto.errors import ConfigError

ENVIRONMENT_PREFIX = "LETO_"
# Variables that are no option of the table: secrets, and the crash points that the tests of storage switch on.
ENVIRONMENT_ONLY = frozenset({"LETO_REQUIREPASS", "LETO_CLUSTER_SECRET", "LETO_FAULTPOINT"})
LISTS = frozenset({"join"})  # may be given several times


def _variable(option: Option) -> str:
    """The environment variable that sets it."""
    return ENVIRONMENT_PREFIX + option.name.upper().replace("-", "_")


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
    for title, group in groups().items():
        lines.append(f"{title}:")
        for option in group:
            head = f"  --{option.name} {option.of.metavar}"
            default = option.default()
            text = f"{option.of.help} [{default}]" if default else option.of.help
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
    values: dict[str, Any] = {"given_beside_file": frozenset(given)}
    if "config" in given:
        given = {**_from_file(given["config"]), **given}

    for name, value in given.items():
        option = OPTIONS[name]
        try:
            values[option.field] = option.of.parse(value.text)
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
    by_variable = {_variable(option): option.name for option in OPTIONS.values()}
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
        if file is not None and file.where == _variable(OPTIONS[option]):
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
