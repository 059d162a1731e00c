"""Glob patterns: Redis's rules on bytes, and no pattern that takes for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto.keyspace.glob import matches

CASES = [
    (b"*", b"", True),
    (b"**", b"", False),
    (b"", b"", True),
    (b"", b"a", False),
    (b"a*", b"a", True),
    (b"**", b"a", True),
    (b"h?llo", b"hello", True),
    (b"h?llo", b"hllo", False),
    (b"h*llo", b"heeeello", True),
    (b"h[ae]llo", b"hallo", True),
    (b"h[ae]llo", b"hillo", False),
    (b"h[^e]llo", b"hallo", True),
    (b"h[^e]llo", b"hello", False),
    (b"h[a-b]llo", b"hbllo", True),
    (b"h[b-a]llo", b"hallo", True),
    (b"h[a-]llo", b"h-llo", False),
    (b"\\*", b"*", True),
    (b"\\*", b"a", False),
    (b"a\\", b"a\\", True),
    (b"[\\]]", b"]", True),
    (b"[]a]", b"a", False),
    (b"[^]", b"a", True),
    (b"[a", b"a", True),
    (b"[", b"a", False),
    (b"[^", b"a", True),
    (b"[a-", b"-", True),
    (b"\xff?", b"\xff\x00", True),
    (b"a*b*c", b"aXbYc", True),
    (b"a*b*c", b"aXbYcZ", False),
    (b"key:[0-9]*", b"key:42", True),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), CASES)
def test_patterns_match_as_in_redis(pattern, text, expected):
    assert matches(pattern, text) is expected


def slowly(pattern, text):
    """The definition, by recursion: patterns of literals, ? and * alone."""
    if not pattern:
        return not text
    if pattern[:1] == b"*":
        return any(slowly(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[:1] in (b"?", text[:1]) and slowly(pattern[1:], text[1:])


@given(
    st.lists(st.sampled_from([b"a", b"b", b"?", b"*"]), max_size=8),
    st.lists(st.sampled_from([b"a", b"b"]), min_size=1, max_size=8),
)
def test_stars_match_what_the_definition_says(pattern, text):
    pattern, text = b"".join(pattern), b"".join(text)
    assert matches(pattern, text) is slowly(pattern, text)


def test_a_hostile_pattern_costs_no_more_than_its_product_with_the_text():
    steps = 0

    class Counted(bytes):
        def __getitem__(self, place):
            nonlocal steps
            steps += 1
            return super().__getitem__(place)

    pattern, text = b"a*" * 30 + b"b", Counted(b"a" * 2000)
    assert matches(pattern, text) is False
    assert steps <= len(pattern) * len(text)
