"""Figures put values where they belong, are well-formed SVG, and say in words what they show."""

import math
import re
from xml.etree import ElementTree

import pandas as pd
import pytest

from frod.reporting.collect import Spectra
from frod.reporting.comparison import compare, headline
from frod.reporting.figures import difference, forest, lines, pareto, seed_markers, singular_values
from frod.reporting.figures.axes import Drawing, Scale, legible, log_ticks, nice_ticks, tick_label
from frod.reporting.naming import looks

METHODS = ("full_ft", "frod", "lora", "linear_probe")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def comparisons(results):
    return compare(results.summary, METHODS)


def root(drawing):
    return ElementTree.fromstring(drawing.render())


def hints(drawing):
    return [title.text for title in root(drawing).iterfind(f"{SVG}path/{SVG}title")]


def texts(drawing):
    return [text.text for text in root(drawing).iter(f"{SVG}text")]


def corners(path):
    return [float(x) for x in re.findall(r"[ML](-?[\d.]+)", path.get("d"))]


def test_every_seed_is_a_marker(comparisons):
    drawing = seed_markers.draw(comparisons[0], looks(METHODS))
    found = hints(drawing)
    assert len(found) == 12 + 4, "and a bar for each mean"
    frod = comparisons[0].of("frod").values
    assert f"FRoD, seed 1: {100 * frod[1]:.2f}" in found


def test_the_forest_has_every_pair_and_one_row_more_for_the_mean(comparisons):
    drawing = difference.draw(headline(comparisons), looks(METHODS), 1.0)
    assert len([hint for hint in hints(drawing) if ", seed " in hint]) == 3 + 3 + 3 + 1
    assert len({hint for hint in hints(drawing) if ", mean of " in hint}) == 4 + 1
    assert {"mean over 4 tasks", "sums on micro_llama"} <= set(texts(drawing))


def test_a_task_at_chance_level_has_hollow_marks_and_a_line_that_says_why(comparisons):
    top = headline(comparisons, without=[("sums", "micro_llama")])
    drawing = difference.draw(top, looks(METHODS), 1.0, [("sums", "micro_llama"), ("other", "model")])
    marks = {path.findtext(f"{SVG}title"): path.get("fill") for path in root(drawing).iter(f"{SVG}path")}
    hollow = {hint for hint, fill in marks.items() if hint and fill == "none" and "%" not in hint}
    said = "full fine-tuning at chance level: not in the mean"
    assert {hint for hint in hollow if "mean of" not in hint and "seed" not in hint} == {said}
    assert all("sums on micro_llama" in hint for hint in hollow - {said}) and said in texts(drawing)
    assert any(hint.startswith("sums on micro_llama, seed") for hint in hollow)


def test_an_interval_that_leaves_the_axis_is_cut_not_hidden():
    low, high = legible([-2.0, 1.0], [-40.0, 38.0], room=1.5)
    assert high - low < 78, "an interval of one degree of freedom would set the scale"
    assert low < -2 - 1.5 * 3 and high > 1 + 1.5 * 3
    assert legible([-2.0, 1.0], [-3.0], room=1.5)[0] == pytest.approx(-3 - 0.06 * 4), "one that is near is whole"


@pytest.mark.parametrize("more_is_better", [True, False])
def test_a_forest_of_methods_has_a_row_each_and_says_which_side_is_better(more_is_better):
    rows = [
        {"method": "lora", "value": 0.5, "low": 0.25, "high": 0.75},
        {"method": "full_ft", "value": -0.25, "low": None, "high": None},
    ]
    drawing = forest.draw(
        {"of": "test loss", "more_is_better": more_is_better, "digits": 2, "rows": rows}, looks(METHODS)
    )
    said = texts(drawing)
    assert said[-4:] == ["LoRA", "+0.50 [+0.25, +0.75]", "full fine-tuning", "−0.25"]
    assert ("better →" in said) == more_is_better
    places = [corners(path) for path in root(drawing).iter(f"{SVG}path")]
    line, *_, lora, full = places
    assert line[0] < min(lora) < max(lora) < line[1] and max(full) < line[0]
    assert line[0] - sum(full[:2]) / 2 == pytest.approx((line[1] - line[0]), abs=0.2), "-0.25 is as far from 0.25"


