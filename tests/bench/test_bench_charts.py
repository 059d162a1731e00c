"""Charts: their numbers, that they are XML, and that they can be read on white and on black."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from leto.bench.charts import charts, write
from leto.bench.svg import COLOURS, TEXT, Axis, Series, dots, lines, short

SVG = "{http://www.w3.org/2000/svg}"
WHITE, DARK = "#ffffff", "#0d1117"


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("page", [WHITE, DARK])
def test_tones_contrast_with_both_pages(page: str) -> None:
    assert contrast(TEXT, page) >= 4
    for colour in COLOURS:
        assert contrast(colour, page) >= 3, colour


def test_a_logarithmic_axis_has_round_ends_and_few_ticks() -> None:
    axis = Axis.over([23.0, 480_000.0])
    assert (axis.low, axis.high) == (20, 500_000)
    assert axis.place(20) == 0
    assert axis.place(500_000) == pytest.approx(1)
    assert axis.ticks() == pytest.approx([100, 1_000, 10_000, 100_000])
    assert Axis.over([3.0]).ticks() == [2, 5]
    assert Axis.over([5.0, 5.0]).low < Axis.over([5.0, 5.0]).high
    with pytest.raises(ValueError, match="no place"):
        Axis.over([0.0])


@pytest.mark.parametrize(
    ("value", "label"), [(0.05, "0.05"), (20, "20"), (1500, "1.5k"), (100_000, "100k"), (2e6, "2M")]
)
def test_labels(value: float, label: str) -> None:
    assert short(value) == label


def circles(svg: str) -> list[tuple[float, float, str]]:
    found = []
    for circle in ElementTree.fromstring(svg).iter(f"{SVG}circle"):
        hint = circle.find(f"{SVG}title")
        assert hint is not None and hint.text
        found.append((float(circle.attrib["cx"]), float(circle.attrib["cy"]), hint.text))
    return found


def test_dots_stand_where_their_values_are() -> None:
    svg = dots("T", "u", ["SET <1>", "GET"], [Series("a", ((0, 10.0), (1, 1000.0))), Series("b", ((0, 100.0),), 1)])
    (x10, y0, first), (x1000, y1, _), (x100, y2, _) = circles(svg)
    assert first == "a, SET <1>: 10"
    assert x100 == pytest.approx((x10 + x1000) / 2, abs=0.2)
    assert y0 == y2 < y1


def test_lines_rise_with_their_values() -> None:
    svg = lines("T", "x", "y", [Series("a", ((1, 10.0), (10, 100.0), (100, 1000.0)))])
    (x1, y1, _), (x10, y10, _), (x100, y100, _) = circles(svg)
    assert x10 == pytest.approx((x1 + x100) / 2, abs=0.2)
    assert y10 == pytest.approx((y1 + y100) / 2, abs=0.2)
    assert y1 > y10 > y100


def requests(sweep: str, target: str, throughput: float, nodes: int = 1, **workload: Any) -> dict[str, Any]:
    about = {"name": "SET, 5 clients", "clients": 5, "write_percent": 100, "value_bytes": 64} | workload
    return {
        "sweep": sweep,
        "workload": about,
        "target": target,
        "throughput": throughput,
        "cpu_seconds_per_million": {f"n{number}": 1.0 for number in range(nodes)},
    }


def report() -> dict[str, Any]:
    paced = {"workload": requests("", "", 1)["workload"], "target": "leto", "share": 0.5, "achieved": 100.0}
    paced |= {"p50_ms": 1, "p90_ms": 2, "p99_ms": 3, "p999_ms": 4, "max_ms": 5, "kept_timetable": False}
    return {
        "measurements": [
            requests("", "leto", 1000.0),
            requests("", "redis", 5000.0),
            requests("clients", "leto", 100.0, clients=1),
            requests("clients", "leto", 900.0, clients=50),
            requests("nodes", "1 node", 400.0),
            requests("nodes", "3 nodes", 300.0, nodes=3),
        ],
        "open_loop": [paced],
    }


def test_a_report_gives_the_charts_it_has_figures_for(tmp_path: Path) -> None:
    found = charts(report())
    assert set(found) == {"throughput.svg", "latency-set.svg", "clients.svg", "nodes.svg"}
    assert [hint for _, _, hint in circles(found["throughput.svg"])] == [
        "leto, SET, 5 clients: 1,000",
        "redis, SET, 5 clients: 5,000",
    ]
    assert "timetable not kept" in found["latency-set.svg"]
    assert [hint for _, _, hint in circles(found["nodes.svg"])] == ["SET, 5 clients, 1: 400", "SET, 5 clients, 3: 300"]
    written = write(report(), tmp_path / "new")
    assert {path.name: path.read_text() for path in written} == found
    assert charts({"measurements": []}) == {}


def test_nothing_is_drawn_outside_the_picture() -> None:
    for name, svg in charts(report()).items():
        width, height = map(float, re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0])
        assert all(0 <= x <= width and 0 <= y <= height for x, y, _ in circles(svg)), name
