"""The page of a method's runs holds all that their records say, so that the report can be audited without results/."""

import html
import json
import re
from dataclasses import replace

import pytest
import synthetic
from pages import page, read, words

from frod.provenance.run_keys import RunKey
from frod.reporting.naming import run_page

KEY = RunKey("digits", "digit_vit", "frod", 2)
CHOICE = {"tuning": {"trials": 2, "seeds": [100], "chosen": 1}}
TRIALS = [
    {"rates": {"lr_scale": 5e-4}, "validation": 0.5, "undefined": None},
    {"rates": {"lr_scale": 2e-3}, "validation": 0.61, "undefined": None},
]


@pytest.fixture(scope="module")
def runs(results, tmp_path_factory):
    """The page of FRoD's runs, whose rates were chosen by trials."""
    out = tmp_path_factory.mktemp("reports") / "smoke"
    records = {key: record | CHOICE for key, record in results.records.items()}
    tuning = {KEY[:3]: {"index": 1, "seeds": [100], "metric": "accuracy", "trials": TRIALS}}
    page(replace(results, tuning=tuning, records=records), out)
    return (out / run_page(*KEY[:3])).read_text()


def section(html, seed):
    return re.search(rf'<section id="seed-{seed}".*?</section>', html, re.DOTALL).group()


def test_it_has_a_place_for_each_seed_and_leads_back(runs):
    reader = read(runs)
    assert {"seed-1", "seed-2", "seed-3"} <= set(reader.ids)
    assert "../../../index.html" in reader.links
    assert "../../../../../results/smoke/digits/digit_vit/frod/seed-2/record.json" in reader.links


def test_the_whole_record_is_there(results, runs):
    shown = html.unescape(re.search(r"<pre[^>]*>(.*?)</pre>", section(runs, 2), re.DOTALL).group(1))
    assert json.loads(shown) == results.records[KEY] | CHOICE


def test_what_a_reviewer_asks_for_is_laid_out(results, runs):
    row = results.summary.query("task == 'digits' and method == 'frod' and seed == 2").iloc[0]
    text = words(section(runs, 2))
    asked = {
        "metrics": f"{row['test']:.6g}",
        "record": row["record_sha256"],
        "input": "data/models/digit_vit/source.json",
        "its hash": "a" * 64,
        "output": "results/smoke/digits/digit_vit/frod/seed-2/adapter.safetensors",
        "and hash": "b" * 64,
        "parameters": "training.warmup",
        "code": "c0de" * 16,
        "commit": "0123456789abcdef",
        "environment": "packages.torch",
        "seed stream": "3278857439845718984",
        "budget": "train_examples",
        "choice": "trial 2 of 2, on seed 100",
        "times": "2026-03-01T10:02:00+00:00",
        "memory": "584\u00a0MiB",
    }
    assert not {name: value for name, value in asked.items() if value not in text}
    assert re.search(r'<th scope="row">test</th><td>1</td>', section(runs, 2)), "test was read once"
    assert "lr_scale 2e-3: 61.0 ✓" in words(runs)


def test_another_seed_s_values_are_not_here(results, runs):
    other = results.summary.query("task == 'digits' and method == 'frod' and seed == 3").iloc[0]
    assert other["record_sha256"] not in section(runs, 2)


def test_an_undefined_metric_is_named(built):
    text = (built / run_page("cola", "minilm", "linear_probe")).read_text()
    assert "This run has no figure:</strong> constant: pearson is not defined." in text
    assert "Its history ends" not in text


@pytest.mark.parametrize("name", ["../../etc", "..", ".", "a/b", "<b>"])
def test_names_of_any_kind_stay_within_the_folder(name):
    parts = run_page(name, "b", name).split("/")
    assert len(parts) == 4 and not {".", "..", ""} & set(parts) and not parts[1].startswith(".")


def test_names_are_distinct_and_plain_ones_kept():
    assert run_page("a/b", "c", "d") != run_page("a:b", "c", "d")
    assert run_page("digits", "digit_vit", "frod") == "runs/digits/digit_vit/frod.html"


def test_hostile_values_in_a_record_stay_text(tmp_path):
    evil = "</pre></details><script>alert(1)</script>"
    hostile = synthetic.results(tasks=("digits",))
    hostile.records[KEY]["environment"]["processor"] = evil
    page(hostile, tmp_path)
    text = (tmp_path / run_page(*KEY[:3])).read_text()
    assert text.count("<script") == 1 and "alert(1)" in text
    read(text)
