"""HyperLogLog as Redis stores it in a string: byte for byte the same, so that a value moves between the two.

    bytes 0-3   HYLL
    byte 4      encoding: 0 dense, 1 sparse
    bytes 5-7   zeros
    bytes 8-15  the cardinality told last, little-endian; the highest bit: it is out of date
    bytes 16-   dense: 16384 registers of 6 bits, the lowest bits first. Sparse: runs of registers,
                00xxxxxx      x + 1 registers of 0 (ZERO)
                01xxxxxx y    256 * x + y + 1 registers of 0 (XZERO)
                1vvvvvxx      x + 1 registers of v + 1 (VAL)

Hashes are MurmurHash64A, the estimate is Ertl's (Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog
sketches", 2017). A read writes no cardinality back, as Redis does: here it is always out of date.
"""

from __future__ import annotations

from math import floor, inf, sqrt
from typing import Final

REGISTERS: Final = 1 << 14
SPARSE_BYTES: Final = 3000  # a sparse one is not longer: Redis's hll-sparse-max-bytes, by default
HEAD: Final = 16
DENSE_BYTES: Final = HEAD + REGISTERS * 6 // 8
DENSE, SPARSE = 0, 1

_MASK: Final = (1 << 64) - 1
_M: Final = 0xC6A4A7935BD1E995
_SEED: Final = 0xADC83B19
_BITS: Final = 50  # of a hash that are looked at for the first one
_ALPHA: Final = 0.721347520444481703680
_LONGEST_ZERO, _LONGEST_VALUE, _LARGEST_VALUE = 64, 4, 32
_LOOKED_THROUGH: Final = 5  # runs, for equal ones that follow each other


class Damaged(ValueError):
    """The registers are not those of a HyperLogLog."""


def new() -> bytearray:
    """Nothing was added yet."""
    return bytearray(b"HYLL\x01" + bytes(11) + b"\x7f\xff")


def is_one(data: bytes) -> bool:
    """Whether the string may be one: the registers of a sparse one are not looked at."""
    if len(data) < HEAD or data[:4] != b"HYLL" or data[4] > SPARSE:
        return False
    return data[4] == SPARSE or len(data) == DENSE_BYTES


def murmur(data: bytes, seed: int = _SEED) -> int:
    """MurmurHash64A."""
    size = len(data)
    value = seed ^ (size * _M & _MASK)
    whole = size & ~7
    for at in range(0, whole, 8):
        part = int.from_bytes(data[at : at + 8], "little") * _M & _MASK
        part = (part ^ part >> 47) * _M & _MASK
        value = (value ^ part) * _M & _MASK
    if size & 7:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    value = (value ^ value >> 47) * _M & _MASK
    return value ^ value >> 47


def place(element: bytes) -> tuple[int, int]:
    """(the element's register, what that is at least)."""
    value = murmur(element)
    rest = value >> 14 | 1 << _BITS
    return value & REGISTERS - 1, (rest & -rest).bit_length()


def add(data: bytearray, element: bytes) -> bool:
    """Whether that changed it. Raises Damaged."""
    return put(data, *place(element))


def put(data: bytearray, register: int, value: int) -> bool:
    """Have the register at least that large: whether it was not. A sparse one may get dense. Raises Damaged."""
    changed = _put_dense(data, register, value) if data[4] == DENSE else _put_sparse(data, register, value)
    if changed:
        data[15] |= 0x80
    return changed


def _put_dense(data: bytearray, register: int, value: int) -> bool:
    at, shift = HEAD + register * 6 // 8, register * 6 & 7
    both = data[at] | (data[at + 1] << 8 if at + 1 < len(data) else 0)
    if both >> shift & 63 >= value:
        return False
    both = both & ~(63 << shift) | value << shift
    data[at] = both & 0xFF
    if at + 1 < len(data):
        data[at + 1] = both >> 8 & 0xFF
    return True


def _put_sparse(data: bytearray, register: int, value: int) -> bool:
    if value > _LARGEST_VALUE:
        return _promoted(data, register, value)
    at, before, first = HEAD, HEAD, 0
    size = len(data)
    while True:
        if at >= size:
            raise Damaged
        code = data[at]
        if code & 0xC0 == 0x40:
            if at + 1 >= size:
                raise Damaged
            span, width = ((code & 0x3F) << 8 | data[at + 1]) + 1, 2
        else:
            span, width = ((code & 3) if code & 0x80 else code) + 1, 1
        if register < first + span:
            break
        before, at, first = at, at + width, first + span
    old = (code >> 2 & 31) + 1 if code & 0x80 else 0
    if old >= value:
        return False
    runs = _run(old, register - first) + _run(value, 1) + _run(old, first + span - register - 1)
    if len(runs) > width and size + len(runs) - width > SPARSE_BYTES:
        return _promoted(data, register, value)
    data[at : at + width] = runs
    _join(data, before)
    return True


