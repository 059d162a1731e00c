"""The fuzzers' corpus, replayed without a fuzzer; and what hypothesis thinks of besides."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import NAMES
from tests.fuzz.targets import CORPUS, TARGETS, corpus

SLOW = ("session", "core", "directory", "forged")


def test_every_target_is_offered_and_has_seeds() -> None:
    assert set(NAMES) == set(TARGETS)
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    assert all(target.seeds for target in TARGETS.values())


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_finds_nothing(name: str) -> None:
    for where, data in corpus(name):
        try:
            TARGETS[name].run(data)
        except Exception as error:
            raise AssertionError(f"{where} makes {name} raise {error!r}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_changed_at_random_finds_nothing(name: str) -> None:
    """A stand-in for the fuzzer where it is not installed: bytes flipped, cut out, doubled and joined."""
    source = random.Random(name)
    inputs = [data for _, data in corpus(name)]
    for _ in range(60 if name in SLOW else 400):
        data = bytearray(source.choice(inputs))
        for _ in range(source.randint(1, 4)):
            at = source.randrange(len(data) + 1)
            what = source.randrange(4)
            if what == 0 and at < len(data):
                data[at] ^= 1 << source.randrange(8)
            elif what == 1:
                del data[at : at + source.randint(1, 8)]
            elif what == 2:
                data[at:at] = source.randbytes(source.randint(1, 8))
            else:
                other = source.choice(inputs)
                data[at:at] = other[source.randrange(len(other) + 1) :][:40]
        TARGETS[name].run(bytes(data))


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_find_nothing(name: str) -> None:
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(data=st.binary(max_size=300))
    def run(data: bytes) -> None:
        TARGETS[name].run(data)

    run()
