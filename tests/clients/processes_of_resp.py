"""Starts tests/clients/lone_node.py and ends it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent


@contextlib.contextmanager
def lone_node(*arguments: str) -> Iterator[tuple[int, int]]:
    """(port, process id) of a node that is ended with the block."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "lone_node.py"), *arguments], stdout=subprocess.PIPE, env=environment, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.wait()