def _run(value: int, length: int) -> bytes:
    """So many registers of that value, no more than fit into one run; nothing for none."""
    if not length:
        return b""
    if value:
        return bytes((0x80 | value - 1 << 2 | length - 1,))
    if length > _LONGEST_ZERO:
        return bytes((0x40 | length - 1 >> 8, length - 1 & 0xFF))
    return bytes((length - 1,))


def _join(data: bytearray, at: int) -> None:
    """Make one of equal runs of values that follow each other, a few from there on."""
    for _ in range(_LOOKED_THROUGH):
        if at >= len(data):
            return
        code = data[at]
        if code & 0xC0 == 0x40:
            at += 2
        elif not code & 0x80:
            at += 1
        elif at + 1 < len(data) and (other := data[at + 1]) & 0xFC == code & 0xFC:
            length = (code & 3) + (other & 3) + 2
            if length <= _LONGEST_VALUE:
                data[at : at + 2] = bytes((code & 0xFC | length - 1,))
            else:
                at += 1
        else:
            at += 1


def _promoted(data: bytearray, register: int, value: int) -> bool:
    make_dense(data)
    return _put_dense(data, register, value)


def make_dense(data: bytearray) -> None:
    """Raises Damaged."""
    if data[4] == SPARSE:
        head = data[:HEAD]
        head[4] = DENSE
        data[:] = head + _packed(registers(data))


def runs(data: bytes | bytearray) -> list[tuple[str, int, int]]:
    """Of a sparse one: (z, Z or v; the value; how many registers)."""
    found: list[tuple[str, int, int]] = []
    at = HEAD
    while at < len(data):
        code = data[at]
        if code & 0x80:
            found.append(("v", (code >> 2 & 31) + 1, (code & 3) + 1))
        elif code & 0x40:
            found.append(("Z", 0, ((code & 0x3F) << 8 | (data[at + 1] if at + 1 < len(data) else 0)) + 1))
            at += 1
        else:
            found.append(("z", 0, code + 1))
        at += 1
    return found


def registers(data: bytes | bytearray) -> bytes:
    """A byte for each. Raises Damaged."""
    if data[4] == DENSE:
        return _unpacked(bytes(data[HEAD:]))
    found = b"".join([bytes((value,)) * length for _, value, length in runs(data)])
    if len(found) != REGISTERS:
        raise Damaged
    return found


def _table(change: object) -> bytes:
    return bytes(change(byte) & 0xFF for byte in range(256))  # type: ignore[operator]


_LOW_6, _HIGH_2, _HIGH_4, _HIGH_6 = (
    _table(lambda byte: byte & 63),
    _table(lambda byte: byte >> 6),
    _table(lambda byte: byte >> 4),
    _table(lambda byte: byte >> 2),
)
_4_UP_2, _2_UP_4, _2_UP_6, _4_UP_4, _UP_2 = (
    _table(lambda byte: (byte & 15) << 2),
    _table(lambda byte: (byte & 3) << 4),
    _table(lambda byte: (byte & 3) << 6),
    _table(lambda byte: (byte & 15) << 4),
    _table(lambda byte: byte << 2),
)


def _either(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") | int.from_bytes(other, "big")).to_bytes(len(one), "big")


def _unpacked(dense: bytes) -> bytes:
    """Three bytes hold four registers."""
    one, two, three = dense[0::3], dense[1::3], dense[2::3]
    found = bytearray(REGISTERS)
    found[0::4] = one.translate(_LOW_6)
    found[1::4] = _either(one.translate(_HIGH_2), two.translate(_4_UP_2))
    found[2::4] = _either(two.translate(_HIGH_4), three.translate(_2_UP_4))
    found[3::4] = three.translate(_HIGH_6)
    return bytes(found)


def _packed(values: bytes) -> bytes:
    one, two, three, four = (values[at::4] for at in range(4))
    found = bytearray(REGISTERS * 6 // 8)
    found[0::3] = _either(one, two.translate(_2_UP_6))
    found[1::3] = _either(two.translate(_HIGH_6), three.translate(_4_UP_4))
    found[2::3] = _either(three.translate(_HIGH_4), four.translate(_UP_2))
    return bytes(found)


def largest(one: bytes, other: bytes) -> bytes:
    """Of each pair of registers."""
    return bytes(map(max, one, other))


def cardinality(values: bytes) -> int:
    """About how many elements were added, by the registers."""
    count = float(REGISTERS)
    estimate = count * _tau((count - values.count(_BITS + 1)) / count)
    for value in range(_BITS, 0, -1):
        estimate = (estimate + values.count(value)) * 0.5
    estimate += count * _sigma(values.count(0) / count)
    return floor(_ALPHA * count * count / estimate + 0.5)


def _sigma(x: float) -> float:
    if x == 1.0:
        return inf
    y, z, last = 1.0, x, -1.0
    while last != z:
        x *= x
        last = z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, last = 1.0, 1 - x, -1.0
    while last != z:
        x = sqrt(x)
        last = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3
