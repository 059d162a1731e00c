"""Numbers as Redis reads and writes them, strictly: 64-bit integers, doubles, and long doubles with a 64-bit mantissa.

Python's int() and float() take more than Redis does (`+1`, ` 1`, `1_0`, digits of other scripts), and a
platform's long double differs from the next: here both are exact arithmetic, equal on every node.
"""

from __future__ import annotations

import math
import re

from leto.vocabulary.replies import NOT_A_FLOAT, NOT_AN_INTEGER, NOT_POSITIVE, Error, Refused

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)

_INTEGER = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z").match
_DECIMAL = re.compile(rb"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?\Z").match
_HEXADECIMAL = re.compile(rb"([+-]?)0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?(?:[pP]([+-]?[0-9]+))?\Z").match
_INFINITY = re.compile(rb"[+-]?inf(?:inity)?\Z", re.IGNORECASE).match

_SPACES = b" \t\n\v\f\r"  # what C's isspace() calls so

_MANTISSA = 64  # bits of an x87 long double, the format that Redis counts in on x86-64
_LEAST = -16445  # exponent of the smallest subnormal
_GREATEST = 16384  # values from 2^this on overflow
_LONGEST = 5 * 1024  # bytes of text that Redis looks at
_SAFE = float(INT64_MAX // 2)  # integers up to this are printed as such
_DECIMALS = 17  # printed at most


def parse_integer(text: bytes) -> int | None:
    """The 64-bit integer that `text` spells exactly as Redis writes it (string2ll); None for anything else."""
    if _INTEGER(text) is None:
        return None
    number = int(text)
    return number if INT64_MIN <= number <= INT64_MAX else None


def integer(text: bytes) -> int:
    """parse_integer() of an argument or a value. Raises Refused."""
    if text.isdigit() and len(text) < 19 and (text[0] != 0x30 or len(text) == 1):  # nearly always; bytes, so ASCII
        return int(text)
    if _INTEGER(text) is None:
        raise Refused(NOT_AN_INTEGER)
    number = int(text)
    if not INT64_MIN <= number <= INT64_MAX:
        raise Refused(NOT_AN_INTEGER)
    return number


def bounded_integer(text: bytes, low: int, high: int) -> int:
    """integer() that must lie within low and high. Raises Refused with Redis's range error."""
    number = integer(text)
    if not low <= number <= high:
        if low == 0 and high == INT64_MAX:
            raise Refused(NOT_POSITIVE)
        raise Refused(Error(b"ERR value is out of range, value must between %d and %d" % (low, high)))
    return number


def positive_integer(text: bytes, low: int = 0, error: Error = NOT_POSITIVE) -> int:
    """The integer, not below `low`. Raises Refused with that error for anything else, be it a number or not."""
    number = parse_integer(text)
    if number is None or number < low:
        raise Refused(error)
    return number


def parse_double(text: bytes) -> float | None:
    """The double that `text` spells as C's strtod reads it, whole and without spaces before it; None for anything
    else, for a NaN, and for what is too large or too small for a double (Redis's string2d)."""
    if _DECIMAL(text) is not None:
        try:
            value = float(text)
        except ValueError:  # no digits
            return None
    elif _INFINITY(text) is not None:
        return -math.inf if text[0] == 0x2D else math.inf
    else:
        return _hexadecimal(text)
    return value if 0 != abs(value) != math.inf or _is_exact(text, value) else None


def _is_exact(text: bytes, value: float) -> bool:
    """Whether a decimal that became this zero or infinity is a zero."""
    return value == 0 and not text.lower().partition(b"e")[0].strip(b"+-.0")


def _hexadecimal(text: bytes) -> float | None:
    match = _HEXADECIMAL(text)
    if match is None:
        return None
    sign, whole, fraction, power = match.groups(b"")
    if not whole + fraction:
        return None
    digits = b"%b%b.%b" % (sign, whole or b"0", fraction)
    try:
        value = float.fromhex((b"%bp%b" % (digits, power or b"0")).decode())
    except OverflowError:
        return None
    return value if value or not (whole + fraction).strip(b"0") else None


def double(text: bytes) -> float:
    """parse_double() of an argument. Raises Refused (not a float)."""
    value = parse_double(text)
    if value is None:
        raise Refused(NOT_A_FLOAT)
    return value


def lenient_double(text: bytes) -> float | None:
    """What C's strtod makes of all of `text` up to a NUL, as Redis reads the ends of ranges of scores: spaces before it
    are passed over, nothing is 0, and what is too large is infinite. None for anything else, and for a NaN."""
    text = text.split(b"\0", 1)[0]
    if not text:
        return 0.0
    text = text.lstrip(_SPACES)
    value = parse_double(text)
    if value is not None or not text:
        return value
    sign = -1.0 if text[0] == 0x2D else 1.0
    if _DECIMAL(text) is not None:
        try:
            return float(text)
        except ValueError:
            return None
    match = _HEXADECIMAL(text)
    if match is None or not match[2] + (match[3] or b""):
        return None
    return math.copysign(0.0 if (match[4] or b"").startswith(b"-") else math.inf, sign)


def double_text(value: float) -> bytes:
    """A double as Redis 7.2 prints it: the fewest digits that read back, "inf", "-inf", "nan"."""
    if value != value:
        return b"nan"
    if -_SAFE <= value <= _SAFE:
        whole = int(value)
        if whole == value:
            return b"%d" % whole if whole or math.copysign(1, value) > 0 else b"-0"
    elif value in (math.inf, -math.inf):
        return b"inf" if value > 0 else b"-inf"
    head, _, power = repr(value).partition("e")
    sign = "-" if head[0] == "-" else ""
    whole_digits, _, fraction = head.removeprefix("-").partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole_digits + fraction).lstrip("0")
    shift = int(power or "0") - len(fraction)
    trimmed = digits.rstrip("0")
    shift += len(digits) - len(trimmed)
    return (sign + _placed(trimmed, shift)).encode()


