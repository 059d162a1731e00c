"""One byte flipped, or one file cut, anywhere in a directory that holds one of everything: a correct start or a clear
refusal. The default suite takes a slice of all places, `--soak` every one of them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.storage.whole_directory import Original, build, cuts, flips

DIRECTORIES = {
    "stopped": {"clean": True, "compacted": 0, "waiting": "received"},
    "stopped, compacted": {"clean": True, "compacted": 14, "waiting": "partial"},
    "killed": {"clean": False, "compacted": 0, "waiting": "partial"},
    "killed, compacted": {"clean": False, "compacted": 14, "waiting": "received"},
}
SLICE = 61  # a prime: of every field, some byte


@pytest.fixture(scope="module", params=DIRECTORIES, ids=str)
def original(request: pytest.FixtureRequest) -> Original:
    return Original.of(build(**DIRECTORIES[request.param]))


def all_damages(original: Original, step: int, masks: tuple[int, ...], offset: int = 0):
    for path in sorted(original.files):
        if path.endswith("/"):
            continue
        for mask in masks:
            yield from flips(original, path, step, offset, mask)
        yield from cuts(original, path, step, offset)


def outcomes(original: Original, step: int, masks: tuple[int, ...], offset: int = 0) -> Counter[str]:
    return Counter(original.check(damaged, what) for what, damaged in all_damages(original, step, masks, offset))


def test_it_holds_one_of_everything(original: Original) -> None:
    names = [path.rpartition("/")[2] for path in original.files]
    assert sum(name.endswith(".segment") for name in names) >= 2
    assert sum(name.endswith(".snapshot") for name in names) == 2
    assert sum(name.endswith((".received", ".partial")) for name in names) == 1
    assert {"leto.hard-state", "leto.identity", "leto.lock", "leto.watermark"} < set(names)
    assert original.check(original.files, "undamaged") == "started"


def test_a_slice_of_all_places(original: Original) -> None:
    counts = outcomes(original, SLICE, (0xFF,))
    assert counts["started"] > 50
    assert counts["refused"] > 50


def test_what_was_stopped_in_order_is_never_shortened(original: Original) -> None:
    """The watermark stands at the log's end then: whatever is done to the files afterwards is found."""
    clean = original.mark.index == original.last
    last = max(path for path in original.files if path.endswith(".segment"))
    counts = Counter(
        original.check(damaged, what)
        for damages in (flips(original, last, 7, 3, 0xFF), cuts(original, last, 7, 3))
        for what, damaged in damages
    )
    assert counts["refused"] > 50
    assert bool(counts["shortened"]) is not clean


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_place(original: Original) -> None:
    counts = outcomes(original, 1, (0xFF, 0))
    print(f"{sum(counts.values())} starts: {dict(counts)}")
    assert counts["started"] and counts["refused"]
