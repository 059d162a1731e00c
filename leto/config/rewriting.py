"""CONFIG REWRITE: settings that were changed while the node ran, written into its TOML file.

All that was not changed stays in the file byte for byte: comments, order, blank lines, spelling of keys.
See https://redis.io/commands/config-rewrite/.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from leto.config.settings import OPTIONS
from leto.errors import ConfigError


def rewritten(text: str, changes: Mapping[str, Any]) -> str:
    """The file `text` with other values of these settings, given by their options' names.

    A setting that has its place keeps it; one that has none is added at the end, unless it is as it is by default.
    Raises ConfigError if `text` is not TOML, or if what would be written did not read as it is meant.
    """
    try:
        meant = tomllib.loads(text)
        document = tomlkit.parse(text)
    except (ValueError, TOMLKitError) as error:
        raise ConfigError(f"it is not TOML: {error}") from None
    spelled = {key.replace("_", "-"): key for key in meant}
    missing: list[tuple[str, Any]] = []
    for name, value in changes.items():
        option = OPTIONS[name]
        written = _as_toml(option.of.kind, value, option.of.show(value))
        if name in spelled:
            if _reads_as(name, meant[spelled[name]]) != value:
                document[spelled[name]] = meant[spelled[name]] = written
        elif value != option.default_value:
            missing.append((name, written))
            meant[name] = written
    result = document.as_string()
    if missing and result and not result.endswith("\n"):
        result += "\n"
    result += "".join(f"{name} = {tomlkit.item(written).as_string()}\n" for name, written in missing)
    if tomllib.loads(result) != meant:
        raise ConfigError("its settings cannot be told apart from the rest of it")
    return result


def _as_toml(kind: str, value: Any, shown: str) -> bool | int | str:
    return value if kind in ("count", "number", "switch") else shown


def _reads_as(name: str, value: object) -> Any:
    """The setting that a file with that value has; None for a value that it cannot have."""
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    try:
        return OPTIONS[name].of.parse(text)
    except ValueError:
        return None


def rewrite(path: str, changes: Mapping[str, Any]) -> None:
    """Write these settings into the file at `path`, all of them or none, and durably.

    A crash leaves the old file or the new one. A link goes on naming the same file, which keeps its mode and owner.
    Raises ConfigError as rewritten() does, and OSError.
    """
    file = Path(path).resolve(strict=True)
    old = file.read_bytes().decode("utf-8")  # as it is: read_text() would change its line ends
    new = rewritten(old, changes)
    if new == old:
        return
    before = file.stat()
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as written:
            if os.geteuid() == 0:
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, before.st_mode & 0o7777)
            written.write(new.encode("utf-8"))
            written.flush()
            os.fsync(descriptor)
        os.rename(name, file)
    except BaseException:
        os.unlink(name)
        raise
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
