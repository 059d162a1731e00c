"""System calls of a running node that fail from now on.

With strace where it may attach (`make test` installs it): the kernel itself refuses the call. Elsewhere (no ptrace)
the node runs under this module, which lets the same functions of `os` raise the same errors.
"""

from __future__ import annotations

import errno
import os
import runpy
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.integration.cluster import Node, wait_for

VARIABLE = "TEST_FAILING_CALLS"  # names the file that says what fails: "fdatasync EIO"
CALLS = ("fdatasync", "fsync", "pwritev")  # functions of `os`
_KERNELS = {"pwritev": "pwritev,pwritev2"}  # the calls that one of them may be


@cache
def can_trace() -> bool:
    """Whether strace is here and may attach to a process of ours."""
    if shutil.which("strace") is None:
        return False
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        tracer = _attach(process.pid, "fdatasync", "EIO")
        try:
            wait_for(lambda: _tracer_of(process.pid) or tracer.poll() is not None, "strace attaches")
            return tracer.poll() is None
        finally:
            process.kill()
            tracer.wait()


def _attach(pid: int, call: str, error: str) -> subprocess.Popen[bytes]:
    calls = _KERNELS.get(call, call)
    arguments = ["-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={calls}"]
    return subprocess.Popen(
        ["strace", *arguments, "-e", f"inject={calls}:error={error}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _tracer_of(task: int | Path) -> int:
    path = task if isinstance(task, Path) else Path(f"/proc/{task}")
    lines = (path / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("TracerPid:")).split()[1])


def start(node: Node, join: str | None = None) -> Node:
    """Start the node so that its calls can be made to fail."""
    if can_trace():
        return node.start(join)
    switch = _switch(node)
    switch.unlink(missing_ok=True)
    return node.start(join, (sys.executable, "-m", __name__), {VARIABLE: str(switch)})


def _switch(node: Node) -> Path:
    return node.log_path.with_suffix(".failing")


class Failing:
    """A context manager: `call` fails with `error` (a name of errno) in the node, whose end it outlives."""

    def __init__(self, node: Node, call: str, error: str) -> None:
        self._node = node
        self._call = call
        self._error = error
        self._tracer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Failing:
        if not can_trace():
            _switch(self._node).write_text(f"{self._call} {self._error}")
            return self
        self._tracer = _attach(self._node.pid, self._call, self._error)
        tasks = Path(f"/proc/{self._node.pid}/task")
        wait_for(
            lambda: not self._node.is_running or all(_tracer_of(task) for task in _listed(tasks)),
            "strace attaches to every thread",
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._tracer is not None:
            self._tracer.terminate()  # lets go of the node, if that still runs
            self._tracer.wait()
        else:
            _switch(self._node).unlink()


def _listed(tasks: Path) -> list[Path]:
    return list(tasks.iterdir()) if tasks.exists() else []


def _interpose(switch: str) -> None:
    """Let the functions of CALLS look at the file before they act."""
    for name in CALLS:
        setattr(os, name, _failing(name, getattr(os, name), switch))


def _failing(name: str, function: Any, switch: str) -> Any:
    def call(*arguments: Any) -> Any:
        if os.path.exists(switch):
            wanted, _, error = Path(switch).read_text().partition(" ")
            if wanted == name:
                number = getattr(errno, error)
                raise OSError(number, os.strerror(number))
        return function(*arguments)

    return call


if __name__ == "__main__":
    _interpose(os.environ[VARIABLE])
    runpy.run_module("leto.main", run_name="__main__", alter_sys=True)