def _placed(digits: str, shift: int) -> str:
    """digits * 10**shift with a point or an exponent, as Redis's fpconv_dtoa has it."""
    count = len(digits)
    exponent = shift + count - 1
    if shift >= 0 and exponent < count + 7:
        return digits + "0" * shift
    if shift < 0 and (shift > -7 or abs(exponent) < 4):
        if count + shift <= 0:
            return "0." + "0" * -(count + shift) + digits
        return f"{digits[:shift]}.{digits[shift:]}"
    point = "." if count > 1 else ""
    return f"{digits[0]}{point}{digits[1:]}e{exponent:+d}"


class Infinite(ArithmeticError):
    """The long double is infinite: it was spelt so, or a sum overflowed."""


class LongDouble:
    """mantissa * 2**exponent, exactly what an x87 register would hold."""

    __slots__ = ("exponent", "mantissa")

    def __init__(self, mantissa: int, exponent: int) -> None:
        self.mantissa = mantissa
        self.exponent = exponent

    def __add__(self, other: LongDouble) -> LongDouble:
        """The sum, rounded to nearest, ties to even. Raises Infinite on overflow."""
        exponent = min(self.exponent, other.exponent)
        mantissa = (self.mantissa << self.exponent - exponent) + (other.mantissa << other.exponent - exponent)
        return _rounded(mantissa, 1, exponent)

    def text(self) -> bytes:
        """Redis's human-friendly form: 17 decimals, trailing zeros removed, never an exponent."""
        magnitude = abs(self.mantissa)
        if self.exponent >= 0:
            return _decimal(self.mantissa << self.exponent)
        scaled = magnitude * 10**_DECIMALS
        shift = -self.exponent
        quotient, remainder = scaled >> shift, scaled & ((1 << shift) - 1)
        half = 1 << shift - 1
        if remainder > half or (remainder == half and quotient & 1):
            quotient += 1
        whole, fraction = divmod(quotient, 10**_DECIMALS)
        decimals = (b"%017d" % fraction).rstrip(b"0")
        text = b"%b.%b" % (_decimal(whole), decimals) if decimals else _decimal(whole)
        return b"-" + text if self.mantissa < 0 and text != b"0" else text


