"""A run without a figure is named, with the reason, wherever that is missing; means say so, and no page breaks.

One run of FRoD, LoRA on a whole task, and the only run of full fine-tuning on another: means are held against pandas.
"""

import csv
import io
import json
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import synthetic
from pages import page, read, words
from test_figures import SVG, hints, texts
from test_terminal_summary import printed
from test_text_tables import plain, rendered

from frod.provenance.run_keys import RunKey, undefined
from frod.reporting.comparison import compare, costs, headline
from frod.reporting.figures import lines, seed_markers
from frod.reporting.naming import looks

FROD = RunKey("digits", "digit_vit", "frod", 2)
LOST = {
    FROD: 12,
    **{RunKey("cola", "minilm", "lora", seed): 1 for seed in (1, 2, 3)},
    RunKey("sums", "micro_llama", "full_ft", 1): 40,
}
METHODS = ("full_ft", "frod", "lora", "linear_probe")
LEFT = {1, 3}  # seeds of FRoD on digits that held


@pytest.fixture(scope="module")
def broken(results):
    return synthetic.diverged(results, LOST)


@pytest.fixture(scope="module")
def folder(broken, tmp_path_factory):
    out = tmp_path_factory.mktemp("diverged")
    page(broken, out)
    return out


def of_frod(results):
    points = 100 * results.summary.query("task == 'digits' and method == 'frod' and seed in @LEFT")["test"]
    return f"{points.mean():.1f} ± {points.std(ddof=1):.1f}"


def test_the_page_says_it_before_anything_else_and_leads_to_each_run(folder):
    html = (folder / "index.html").read_text()
    text = re.sub(r"\s+", " ", words(html))
    said = "6 of 39 runs have no figure: 5 diverged, 1 constant"
    assert text.index(said) < text.index("What the paper claims")
    assert text.count(said) == 2  # and in the sentence of what ran
    links = read(html).links
    for key in LOST:
        assert f"runs/{key.task}/{key.backbone}/{key.method}.html#seed-{key.seed}" in links
        assert key.path in text
    assert "diverged: step 12 of 180: loss inf, gradient norm nan" in text
    assert "per task, without 1 run of FRoD (1 diverged) and 1 run of full fine-tuning (1 diverged)." in text
    assert not re.search(r"\bnan\b", re.sub("gradient norm nan", "", text))


def test_tables_have_the_word_in_place_of_a_figure_and_mark_the_means_of_the_others(folder, results):
    html = (folder / "index.html").read_text()
    assert html.count(f">{of_frod(results)} (1 of 3 diverged)</a>") == 2  # the overview, and the task's own table
    assert len(re.findall(r'cola/minilm/lora\.html">diverged</a>', html)) == 2
    assert len(re.findall(r'lora\.html#seed-\d">diverged</a>', html)) == 3  # the table of all runs
    text = words(html)
    assert "FRoD seed 2 diverged: step 12" in text and "left out of mean and difference" in text
    assert "full fine-tuning seed 1 diverged: step 40" in text
    assert "linear probe seed 2 constant: pearson is not defined. It has no figure" in text
    assert "no figure" in text


def test_other_forms_of_the_table_say_the_same(folder, results):
    mean = of_frod(results)
    summary = plain(rendered((folder / "summary.md").read_text()))
    assert f"{mean} (1 of 3 diverged)" in summary
    assert "6 of 39 runs have no figure: 5 diverged, 1 constant: " in summary
    assert "digits/digit_vit/frod/seed-2 (diverged: step" in summary
    latex = (folder / "results.tex").read_text()
    assert rf"FRoD & {mean.replace('±', '$' + chr(92) + 'pm$')} (1 of 3 diverged) & " in latex
    assert r"\quad LoRA & diverged & " in latex and "% 6 of 39 runs have no figure: 5 diverged" in latex
    rows = {
        tuple(row[name] for name in RunKey._fields): row
        for row in csv.DictReader(io.StringIO((folder / "results.csv").read_text()))
    }
    lost = {key: row for key, row in rows.items() if row["undefined"].startswith("diverged: ")}
    assert set(lost) == {(*key[:3], str(key.seed)) for key in LOST} and {row["test"] for row in lost.values()} == {""}


def test_metrics_for_dvc_count_them_and_hold_no_nan(folder):
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert (metrics["runs"], metrics["runs_undefined"]) == (39, 6)
    assert metrics["cola/minilm/lora/undefined"] == 3 and "cola/minilm/lora/test_matthews_correlation" not in metrics
    assert metrics["digits/digit_vit/frod/undefined"] == 1 and "digits/digit_vit/lora/undefined" not in metrics


def test_the_terminal_marks_and_names_them_within_its_width(broken, results):
    text = printed(broken.summary)
    assert max(map(len, text.splitlines())) <= 100 and "…" not in text
    assert re.search(rf"FRoD +{of_frod(results)}† +2 ", text)
    assert re.search(r"LoRA +diverged +0 ", text)
    caption = re.sub(r"\s+", " ", text)
    assert "without a figure (†: a mean without them): " in caption and "frod/seed-2 (diverged)" in caption
    assert "diverged" not in printed(results.summary)


