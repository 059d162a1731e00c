"""The kernel's network for a run: who hears whom under each fault, and that nothing is left of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import namespaces
from tests.chaos.jobs import choose_network
from tests.chaos.namespaces import DROPS, Unavailable
from tests.integration.cluster import ROOT, wait_for

EVERYTHING = {f"{one}>{other}" for one in ("a", "b", "c", "harness") for other in ("a", "b", "c", "harness")} - {
    f"{name}>{name}" for name in ("a", "b", "c", "harness")
} | {"stream a>b"}


def blocked(passed: dict[str, bool]) -> set[str]:
    assert set(passed) == EVERYTHING
    return {way for way, through in passed.items() if not through}


@pytest.mark.timeout(180)
def test_each_fault_stops_what_it_should_and_nothing_else() -> None:
    network, words, instead = choose_network("auto")
    if network == "proxies":
        assert "no network namespaces here" in instead  # said, and the proxies do what can be done
        return
    done = subprocess.run(
        [*words, sys.executable, "-m", "tests.chaos.traffic"], cwd=ROOT, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    for way in DROPS:
        assert blocked(seen[way]) == {"a>b", "stream a>b"}, way
    assert blocked(seen["twice"]) == {"a>b", "b>a", "stream a>b"}
    assert blocked(seen["unplugged"]) == {way for way in EVERYTHING if "a" in way.removeprefix("stream ").split(">")}
    for name in ("none", "healed of none", *(f"healed of {fault}" for fault in (*DROPS, "twice", "unplugged"))):
        assert blocked(seen[name]) == set(), name


@pytest.mark.timeout(180)
def test_a_killed_harness_leaves_nothing(tmp_path: Path) -> None:
    """Neither processes nor namespaces, links or mounts, in either kind of network."""
    before = links()
    runs: list[tuple[Path, subprocess.Popen[bytes]]] = []
    try:
        for network in sorted({choose_network("auto")[0], "proxies"}):
            directory = tmp_path / network
            directory.mkdir()
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos", "--seconds", "300", "--network", network],
                cwd=ROOT,
                env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "TMPDIR": str(directory)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            runs.append((directory, process))
        wait_for(lambda: all(len(of(directory)) >= 4 for directory, _ in runs), "workers and their nodes run", 100)
    finally:
        for _, process in runs:
            process.send_signal(signal.SIGKILL)
            process.wait(20)
    wait_for(lambda: not of(tmp_path), "all have ended", 30)
    assert links() == before
    mounted = Path("/proc/self/mounts").read_text()
    assert str(tmp_path) not in mounted


def of(directory: Path) -> list[int]:
    """The processes whose command line names that directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # gone meanwhile
    return found


def links() -> list[str]:
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def test_where_namespaces_cannot_be_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> tuple[str, ...]:
        raise Unavailable("unshare: Operation not permitted")

    monkeypatch.setattr("tests.chaos.jobs.inside", refused)
    network, words, instead = choose_network("auto")
    assert (network, words) == ("proxies", ())
    assert instead.splitlines() == [
        "no network namespaces here (unshare: Operation not permitted): nodes share loopback, behind proxies"
    ]
    with pytest.raises(Unavailable, match="no network namespaces here: unshare: Operation not permitted"):
        choose_network("namespaces")
    assert choose_network("proxies") == ("proxies", (), "")


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces.shutil, "which", lambda tool: None if tool == "ip" else f"/bin/{tool}")
    with pytest.raises(Unavailable, match="ip is not installed"):
        namespaces.inside()
