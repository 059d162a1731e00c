"""Makes the helpers beside the tests importable; a directory whose syncs cost nothing."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

RAM = "/dev/shm"


@pytest.fixture
def ram_path():
    """A directory in memory where there is one: a killed process leaves the same there as on a disk."""
    with tempfile.TemporaryDirectory(prefix="leto-", dir=RAM if os.path.isdir(RAM) else None) as path:
        yield Path(path)
