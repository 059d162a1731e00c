"""Two kinds of charts as SVG, readable on a white page and on a dark one: no background, tones that contrast with both.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

TEXT = "#757d87"
FAINT = "#8b949e"  # drawn thin and half transparent: the grid
COLOURS = ("#2f7de1", "#cf5f1f", "#8f68d6", "#2c8f57", "#c4508f", "#917b1a")
DASHES = ("", "6 4", "2 3")
WIDTH = 760
RIGHT = 24
TOP = 56
LETTER = 6.7  # width of one at 12 px, about
ROW = 26  # height of a row of dots
PLOT = 280  # height of a plot of lines
LEGEND_ROW = 18
MOST_LABELS = 12


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y); `colour` and `dash` are places in COLOURS and DASHES."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    dash: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis over `low` to `high`, whose ends are 1, 2 or 5 times a power of ten."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Axis:
        """That holds the values, all above 0. Raises ValueError without any."""
        low, high = min(values), max(values)
        if low <= 0:
            raise ValueError(f"{low} has no place on a logarithmic axis")
        steps = _steps(low / 10, high * 10)
        least = max(step for step in steps if step <= low * (1 + 1e-9))
        most = min(step for step in steps if step >= high * (1 - 1e-9))
        return cls(least, most if most > least else min(step for step in steps if step > least * 1.1))

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        return math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[float]:
        """Where it has labels: at most about seven of them."""
        steps = [s for s in _steps(self.low, self.high) if self.low * 0.999 <= s <= self.high * 1.001]
        return steps if len(steps) <= 7 else [s for s in steps if _is_power(s)]


def _steps(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    return [factor * 10.0**exponent for exponent in exponents for factor in (1, 2, 5)]


def _is_power(value: float) -> bool:
    return abs(math.log10(value) - round(math.log10(value))) < 1e-9


def short(value: float) -> str:
    """For a label: 1,500 is 1.5k."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def dots(title: str, unit: str, rows: Sequence[str], series: Sequence[Series]) -> str:
    """A row a name, a dot a series on one logarithmic axis. A point is (number of the row, value)."""
    left = max(len(row) for row in rows) * LETTER + 20
    width = WIDTH - RIGHT - left
    axis = Axis.over([y for one in series for _, y in one.points])
    bottom = TOP + ROW * len(rows)
    body = []
    for tick in axis.ticks():
        x = left + axis.place(tick) * width
        body += [_line(x, TOP, x, bottom), _text(x, bottom + 16, short(tick), "middle")]
    for place, row in enumerate(rows):
        y = TOP + ROW * (place + 0.5)
        body += [_line(left, y, left + width, y), _text(left - 10, y + 4, row, "end")]
    for one in series:
        for number, value in one.points:
            x, y = left + axis.place(value) * width, TOP + ROW * (number + 0.5)
            hint = f"<title>{escape(f'{one.name}, {rows[int(number)]}: {value:,.6g}')}</title>"
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{_colour(one)}">{hint}</circle>')
    body.append(_text(left + width / 2, bottom + 34, unit, "middle"))
    return _page(title, body, series, bottom + 48)


def lines(
    title: str,
    x_unit: str,
    y_unit: str,
    series: Sequence[Series],
    x_labels: Sequence[tuple[float, str]] = (),
    *,
    x_is_logarithmic: bool = True,
) -> str:
    """y against x, y logarithmic. `x_labels` are (x, label); without them the axis' own ticks are labelled."""
    left = 64.0
    width = WIDTH - RIGHT - left
    bottom = TOP + PLOT
    xs = [x for one in series for x, _ in one.points]
    y_axis = Axis.over([y for one in series for _, y in one.points])
    across = _across(xs, x_is_logarithmic)
    body = []
    for tick in y_axis.ticks():
        y = bottom - y_axis.place(tick) * PLOT
        body += [_line(left, y, left + width, y), _text(left - 8, y + 4, short(tick), "end")]
    for at, label in x_labels or [(x, short(x)) for x in sorted(set(xs))[:MOST_LABELS]]:
        x = left + across(at) * width
        body += [_line(x, TOP, x, bottom), _text(x, bottom + 16, label, "middle")]
    for one in series:
        spots = [(left + across(x) * width, bottom - y_axis.place(y) * PLOT, x, y) for x, y in sorted(one.points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in spots)
        dash = f' stroke-dasharray="{DASHES[one.dash]}"' if one.dash else ""
        body.append(f'<polyline points="{path}" fill="none" stroke="{_colour(one)}" stroke-width="2"{dash}/>')
        for x, y, at, value in spots:
            hint = f"<title>{escape(f'{one.name}, {at:g}: {value:,.6g}')}</title>"
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{_colour(one)}">{hint}</circle>')
    body += [_text(left + width / 2, bottom + 34, x_unit, "middle"), _text(4, TOP - 10, y_unit, "start")]
    return _page(title, body, series, bottom + 48)


def _across(xs: Sequence[float], is_logarithmic: bool) -> Callable[[float], float]:
    low, high = min(xs), max(xs)
    if low == high:
        return lambda _: 0.5
    if is_logarithmic:
        return lambda x: math.log(x / low) / math.log(high / low)
    return lambda x: (x - low) / (high - low)


def _page(title: str, body: Sequence[str], series: Sequence[Series], top: float) -> str:
    legend = []
    for number, one in enumerate(series):
        y = top + LEGEND_ROW * number + 8
        dash = f' stroke-dasharray="{DASHES[one.dash]}"' if one.dash else ""
        legend.append(f'<path d="M16 {y:.1f}h28" stroke="{_colour(one)}" stroke-width="3"{dash}/>')
        legend.append(_text(52, y + 4, one.name, "start"))
    height = top + LEGEND_ROW * len(series) + 12
    heading = f'<text x="4" y="20" fill="{TEXT}" font-size="15" font-weight="bold">{escape(title)}</text>'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" font-family="sans-serif" font-size="12" role="img">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", heading, *body, *legend, "</svg>"]) + "\n"


def _colour(series: Series) -> str:
    return COLOURS[series.colour % len(COLOURS)]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    at = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {at} stroke="{FAINT}" stroke-width="1" stroke-opacity="0.35"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{TEXT}" text-anchor="{anchor}">{escape(words)}</text>'