def test_the_runs_page_has_the_message_and_no_figure(folder):
    text = words((folder / "runs/digits/digit_vit/frod.html").read_text())
    assert "This run has no figure: diverged: step 12 of 180: loss inf" in text
    assert re.search(r"test, seed 1\s*[\d.]+\s*test, seed 2\s*diverged\s*test, seed 3", text)
    assert text.count("This run has no figure") == 1


def test_comparisons_pair_what_is_left(broken, results):
    found = {(c.task, c.backbone): c for c in compare(broken.summary, METHODS)}
    frod = found["digits", "digit_vit"].of("frod")
    assert (list(frod.undefined), frod.runs) == ([2], 3)
    assert set(frod.values) == set(frod.difference.pairs) == LEFT
    lora = found["cola", "minilm"].of("lora")
    assert (list(lora.undefined), lora.values, lora.spread, lora.difference) == ([1, 2, 3], {}, None, None)
    assert found["cola", "minilm"].of("linear_probe").undefined == {2: "constant: pearson is not defined"}
    assert found["sums", "micro_llama"].of("frod").difference is None
    assert ("sums", "micro_llama") not in headline(list(found.values())).by_task
    assert found["digits", "digit_vit"].test_examples == 450
    assert set(undefined(broken.summary)) - set(LOST) == set(undefined(results.summary))


def test_a_run_that_stopped_early_is_in_no_median_of_times(broken, results):
    rows = {(row["task"], row["method"]): row for row in costs(broken.summary, METHODS)}
    left = results.summary.query("task == 'digits' and method == 'frod' and seed in @LEFT")
    assert rows["digits", "frod"]["train_seconds"] == left["train_seconds"].median()
    assert math.isnan(rows["cola", "lora"]["train_seconds"]) and math.isnan(rows["cola", "lora"]["step_ratio"])
    assert math.isnan(rows["sums", "frod"]["step_ratio"])


def test_a_curve_ends_with_a_cross_within_the_others_axis_and_is_in_no_mean():
    held = [(step, 2.0 / step) for step in range(1, 6)]
    gone = [(1, 2.0), (2, 1e9), (3, math.nan)]
    curves = {"frod": {0: held, 1: gone}, "lora": {0: [(1, math.nan)]}}
    drawing = lines.draw(curves, looks(METHODS), title="t", axis="loss", ended={"frod": (1,), "lora": (0,)})
    root = ElementTree.fromstring(drawing.render())
    assert "1000000" not in drawing.render(), "a tick of the loss that grew without bounds"
    assert not [path for path in root.iter(f"{SVG}path") if "nan" in path.get("d")]
    found = hints(drawing)
    assert {"FRoD, seed 1, which diverged", "FRoD, seed 1: diverged"} <= set(found)
    assert "FRoD at 4 steps: 0.5" in found, "the mean is that of the run that held, to its end"
    heights = [float(y) for path in root.iter(f"{SVG}path") for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path.get("d"))]
    assert max(heights) <= drawing.height and min(heights) >= 0


def test_a_method_without_any_figure_keeps_its_row_among_the_seeds(broken):
    comparison = next(c for c in compare(broken.summary, METHODS) if c.task == "cola")
    drawing = seed_markers.draw(comparison, looks(METHODS))
    assert texts(drawing).count("diverged") == 1 and "LoRA" in texts(drawing)
    assert "LoRA: diverged, diverged, diverged" in drawing.description


def test_a_suite_of_which_every_run_diverged_has_a_report(results, tmp_path):
    every = {RunKey(*row[:3], int(row[3])): 3 for row in results.summary[list(RunKey._fields)].itertuples(index=False)}
    text = words(page(synthetic.diverged(results, every), tmp_path))
    assert "39 of 39 runs have no figure: 39 diverged" in text and "and 27 more" in text
    assert "no difference to report" in text
    for path in tmp_path.rglob("*.svg"):
        ElementTree.fromstring(path.read_text())
    assert json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)["runs_undefined"] == 39


def test_where_no_trial_has_a_figure_the_first_was_taken_and_the_page_says_so(tmp_path):
    trials = [{"rates": {"lr_head": rate}, "validation": None, "undefined": "diverged: step 3"} for rate in (1.0, 9.0)]
    chosen = {"index": 0, "seeds": [9], "metric": "accuracy", "trials": trials}
    lost = synthetic.diverged(synthetic.results(tasks=("digits",)), {FROD: 3})
    html = page(replace(lost, tuning={("digits", "digit_vit", "frod"): chosen}), tmp_path)
    assert "<strong>lr_head 1e0: diverged ✓</strong>" in html
    assert "None has a figure: the first one’s rates" in (tmp_path / "runs/digits/digit_vit/frod.html").read_text()