def long_double(text: bytes) -> LongDouble:
    """Parse as C's strtold does, the way Redis calls it. Raises Refused (not a float) or Infinite ("inf")."""
    if not text or len(text) >= _LONGEST:
        raise Refused(NOT_A_FLOAT)
    if _INFINITY(text):
        raise Infinite
    base, match = 10, _DECIMAL(text)
    if match is None:
        base, match = 16, _HEXADECIMAL(text)
    if match is None:
        raise Refused(NOT_A_FLOAT)
    sign, whole, fraction, power = match.groups(b"")
    digits = (whole + fraction).decode()
    if not digits:
        raise Refused(NOT_A_FLOAT)
    mantissa = int(digits, 16) if base == 16 else _from_decimal(digits)
    if mantissa == 0:
        return LongDouble(0, 0)
    if sign == b"-":
        mantissa = -mantissa
    shift = int(power[:12] or b"0")  # more digits than that are out of range anyway
    if base == 16:
        shift -= 4 * len(fraction)
        numerator, denominator, exponent = mantissa, 1, shift
        out_of_range = abs(shift + 4 * len(digits)) > 100_000
    else:
        shift -= len(fraction)
        out_of_range = abs(shift + len(digits)) > 40_000
        numerator, denominator, exponent = mantissa, 1, 0
        if not out_of_range and shift >= 0:
            numerator *= 10**shift
        elif not out_of_range:
            denominator = 10**-shift
    if out_of_range:
        raise Refused(NOT_A_FLOAT)
    try:
        value = _rounded(numerator, denominator, exponent)
    except Infinite:
        raise Refused(NOT_A_FLOAT) from None
    if value.mantissa == 0:  # underflow to zero
        raise Refused(NOT_A_FLOAT)
    return value


def _decimal(number: int) -> bytes:
    """The number's digits. Python refuses to print more than 4300 at once, a long double has up to 4932."""
    high, low = divmod(abs(number), 10**4000)
    text = b"%d%04000d" % (high, low) if high else b"%d" % low
    return b"-" + text if number < 0 else text


def _from_decimal(digits: str) -> int:
    """int() for up to 8000 digits; Python refuses to read more than 4300 at once."""
    return int(digits[:-4000] or "0") * 10**4000 + int(digits[-4000:])


def _rounded(numerator: int, denominator: int, exponent: int) -> LongDouble:
    """numerator / denominator * 2**exponent to 64 bits, to nearest, ties to even. Raises Infinite on overflow."""
    if numerator == 0:
        return LongDouble(0, 0)
    magnitude = abs(numerator)
    shift = magnitude.bit_length() - denominator.bit_length() - _MANTISSA - 1  # leaves 64 or 65 bits, and more
    shift = max(shift, _LEAST - exponent - 1)
    if shift >= 0:
        quotient, remainder = divmod(magnitude, denominator << shift)
    else:
        quotient, remainder = divmod(magnitude << -shift, denominator)
    drop = max(quotient.bit_length() - _MANTISSA, _LEAST - exponent - shift, 0)
    if drop:
        sticky = remainder != 0
        rest = quotient & ((1 << drop) - 1)
        quotient >>= drop
        half = 1 << drop - 1
        if rest > half or (rest == half and (sticky or quotient & 1)):
            quotient += 1
    exponent += shift + drop
    if quotient.bit_length() + exponent > _GREATEST:
        raise Infinite
    return LongDouble(-quotient if numerator < 0 else quotient, exponent)