def test_the_margin_is_a_band_and_the_mean_a_diamond_as_wide_as_its_interval(comparisons):
    top = headline(comparisons)
    drawn = root(difference.draw(top, looks(METHODS), 1.0))
    (band,) = (rect for rect in drawn.iter(f"{SVG}rect") if rect.get("class") == "band")
    ticks = {
        float(text.text.replace("−", "-")): float(text.get("x"))
        for text in drawn.iter(f"{SVG}text")
        if re.fullmatch(r"−?\d+", text.text)
    }
    (a, at), (b, bt) = sorted(ticks.items())[0], sorted(ticks.items())[-1]

    def place(points):
        return at + (points - a) / (b - a) * (bt - at)

    assert float(band.get("x")) == pytest.approx(place(-1), abs=0.1)
    (diamond,) = (path for path in drawn.iter(f"{SVG}path") if "mean of 4" in (path.findtext(f"{SVG}title") or ""))
    mean, (left, *rest) = top.over_tasks, corners(diamond)
    assert left == pytest.approx(place(100 * mean.low), abs=0.2)
    assert rest[:2] == pytest.approx([place(100 * mean.mean), place(100 * mean.high)], abs=0.2)


def test_of_a_crowd_of_methods_means_alone_are_drawn_and_colours_come_back_dashed():
    names = [f"m{i}" for i in range(lines.CROWD + 1)]
    curves = {name: {seed: [(1.0, 2.0 + seed), (2.0, 1.0)] for seed in (0, 1)} for name in names}
    style = looks(names)
    drawn = root(lines.draw(curves, style, title="t", axis="loss"))
    assert not [path for path in drawn.iter(f"{SVG}path") if path.get("stroke-width") == "1"]
    fewer = lines.draw({name: curves[name] for name in names[:-1]}, style, title="t", axis="loss")
    assert len([path for path in root(fewer).iter(f"{SVG}path") if path.get("stroke-width") == "1"]) == 2 * lines.CROWD
    assert len({(look.colour, look.dash) for look in style.values()}) == len(names)
    assert [look.dash for look in style.values()] == [None] * 8 + ["6 3"]


def test_lines_break_where_a_loss_is_nan():
    curve = [(1, 1.0), (2, 1.5), (3, math.nan), (4, 2.0), (5, 2.5)]
    drawing = lines.draw({"frod": {0: curve}}, looks(["frod"]), title="t", axis="loss")
    paths = [path.get("d") for path in root(drawing).iter(f"{SVG}path")]
    assert sum(re.fullmatch(r"M[^MLZ]+L[^MLZ]+M[^MLZ]+L[^MLZ]+", d) is not None for d in paths) == 1
    assert not [d for d in paths if "nan" in d], "nor is there a marker where there is no value"


@pytest.mark.parametrize("curves", [{}, {"frod": {0: []}}, {"frod": {0: [(1, math.nan)]}}, {"frod": {0: [(1, 0.5)]}}])
def test_lines_with_little_or_nothing_to_draw(curves):
    root(lines.draw(curves, looks(["frod"]), title="t", axis="loss"))


def test_every_mark_of_every_figure_says_what_it_is(comparisons):
    curves = {"frod": {1: [(1, 2.0), (2, 1.0)], 2: [(1, 3.0), (2, 2.0)]}, "lora": {1: [(1, 2.5), (2, 1.5)]}}
    appearance = looks(METHODS)
    drawings = [
        seed_markers.draw(comparisons[0], appearance),
        difference.draw(headline(comparisons), appearance, 1.0),
        lines.draw(curves, appearance, title="t", axis="loss"),
        singular_values.draw({"lora": [(0, 1.0), (1, 0.1)]}, appearance, title="t"),
        pareto.draw(comparisons[0], dict.fromkeys(METHODS, 1000), appearance),
    ]
    legends = [0, 0, 2, 1, 4]  # markers next to the names they mean
    for drawing, in_legend in zip(drawings, legends):
        marks = [p for p in root(drawing).iter(f"{SVG}path") if p.get("class")[0] == "f"]
        assert len(marks) > len([p for p in marks if p.find(f"{SVG}title") is None]) == in_legend
    assert "FRoD at 2 steps: 1.5" in hints(drawings[2]) and "FRoD, seed 2" in hints(drawings[2])


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ({"a": (10, 0.5), "b": (100, 0.7), "c": (1000, 0.9)}, ["a", "b", "c"]),
        ({"a": (10, 0.7), "b": (100, 0.7), "c": (1000, 0.6)}, ["a"]),
        ({"a": (10, 0.5), "b": (10, 0.6)}, ["b"]),
        ({"c": (1000, 0.9), "a": (10, 0.1), "b": (100, 0.05)}, ["a", "c"]),
        ({}, []),
    ],
)
def test_the_front_holds_what_no_other_beats(points, expected):
    assert pareto.front(points) == expected


