"""Glob patterns: Redis's rules on bytes, and no pattern that takes for ever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.vocabulary import glob
from leto.vocabulary.glob import PatternTooLong, compile_pattern, matches
from tests.vocabulary.glob_by_the_book import by_the_book

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


SOME_BYTES = st.sampled_from(
    [b"a", b"b", b"A", b"z", b"-", b"^", b"]", b"\\", b"\x00", b"\x7f", b"\x80", b"\xff", b"\n"]
)
PIECES = st.one_of(
    SOME_BYTES,
    st.sampled_from([b"*", b"?", b"[", b"[^", b"*", b"[a-z]", b"[z-a]", b"[\x80-a]", b"[^\\a-b]", b"\\*", b"[A-z]"]),
)


@settings(max_examples=600)
@given(st.lists(PIECES, max_size=10), st.lists(SOME_BYTES, max_size=7), st.booleans())
def test_every_pattern_matches_what_redis_matches(pattern, text, nocase):
    pattern, text = b"".join(pattern), b"".join(text)
    expected = by_the_book(pattern, text, nocase) or pattern == b"*"
    assert matches(pattern, text, nocase) is expected
    assert in_steps(compile_pattern(pattern, nocase), text)[0] is expected


@given(st.lists(st.sampled_from([b"a", b"b", b"?", b"[ab]"]), min_size=1, max_size=9), st.binary(max_size=40))
def test_a_segment_is_found_alike_however_it_is_searched(pieces, noise):
    text = bytes(b"abc"[byte % 3] for byte in noise)
    masks = [{b"?": glob._ANY, b"[ab]": 3 << 97}.get(piece, 1 << piece[0]) for piece in pieces]
    short, long = glob._Classes(masks), glob._ManyClasses(masks)
    for end in range(len(text) + 1):
        assert short.find(text, 1, end) == long.find(text, 1, end)
    assert [short.fits(text, i) for i in range(5)] == [long.fits(text, i) for i in range(5)]


def in_steps(pattern, text):
    """(whether it matches, in how many steps)."""
    steps = 0
    matching = pattern.matching(text)
    while True:
        try:
            next(matching)
        except StopIteration as end:
            return end.value, steps
        steps += 1


@pytest.mark.parametrize("kind", [b"a", b"[ab]", b"?"])
def test_a_hostile_pattern_walks_through_the_text_once(monkeypatch, kind):
    searched = 0

    def counting(find):
        def counted(self, text, start, end):
            nonlocal searched
            found = find(self, text, start, end)
            searched += (end if found < 0 else found + self.length) - start
            return found

        return counted

    for segment in (glob._Literal, glob._Classes, glob._ManyClasses):
        monkeypatch.setattr(segment, "find", counting(segment.find))
    for pattern in (b"*" + kind * 400 + b"b*", (b"*" + kind) * 900 + b"*b*", b"*" + kind * 60 + b"*b*"):
        searched = 0
        assert compile_pattern(pattern).match(b"a" * 8000) is False
        assert searched <= 8000
    assert compile_pattern(b"*" + kind * 400 + b"*b").match(b"a" * 8000 + b"b") is True


def test_a_long_text_is_searched_in_steps():
    text = b"a" * (5 * glob.WINDOW) + b"b" + b"a" * 100
    for pattern in (b"*b*", b"*ab*", b"*[b-z]*", b"*[ab]" + b"a" * 90 + b"?*c*", b"*" + b"[a]" * 99 + b"b*a"):
        found, steps = in_steps(compile_pattern(pattern), text)
        assert found is (b"c*" not in pattern)
        assert found is compile_pattern(pattern).match(text)
        assert steps >= 5 or not found
    head = text[: glob.WINDOW + 1] + b"bb"
    assert in_steps(compile_pattern(b"*abb*"), head + text)[0] is True  # over the edge of a window


def test_more_stars_than_redis_nests_match_nothing():
    text = b"a" * 1200
    assert matches(b"*a" * 1000, text) is True
    assert matches(b"*a" * 1000 + b"*", text) is True
    assert matches(b"*a" * 1001, text) is False
    assert matches(b"*a*" * 1001, text) is False


def test_a_long_pattern_is_refused_unless_it_is_simple():
    long = b"a" * glob.LONGEST
    assert matches(b"*" + long + b"*", b"b" + long) is True
    assert matches(long + b"b", long + b"b") is True
    for special in (b"?", b"[a]", b"\\a"):
        with pytest.raises(PatternTooLong, match="a pattern of 163"):
            matches(long + special, long)


def test_what_is_kept_compiled_is_bounded():
    for number in range(1000):
        compile_pattern(b"%d*" % number)
        compile_pattern(b"%d" % number * 2000 + b"*")
    assert glob._kept.cache_info().currsize <= 64
