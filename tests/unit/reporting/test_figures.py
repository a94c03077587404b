"""Figures put values where they belong, are well-formed SVG, and say in words what they show."""

import math
import re
from xml.etree import ElementTree

import pytest

from frod.reporting import figures
from frod.reporting.comparison import compare, headline
from frod.reporting.naming import looks
from frod.reporting.svg import Drawing, Scale, log_ticks, nice_ticks

METHODS = ("full_ft", "frod", "lora", "linear_probe")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def comparisons(results):
    return compare(results.summary, METHODS)


def hints(drawing):
    return [title.text for title in ElementTree.fromstring(drawing.render()).iterfind(f"{SVG}path/{SVG}title")]


def test_every_seed_is_a_marker(comparisons):
    drawing = figures.dots(comparisons[0], looks(METHODS))
    found = hints(drawing)
    assert len(found) == 12
    frod = comparisons[0].of("frod").values
    assert f"FRoD, seed 1: {100 * frod[1]:.2f}" in found


def test_the_forest_has_every_pair_and_one_row_more_for_the_mean(comparisons):
    drawing = figures.forest(headline(comparisons), looks(METHODS))
    assert len(hints(drawing)) == 3 + 3 + 3 + 1
    texts = [text.text for text in ElementTree.fromstring(drawing.render()).iter(f"{SVG}text")]
    assert "mean over tasks" in texts and "sums on micro_llama" in texts


def test_an_interval_that_leaves_the_axis_is_cut_not_hidden(results):
    two = results.summary[results.summary["seed"] != 3]
    top = headline(compare(two, METHODS))
    low, high = figures._forest_range(top)
    widest = max(100 * (d.high - d.low) for d in top.by_task.values() if d.has_interval)
    data = [0.0] + [100 * value for d in top.by_task.values() for value in d.each]
    assert high - low < widest, "an interval of one degree of freedom would set the scale"
    assert low < min(data) and high > max(data)


def test_lines_break_where_a_loss_is_nan():
    curve = [(1, 1.0), (2, 1.5), (3, math.nan), (4, 2.0), (5, 2.5)]
    drawing = figures.lines({"frod": [curve]}, looks(["frod"]), title="t", axis="loss")
    paths = [path.get("d") for path in ElementTree.fromstring(drawing.render()).iter(f"{SVG}path")]
    assert sum(re.fullmatch(r"M[^MLZ]+L[^MLZ]+M[^MLZ]+L[^MLZ]+", d) is not None for d in paths) == 1


@pytest.mark.parametrize("curves", [{}, {"frod": [[]]}, {"frod": [[(1, math.nan)]]}, {"frod": [[(1, 0.5)]]}])
def test_lines_with_little_or_nothing_to_draw(curves):
    ElementTree.fromstring(figures.lines(curves, looks(["frod"]), title="t", axis="loss").render())


def test_no_coordinate_is_nan(comparisons, results):
    for comparison in comparisons:
        assert "nan" not in re.sub(r"<(title|desc)>.*?</\1>", "", figures.dots(comparison, looks(METHODS)).render())


def test_scales_and_ticks():
    linear, log = Scale(0, 10, 100, 200), Scale(0.01, 100, 0, 4, log=True)
    assert (linear(0), linear(10), linear(2.5)) == (100, 200, 125)
    assert linear.inside(99) == 200
    assert log(1) == pytest.approx(2) and math.isnan(log(0)) and math.isnan(log(math.nan))
    assert nice_ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(3, 3) == [3]
    assert log_ticks(0.009, 2.1) == pytest.approx([0.01, 0.1, 1])
    assert len(log_ticks(1.1, 1.9)) >= 2


def test_text_and_attributes_are_escaped():
    drawing = Drawing(10, 10, '"><script>', "&")
    drawing.text(0, 0, "<b>&")
    drawing.add("g", id='" onload="x')
    root = ElementTree.fromstring(drawing.render())
    assert root.get("aria-label") == '"><script>'
    assert root.find(f"{SVG}text").text == "<b>&"
    assert root.find(f"{SVG}g").get("id") == '" onload="x'