def test_accuracy_stands_over_the_logarithm_of_trained_parameters(comparisons):
    trained = {"full_ft": 1_000_000, "frod": 10_000, "lora": 1_000, "linear_probe": 100}
    drawing = pareto.draw(comparisons[0], trained, looks(METHODS))
    at = {}
    for path in root(drawing).iter(f"{SVG}path"):
        title = path.find(f"{SVG}title")
        if title is not None and path.get("class").startswith("f"):
            at[title.text.split(":")[0]] = (min(corners(path)) + max(corners(path))) / 2
    gap = at["LoRA"] - at["linear probe"]
    assert at["full fine-tuning"] - at["LoRA"] == pytest.approx(3 * gap, abs=1)
    assert pareto.draw(comparisons[0], {**dict.fromkeys(METHODS, 0), "frod": 5}, looks(METHODS)) is None


def test_a_spectrum_is_the_median_over_layers_of_values_over_the_largest():
    table = pd.DataFrame({"singular_values": [[4.0, 2.0, 1.0, 0.0], [2.0, 2.0], [0.0, 0.0], [8.0, 4.0, 4.0, 4.0]]})
    found = dict(singular_values.median_spectrum(table))
    assert found[0] == 1.0
    assert found[0.5] == 0.5, "of 0.5, 1 and 0.5; the layer that did not change is left out"
    assert found[1.0] == 0.5, "of 0, 1 and 0.5"
    assert singular_values.median_spectrum(table.iloc[2:3]) == []


def test_spectra_are_read_when_they_are_asked_for(tmp_path):
    """All of a large suite's do not fit in memory together."""
    keys = [("digits", "digit_vit", method) for method in ("frod", "lora")]
    spectra = Spectra({key: tmp_path / f"{key[2]}.parquet" for key in keys})
    assert list(spectra) == keys and len(spectra) == 2
    table = pd.DataFrame({"seed": [0], "layer": ["a"], "singular_values": [[2.0, 1.0]]})
    table.to_parquet(tmp_path / "lora.parquet")
    assert spectra[keys[1]]["singular_values"][0].tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match=r"frod\.parquet: is not there"):
        spectra[keys[0]]


def test_scales_and_ticks():
    linear, log = Scale(0, 10, 100, 200), Scale(0.01, 100, 0, 4, log=True)
    assert (linear(0), linear(10), linear(2.5)) == (100, 200, 125)
    assert linear.inside(99) == 200
    assert log(1) == pytest.approx(2) and math.isnan(log(0)) and math.isnan(log(math.nan))
    assert nice_ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(3, 3) == [3]
    assert log_ticks(0.009, 2.1) == pytest.approx([0.01, 0.1, 1])
    assert len(log_ticks(1.1, 1.9)) >= 2
    assert [tick_label(v) for v in (0.5, 0.001, 1e-5, 2e-5, -3)] == ["0.5", "0.001", "10⁻⁵", "2e−05", "−3"]


def test_text_and_attributes_are_escaped():
    drawing = Drawing(10, 10, '"><script>', "&")
    drawing.text(0, 0, "<b>&")
    drawing.add("g", id='" onload="x')
    drawn = root(drawing)
    assert drawn.get("aria-label") == '"><script>'
    assert drawn.find(f"{SVG}text").text == "<b>&"
    assert drawn.find(f"{SVG}g").get("id") == '" onload="x'
