"""The whole machine against a plain model: dictionaries, the rules written the obvious way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from leto.keyspace.types.value import checksum
from leto.vocabulary.replies import NO_SUCH_KEY, NOT_AN_INTEGER, OK
from tests.keyspace.batches import NOW, Bench

KEYS = st.sampled_from([b"a", b"b", b"c"])
VALUES = st.sampled_from([b"", b"1", b"-7", b"abc", b"x" * 40])
TIMES = st.sampled_from([1, 10, 100, 100_000])


class Model:
    def __init__(self):
        self.data = {}  # key -> (value, expire_at or None)
        self.now = NOW

    def live(self, key):
        value, expire_at = self.data.get(key, (None, None))
        return None if value is None or (expire_at is not None and expire_at < self.now) else (value, expire_at)

    def get(self, key):
        return (self.live(key) or (None,))[0]

    def set(self, key, value, condition, milliseconds, keep, get):
        old = self.live(key)
        if (condition == b"NX" and old) or (condition == b"XX" and not old):
            return old[0] if get and old else None
        expire_at = self.now + milliseconds if milliseconds else (old[1] if keep and old else None)
        self.data[key] = (value, expire_at)
        return (old[0] if old else None) if get else OK

    def delete(self, key):
        found = self.live(key) is not None
        self.data.pop(key, None)
        return int(found)

    def incrby(self, key, amount):
        value, expire_at = self.live(key) or (b"0", None)
        if value not in (b"1", b"-7") and not value.removeprefix(b"-").isdigit():
            return NOT_AN_INTEGER
        self.data[key] = (b"%d" % (int(value) + amount), expire_at)
        return int(value) + amount

    def append(self, key, value):
        old, expire_at = self.live(key) or (b"", None)
        self.data[key] = (old + value, expire_at)
        return len(old + value)

    def pexpire(self, key, milliseconds):
        old = self.live(key)
        if old:
            self.data[key] = (old[0], self.now + milliseconds)
        return int(old is not None)

    def persist(self, key):
        old = self.live(key)
        if old is None or old[1] is None:
            return 0
        self.data[key] = (old[0], None)
        return 1

    def pttl(self, key):
        old = self.live(key)
        return -2 if old is None else -1 if old[1] is None else old[1] - self.now

    def rename(self, source, destination):
        old = self.live(source)
        if old is None:
            return NO_SUCH_KEY
        if source != destination:
            self.data[destination] = self.data.pop(source)
        return OK

    def keys(self):
        return sorted(key for key in self.data if self.live(key))


STEPS = st.one_of(
    st.tuples(st.just("get"), KEYS),
    st.tuples(
        st.just("set"),
        KEYS,
        VALUES,
        st.sampled_from([b"", b"NX", b"XX"]),
        st.one_of(st.just(0), TIMES),
        st.booleans(),
        st.booleans(),
    ),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("incrby"), KEYS, st.integers(-100, 100)),
    st.tuples(st.just("append"), KEYS, VALUES),
    st.tuples(st.just("pexpire"), KEYS, TIMES),
    st.tuples(st.just("persist"), KEYS),
    st.tuples(st.just("pttl"), KEYS),
    st.tuples(st.just("rename"), KEYS, KEYS),
    st.tuples(st.just("wait"), st.sampled_from([1, 5, 50, 150])),
    st.tuples(st.just("expire actively")),
    st.tuples(st.just("restore")),
)


def command_of(step):
    """The step as a Redis command."""
    name, *arguments = step
    if name == "set":
        key, value, condition, milliseconds, keep, get = arguments
        words = [b"SET", key, value, condition, b"GET" if get else b""]
        words += [b"PX", b"%d" % milliseconds] if milliseconds else [b"KEEPTTL" if keep else b""]
        return [*words[:3], *filter(None, words[3:])]
    name = {"delete": "DEL"}.get(name, name)
    return [name.encode(), *[part if isinstance(part, bytes) else b"%d" % part for part in arguments]]


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_the_machine_agrees_with_the_model(steps):
    bench, model = Bench(), Model()
    for step in steps:
        name, *arguments = step
        if name == "wait":
            bench.wait(arguments[0])
            model.now += arguments[0]
        elif name == "restore":
            bench = bench.copy()
        elif name == "expire actively":
            packed = bench.machine.expired(bench.now, 2)
            if packed is not None:
                [count] = bench.packed(packed)
                assert count > 0
        else:
            assert bench.batch(tuple(command_of(step))) == [getattr(model, name)(*arguments)], step
        assert sorted(bench.read("KEYS *")) == model.keys()
        db = bench.machine.database
        assert db.check_sum == sum(checksum(key, record.value, record.expire_at) for key, record in db.data.items())
        assert db.volatile == sum(record.expire_at > 0 for _, record in db.data.items())
        assert len(list(db.data)) == len(db.data)
        assert not db.tombstones.keys() & set(db.data)
    for key in (b"a", b"b", b"c"):
        assert bench.read([b"GET", key]) == model.get(key)
        assert bench.read([b"PTTL", key]) == model.pttl(key)
