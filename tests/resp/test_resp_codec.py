"""The request reader: the fast path agrees with the strict reader on every input, however it is delivered."""

from __future__ import annotations

import time

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.errors import ProtocolError
from leto.resp.codec import RequestReader, encode, pack, split_requests, strings
from leto.resp.inline import split_line
from leto.resp.strict import StrictReader
from leto.vocabulary.replies import NULL_ARRAY, OK, Error, Pairs, Push, Set, Status, Verbatim

LIMIT = 1 << 20


def read_strictly(data: bytes) -> tuple[list[list[bytes]], str | None]:
    reader = StrictReader(LIMIT)
    reader.push(data)
    requests = []
    try:
        while (request := reader.next()) is not None:
            requests.append(request)
    except ProtocolError as error:
        return requests, str(error)
    return requests, None


def read_in_chunks(chunks: list[bytes]) -> tuple[list[list[bytes]], str | None, bytes]:
    reader = RequestReader(LIMIT)
    requests, raw = [], b""
    for chunk in chunks:
        requests += [list(request) for request in reader.feed(chunk)]
        raw += reader.raw
    return requests, reader.error, raw


arguments = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"", b"\r\n", b"a\r\nb", b"$3\r\nGET\r\n", b"*1\r\n$4\r\nPING\r\n", b"x" * 5000, b"\r" * 7]),
)
canonical = st.lists(arguments, min_size=1, max_size=5).map(tuple).map(pack)
pieces = st.one_of(
    canonical,
    st.sampled_from(
        [
            b"*0\r\n",
            b"*-1\r\n",
            b"PING\r\n",
            b"\r\n",
            b"SET a 'b c'\n",
            b'SET a "\\x41"\r\n',
            b"*2\r\n$3\r\nGET\r\n$01\r\na\r\n",
            b"*02\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n+PING\r\n",
            b"*1\r\n*1\r\n$4\r\nPING\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\rX$4\rXPINGzz",
            b"%1\r\n+a\r\n+b\r\n",
            b"*3000000000\r\n",
            b"*1\r\n$99999999999\r\n",
        ]
    ),
    st.binary(max_size=8),
)


@st.composite
def deliveries(draw: st.DrawFn) -> list[bytes]:
    """A stream of pieces, cut anywhere."""
    data = b"".join(draw(st.lists(pieces, max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(max_examples=400, deadline=None)
@given(deliveries())
def test_the_fast_path_and_the_strict_reader_agree(chunks: list[bytes]) -> None:
    expected, error = read_strictly(b"".join(chunks))
    requests, found, raw = read_in_chunks(chunks)
    assert (requests, found) == (expected, error)
    assert raw == b"".join(pack(tuple(request)) for request in expected)


@settings(max_examples=100, deadline=None)
@given(st.lists(canonical, max_size=6), st.sampled_from([b"", b"*2\r\n$3\r\nGE", b"*"]))
def test_a_byte_at_a_time_gives_the_same(requests: list[bytes], tail: bytes) -> None:
    data = b"".join(requests) + tail
    whole = read_in_chunks([data])
    assert read_in_chunks([data[i : i + 1] for i in range(len(data))]) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(canonical, max_size=8))
def test_canonical_requests_never_need_the_strict_reader(requests: list[bytes]) -> None:
    data = b"".join(requests)
    found, consumed = split_requests(data, data.split(b"\r\n"))
    assert consumed == len(data)
    assert b"".join(pack(tuple(request)) for request in found) == data


def test_a_pipeline_of_one_shape_is_taken_apart_by_columns() -> None:
    data = b"".join(pack((b"SET", b"k%d" % i, b"v" * i)) for i in range(100))
    requests, consumed = split_requests(data, data.split(b"\r\n"))
    assert consumed == len(data)
    assert [tuple(r) for r in requests] == [(b"SET", b"k%d" % i, b"v" * i) for i in range(100)]


def test_one_wrong_length_in_the_middle_stops_there() -> None:
    good = pack((b"GET", b"key"))
    wrong = b"*2\r\n$3\r\nGET\r\n$4\r\nkey\r\n"
    data = good * 3 + wrong + good
    requests, consumed = split_requests(data, data.split(b"\r\n"))
    assert (len(requests), consumed) == (3, 3 * len(good))


@pytest.mark.parametrize("size", [1 << 20, 8 << 20])
def test_a_big_value_in_small_pieces_takes_linear_time(size: int) -> None:
    data = pack((b"SET", b"k", b"v" * size))
    reader = RequestReader(64 << 20)
    began = time.process_time()
    requests = []
    for start in range(0, len(data), 1000):
        requests += reader.feed(data[start : start + 1000])
    assert [list(map(len, request)) for request in requests] == [[3, 1, size]]
    assert time.process_time() - began < 0.3 * (size >> 20) + 1


def test_many_arguments_a_byte_at_a_time_take_linear_time() -> None:
    data = pack((b"MSET", *[b"x"] * 20_000))
    reader = RequestReader(LIMIT)
    began = time.process_time()
    requests = [request for i in range(len(data)) for request in reader.feed(data[i : i + 1])]
    assert len(requests) == 1
    assert len(requests[0]) == 20_001
    assert time.process_time() - began < 5


def test_nothing_is_kept_for_a_promise() -> None:
    reader = RequestReader(512 << 20)
    assert reader.feed(b"*1048576\r\n$536870912\r\nab") == []
    assert reader.buffered < 100
    assert reader.error is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b"  get  a ", [b"get", b"a"]),
        (b"set a ''", [b"set", b"a", b""]),
        (b"set a 'it\\'s \\n'", [b"set", b"a", b"it's \\n"]),
        (b'set a "\\n\\r\\t\\b\\a\\x41\\xZZ\\q"', [b"set", b"a", b"\n\r\t\b\aAxZZq"]),
        (b'ping a"b c"', [b"ping", b"ab c"]),
        (b"ping a\0b", [b"ping", b"a"]),
        (b"\v\fping a\vb \fc", [b"ping", b"a\vb", b"c"]),
        (b"ping 'a'\vb", [b"ping", b"a", b"b"]),
    ],
)
def test_inline_words(line: bytes, words: list[bytes]) -> None:
    assert split_line(line) == words


