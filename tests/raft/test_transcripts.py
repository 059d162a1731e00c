"""Every transcript's commands still lead to its golden output (tests/raft/transcript.py has the language)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.raft.transcript import rerun

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


def test_there_are_transcripts():
    """An empty folder would pass every comparison."""
    assert len(TRANSCRIPTS) >= 20


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, request: pytest.FixtureRequest):
    """What happens is what the transcript says; --update-transcripts makes it say what happens."""
    golden = path.read_text()
    actual = rerun(golden)
    if request.config.getoption("--update-transcripts"):
        path.write_text(actual)
    else:
        assert actual.splitlines() == golden.splitlines()
