"""CONFIG REWRITE: what CONFIG SET changed stands in the node's file, and nothing else there has changed."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import assume, given
from hypothesis import strategies as st

from leto.config import Config, OutputLimit, OutputLimits
from leto.config.rewriting import rewrite, rewritten
from leto.config.settings import OPTIONS
from leto.config.sources import load
from leto.errors import ConfigError
from tests.clients.conversation import Client, Node, error
from tests.daemon.processes import node

FILE = """\
# The first node of three.
id = "id1"          # its name

maxclients = 200    # few
'timeout'=5
client_pending_bytes = "16mb"
"""


def config_in(text: str, directory: Path) -> Config:
    (directory / "read.toml").write_text(text)
    return load({"config": str(directory / "read.toml")}, {})[0]


# The text -------------------------------------------------------------------------------------------------


def test_a_setting_changes_in_its_place_and_a_new_one_stands_at_the_end() -> None:
    changes = {"maxclients": 300, "timeout": 0, "client-pending-bytes": 1 << 20, "protected-mode": False}
    assert rewritten(FILE, changes) == (
        FILE.replace("= 200 ", "= 300 ").replace("=5", "=0").replace('"16mb"', '"1mb"') + "protected-mode = false\n"
    )


def test_what_is_as_it_is_written_or_as_it_is_by_default_changes_nothing() -> None:
    changes = {"maxclients": 200, "client-pending-bytes": 16 << 20, "tcp-keepalive": 300, "slowlog-max-len": 128}
    assert rewritten(FILE, changes) == FILE


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("slowlog-log-slower-than", -1, "slowlog-log-slower-than = -1"),
        ("maxmemory-clients", 3 << 30, 'maxmemory-clients = "3gb"'),
        (
            "client-output-buffer-limit",
            OutputLimits(normal=OutputLimit(5, 4, 3)),
            'client-output-buffer-limit = "normal 5 4 3"',
        ),
        (
            "client-output-buffer-limit",
            OutputLimits(pubsub=OutputLimit(5, 4, 3)),
            'client-output-buffer-limit = "normal 0 0 0 slave 268435456 67108864 60 pubsub 5 4 3"',
        ),
    ],
)
def test_each_kind_reads_back(name: str, value: Any, line: str, tmp_path: Path) -> None:
    text = rewritten('id = "a"', {name: value})
    assert text == f'id = "a"\n{line}\n'
    assert getattr(config_in(text, tmp_path), OPTIONS[name].field) == value


@pytest.mark.parametrize("text", ["id = ", 'id = "a"\nid = "b"\n', "\x00"])
def test_a_file_that_was_broken_since_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="it is not TOML"):
        rewritten(text, {"timeout": 3})


_COMMENTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20).map("#".__add__)
_LINES = st.one_of(
    st.just(""),
    _COMMENTS,
    st.tuples(
        st.sampled_from(["maxclients", "timeout", "tcp_keepalive", '"slowlog-max-len"']),
        st.sampled_from([" = ", "=", " =\t"]),
        st.integers(1, 10**6).map(str),
        st.one_of(st.just(""), _COMMENTS.map("  ".__add__)),
    ).map("".join),
)


@given(
    st.lists(_LINES, max_size=12),
    st.dictionaries(st.sampled_from(["maxclients", "timeout", "tcp-keepalive", "slowlog-max-len"]), st.integers(1, 99)),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_all_else_stays_byte_for_byte(lines: list[str], changes: dict[str, int], end: str, ended: bool) -> None:
    text = end.join(lines) + (end if ended else "")
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a key twice
        assume(False)
    spelled = {key.replace("_", "-"): key for key in before}
    result = rewritten(text, changes)
    after = tomllib.loads(result)
    for name, value in changes.items():
        assert after.get(spelled.get(name, name), OPTIONS[name].default_value) == value
    for key, value in before.items():
        if key.replace("_", "-") not in changes:
            assert after[key] == value
    kept = [line for line in text.splitlines() if not line or line.startswith("#")]
    assert [line for line in result.splitlines() if not line or line.startswith("#")] == kept
    assert rewritten(result, changes) == result


# The file -------------------------------------------------------------------------------------------------


def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file, link = tmp_path / "etc" / "leto.toml", tmp_path / "leto.toml"
    file.write_text(FILE)
    file.chmod(0o640)
    link.symlink_to(file)
    rewrite(str(link), {"timeout": 7})
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)
    assert file.read_text() == FILE.replace("=5", "=7")
    assert os.listdir(file.parent) == ["leto.toml"]


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "leto.toml"
    file.write_text(FILE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        rewrite(str(file), {"timeout": 7})
    assert (file.read_text(), os.listdir(tmp_path)) == (FILE, ["leto.toml"])


# The command ----------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "leto.toml"
    file.write_text(FILE)
    return file


def client_of(file: Path, **config: Any) -> Client:
    return Node(config_file=str(file), maxclients=200, timeout=5, **config).client()


def test_only_what_config_set_changed_is_written(file: Path) -> None:
    client = client_of(file)
    assert client.call("CONFIG", "REWRITE") == b"OK"
    assert file.read_text() == FILE
    client.call("CONFIG", "SET", "timeout", 9, "slowlog-max-len", 10, "hz", 50)
    assert client.call("CONFIG", "REWRITE") == b"OK"
    assert file.read_text() == FILE.replace("=5", "=9") + "slowlog-max-len = 10\n"
    client.call("CONFIG", "SET", "timeout", 5, "slowlog-max-len", 128)
    assert client.pipeline(("MULTI",), ("CONFIG", "REWRITE"), ("EXEC",))[-1] == [b"OK"]
    assert file.read_text() == FILE + "slowlog-max-len = 128\n"


def test_refusals_are_in_redis_words(file: Path) -> None:
    assert error(Node().client().call("CONFIG", "REWRITE")) == "ERR The server is running without a config file"
    client = client_of(file)
    client.call("CONFIG", "SET", "timeout", 9)
    file.write_text("id =")
    assert error(client.call("CONFIG", "REWRITE")).startswith("ERR Rewriting config file: it is not TOML: ")
    assert file.read_text() == "id ="
    file.unlink()
    assert error(client.call("CONFIG", "REWRITE")) == "ERR Rewriting config file: No such file or directory"
    assert not file.exists()


def test_a_password_that_the_file_would_not_have_is_not_passed_over(file: Path) -> None:
    """The next start would let everybody in, or those who know the old one."""
    client = client_of(file)
    client.call("CONFIG", "SET", "timeout", 9, "requirepass", "secret")
    assert "write it to a requirepass-file" in error(client.call("CONFIG", "REWRITE"))
    assert file.read_text() == FILE


def test_a_node_comes_back_with_what_was_rewritten(tmp_path: Path) -> None:
    file = tmp_path / "leto.toml"
    file.write_text("# ours\nraftdir = 'd'\nlog_level = \"info\"\n")
    with node("leto", tmp_path, "--config", "leto.toml", "--maxclients", "300") as running:
        with redis.Redis(port=running.port) as client:
            client.config_set("timeout", 77, "maxclients", 100)
            assert client.config_rewrite()
        assert "the command line or the environment gives maxclients too" in running.output()
        running.stop()
    assert file.read_text() == "# ours\nraftdir = 'd'\nlog_level = \"info\"\nmaxclients = 100\ntimeout = 77\n"
    with (
        node("twistd -n", tmp_path, "--config", "leto.toml") as running,
        redis.Redis(port=running.port) as client,
    ):
        assert client.config_get("timeout", "maxclients") == {"timeout": "77", "maxclients": "100"}