@pytest.mark.parametrize("line", [b'a "b', b"a 'b", b'"a"b', b"'a'b", b'"a\\', b'"'])
def test_quotes_that_do_not_balance(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="unbalanced quotes in request"):
        split_line(line)


@pytest.mark.parametrize(
    ("reply", "resp2", "resp3"),
    [
        (OK, b"+OK\r\n", b"+OK\r\n"),
        (b"a\r\nb", b"$4\r\na\r\nb\r\n", b"$4\r\na\r\nb\r\n"),
        (-7, b":-7\r\n", b":-7\r\n"),
        (None, b"$-1\r\n", b"_\r\n"),
        (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
        (True, b":1\r\n", b"#t\r\n"),
        (False, b":0\r\n", b"#f\r\n"),
        (3.5, b"$3\r\n3.5\r\n", b",3.5\r\n"),
        (0.1, b"$3\r\n0.1\r\n", b",0.1\r\n"),
        (float("inf"), b"$3\r\ninf\r\n", b",inf\r\n"),
        (float("-inf"), b"$4\r\n-inf\r\n", b",-inf\r\n"),
        (float("nan"), b"$3\r\nnan\r\n", b",nan\r\n"),
        ([1, [None]], b"*2\r\n:1\r\n*1\r\n$-1\r\n", b"*2\r\n:1\r\n*1\r\n_\r\n"),
        ((), b"*0\r\n", b"*0\r\n"),
        ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        (Set([1]), b"*1\r\n:1\r\n", b"~1\r\n:1\r\n"),
        (Pairs([b"a", 1.5]), b"*2\r\n$1\r\na\r\n$3\r\n1.5\r\n", b"*1\r\n*2\r\n$1\r\na\r\n,1.5\r\n"),
        (Pairs([]), b"*0\r\n", b"*0\r\n"),
        (Push([1]), b"*1\r\n:1\r\n", b">1\r\n:1\r\n"),
        (Verbatim(b"hi"), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
        (Error(b"ERR no\r\n+OK"), b"-ERR no  +OK\r\n", b"-ERR no  +OK\r\n"),
        (Status(b"a\nb"), b"+a b\r\n", b"+a b\r\n"),
    ],
)
def test_replies(reply: object, resp2: bytes, resp3: bytes) -> None:
    assert encode(reply) == resp2
    assert encode(reply, True) == resp3


def test_a_value_that_is_no_reply_is_refused() -> None:
    with pytest.raises(TypeError, match="object is no reply"):
        encode(object())


@pytest.mark.parametrize("size", [0, 1, 65_000, 65_600, 1 << 20])
def test_large_requests_are_packed_like_small_ones(size: int) -> None:
    words = (b"SET", b"key", b"", b"x" * size)
    assert pack(words) == hiredis.pack_command(words) == pack(list(words))


_TEXTS = st.one_of(st.binary(max_size=4), st.binary(min_size=3, max_size=3), st.sampled_from([b"x" * 511, b"y" * 512]))


@given(st.lists(_TEXTS, max_size=9))
def test_strings_together_are_encoded_as_each_by_itself(items: list[bytes]) -> None:
    body = b"".join(map(encode, items))
    for resp3 in (False, True):
        assert encode(items, resp3) == b"*%d\r\n" % len(items) + body
        assert encode(Set(items), resp3) == (b"~" if resp3 else b"*") + b"%d\r\n" % len(items) + body
        fields = dict(zip(items, items, strict=True))
        flat = b"".join(encode(part) for pair in fields.items() for part in pair)
        head = b"%%%d\r\n" % len(fields) if resp3 else b"*%d\r\n" % (2 * len(fields))
        assert encode(fields, resp3) == head + flat
    if items:
        assert strings(items) == body
