"""The page says what the runs say, links to their records, escapes what comes from data, and is the same each time."""

import csv
import io
import json
import math
import re
import shutil
from dataclasses import replace

import pytest
import synthetic
import synthetic_claims
from pages import page, read, words

from frod.provenance.run_keys import RunKey
from frod.reporting.naming import file_name
from frod.reporting.page import contents, write
from frod.reporting.report_data import Report

TRIALS = [(5e-4, 0.5, None), (2e-3, 0.61, None), (2e-1, None, "diverged: step 3: loss nan")]


@pytest.fixture(scope="module")
def rich(results, tmp_path_factory):
    """A page with what the other lacks: trials of rates, a matched size, the released protocol, further metrics."""
    trials = [
        {"rates": {"lr_scale": rate, "lr_head": 1e-3}, "validation": value, "undefined": why}
        for rate, value, why in TRIALS
    ]
    facts = {"to": "frod", "argument": "r", "value": 13, "target": 12345, "reached": 12480}
    matched = {"parameters": {"matched": facts}}
    summary = results.summary.sort_values(["task", "method", "seed"])
    digits = summary["task"] == "digits"
    summary.loc[digits, ["test_best_epoch_accuracy", "test_best_epoch_examples"]] = 0.99, 450
    summary.loc[summary["task"] == "cola", "test_accuracy"] = 0.77
    report = replace(
        results,
        summary=summary,
        suite=results.suite | {"skipped": ["mrpc", "qqp"], "protocol": "released"},
        tuning={("digits", "digit_vit", "frod"): {"index": 1, "seeds": [100], "metric": "accuracy", "trials": trials}},
        records={key: of | (matched if key.method == "lora" else {}) for key, of in results.records.items()},
        manifests={pair: of | {"problem": "regression"} for pair, of in results.manifests.items()},
    )
    return page(report, tmp_path_factory.mktemp("rich"))


def test_files_are_all_there(results, built):
    names = {str(path.relative_to(built)) for path in built.rglob("*") if path.is_file()}
    assert {"index.html", "results.csv", "results.tex", "summary.md", "curves.csv", "figures/difference.svg"} <= names
    assert {"metrics.json", "claims.json", "runs.json", "runs/digits/digit_vit/frod.html"} <= names
    assert {"figures/pareto-cola-minilm.svg", "figures/spectrum-digits-digit_vit.svg"} <= names
    assert "figures/spectrum-cola-minilm.svg" not in names, "there is none of it"
    assert {"figures/seeds-digits-digit_vit.svg", "figures/loss-sums-micro_llama.svg"} <= names
    assert "figures/validation-sums-micro_llama.svg" not in names, "sums was not validated during training"
    assert "figures/ablation_loss.svg" in names
    assert "figures/ablation_metric.svg" not in names, "it has no rows"
    assert not [name for name in names if ".tmp-" in name]


def test_what_is_measured_and_not_judged_has_a_section_with_its_figure_and_tables(built):
    section = re.search(r'<section id="ablation".*?</section>', (built / "index.html").read_text(), re.DOTALL)[0]
    assert section.count("<svg") == 1 and section.count("<table") == 2
    assert section.count("<summary>Task by task</summary>") == 1, "the first table is open, the others unfold"


def test_the_hashes_of_every_run_are_there_with_what_made_it(tmp_path):
    results = synthetic.results(tasks=("digits", "sums"))
    for key, record in results.records.items():
        for name, digit in (("adapter.safetensors", "a"), ("history.parquet", "c"), ("predictions.parquet", "b")):
            record["outputs"][f"results/smoke/{key.path}/{name}"] = digit * 64
        record["environment"]["numerics"] = "portable, AVX2"
    write(contents(results), tmp_path)
    written = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert list(written) == [key.path for key in sorted(results.records)]
    for key, record in results.records.items():
        environment = record["environment"]
        assert written[key.path] == {
            "adapter": "a" * 64,
            "predictions": "b" * 64,
            "inputs": record["inputs"],
            **{name: environment[name] for name in ("processor", "accelerator", "threads", "numerics")},
            "torch": environment["packages"]["torch"],
        }


def test_no_coordinate_is_nan(built):
    """Some losses and one metric are."""
    for path in built.glob("figures/*.svg"):
        attributes = re.sub(r">[^<]*<", "><", path.read_text())
        assert "nan" not in attributes, path.name


def test_the_page_is_whole_and_asks_nothing_of_the_network(html):
    reader = read(html)
    assert len(reader.scripts) == 1 and "img" not in reader.tags
    assert not [link for link in reader.links if re.match(r"(https?:)?//", link)]
    assert not re.search(r"url\(|@import", html)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)


def test_the_opening_states_the_computed_difference(results, html):
    """Computed here again, from the summary, with pandas."""
    wide = results.summary.pivot_table(index=["task", "seed"], columns="method", values="test")
    mean = (wide["frod"] - wide["full_ft"]).groupby("task").mean().mean()
    text = words(html)
    assert f"mean difference −{100 * abs(mean):.1f} points over 4 tasks" in text
    assert "FRoD trains 2.06\u00a0% of the base parameters" in text
    assert "Figures are on the test split" in text and "Audited protocol" in html


def test_gaps_are_named(html):
    text = words(html)
    assert re.search(r"1 of 40 planned runs is missing.*\s*territory_language/minilm/lora/seed-3", text)
    assert "linear probe seed 2 constant: pearson is not defined. It has no figure" in text
    assert "LoRA seed 1: loss not finite in 7 steps" in text
    assert "one seed: none" in text
    assert "with uncommitted changes (11 runs)" in text


def test_seeds_without_spread_are_not_called_one_seed(tmp_path):
    """Differences that are all the same have no interval either, and the page says which of the two it is."""
    flat = synthetic.results()
    flat.summary["test"] = flat.summary["method"].map({"full_ft": 0.9, "frod": 0.8, "lora": 0.7, "linear_probe": 0.6})
    text = words(page(flat, tmp_path))
    rows = flat.summary.query("method != 'full_ft'").groupby(["task", "method"])["seed"].nunique()
    compared = text[text.index("Comparison with full fine-tuning\n") :]
    assert compared.count("one seed: none") == (rows == 1).sum() > 0
    assert compared.count("no spread: none") == (rows > 1).sum() > 0
    assert "Where the seeds’ differences are all the same there is no interval over seeds" in text
    assert "With one seed" not in text


def test_runs_stand_in_the_order_of_the_methods(rich):
    section = rich[rich.index('<section id="runs">') :]
    rows = re.findall(r'data-group="digits on digit_vit" data-method="([^"]+)"', section)
    assert list(dict.fromkeys(rows)) == ["full fine-tuning", "FRoD", "LoRA", "linear probe"] and len(rows) == 12


def test_what_was_planned_and_what_cannot_be_shown(results, html):
    text = words(html)
    assert all(line in text for line in results.suite["cannot_show"])
    assert results.suite["rates_chosen"] in text
    assert "scale 2e-3, rotation 5e-4, head 1e-3" in text
    assert "config LoraConfig, r 8, lora_alpha 16" in text and "sparse_rate 0.02" in text
    assert "schedule cosine, warmup 0.1, weight_decay 0, clip 1" in text
    assert "1\u202f000 of 1\u202f047" in text, "trained on a part of the split"


def test_what_was_changed_after_the_first_run_is_stated(results, html, tmp_path):
    text = words(html)
    assert (
        "3 fields of suite and parameters changed after commit 89abcdef89ab, by which the first run was trained" in text
    )
    start = text.index("Changed after the first run")
    assert re.search(r"margin\s*1\s*20\s*methods.lora.label\s*–\s*<b>LoRA</b>\s*cannot_show\s*Speed", text[start:])
    assert "very long. " * 60 not in text and "…" in text[start:]
    for since, said in [
        ({"commit": "1" * 40, "changes": []}, "are as at commit 111111111111, by which the first run was trained."),
        ({"unknown": "it has no commit"}, "cannot be told: it has no commit."),
    ]:
        assert said in words(page(replace(results, since=since), tmp_path / said[:3]))
    assert "after the first run" not in words(page(replace(results, since=None), tmp_path / "silent"))


def test_every_number_of_a_run_leads_to_its_place_on_the_page_of_its_method(results, built, html):
    links = read(html).links
    for row in results.summary.to_dict("records"):
        path = f"runs/{row['task']}/{row['backbone']}/{row['method']}.html"
        assert f"{path}#seed-{row['seed']}" in links and path in links
        assert f'id="seed-{row["seed"]}"' in (built / path).read_text()
        assert f">{row['record_sha256'][:12]}</a></code>" in html


def test_tables_for_machines(results, built):
    rows = list(csv.DictReader(io.StringIO((built / "results.csv").read_text())))
    assert len(rows) == len(results.summary)
    assert float(rows[0]["test"]) == results.summary["test"].iloc[0]
    metrics = json.loads((built / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert (metrics["runs"], metrics["runs_missing"]) == (39, 1)
    of_digits = results.summary.query("task == 'digits' and method == 'frod'")["test"]
    assert metrics["digits/digit_vit/frod/test_accuracy"] == pytest.approx(of_digits.mean(), abs=1e-6)
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert metrics["claims/matches_full_ft/supported"] == 0 and metrics["claims/more_robust/supported"] == 1
    assert metrics["claims/matches_full_ft/mean_difference"] == -1.714
    assert metrics["claims/matches_full_ft/mean_difference_high"] == 1.24
    assert not [name for name in metrics if "full_rank" in name], "it cannot be tested, and its figure has no value"
    assert json.loads((built / "claims.json").read_text()) == results.claims
    curves = list(csv.DictReader(io.StringIO((built / "curves.csv").read_text())))
    assert set(curves[0]) == {"task", "backbone", "method", "seed", "step", "loss"}
    assert len(curves) == 39 * 100


def test_the_same_results_give_the_same_bytes(results, built, tmp_path):
    write(contents(results), tmp_path)
    for path in built.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(built)).read_bytes(), path.name


def test_a_second_report_removes_its_own_stale_figures_and_nothing_else(results, built, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(built, out)
    stale = [out / "figures" / "seeds-gone.svg", out / "runs" / "digits" / "digit_vit" / "gone.html"]
    for path in (*stale, out / "audit.json"):
        path.write_text("old")
    write(contents(results), out)
    assert [path.exists() for path in (*stale, out / "audit.json")] == [False, False, True]


def test_hostile_names_stay_text(tmp_path):
    evil = "</title><script>alert(1)</script>"
    hostile = synthetic.results(rename={"digits": evil, "lora": '" onmouseover="x', "minilm": "../../etc"})
    texts = {"title": evil, "description": evil, "cannot_show": [evil], "rates_chosen": evil}
    written = contents(replace(hostile, suite=hostile.suite | texts))
    write(written, tmp_path)
    text = (tmp_path / "index.html").read_text()
    reader = read(text)
    assert len(reader.scripts) == text.count("<script") == 1
    assert evil in "".join(reader.words)
    for path in map(tmp_path.joinpath, written):
        assert path.resolve().is_relative_to(tmp_path.resolve())
        shown = {".html": 1, ".svg": 0, ".md": 0, ".tex": 0}
        assert path.suffix in (".csv", ".json") or path.read_text().count("<script") == shown[path.suffix]


def test_file_names_are_safe_and_distinct():
    assert file_name("loss", "digits", "digit_vit") == "loss-digits-digit_vit"
    assert "/" not in file_name("../x")
    assert file_name("a/b") != file_name("a:b")


def test_a_suite_of_one_run_has_a_page(results, tmp_path):
    """The least there can be: no reference, no interval, no validation, no manifests."""
    key = RunKey("sums", "micro_llama", "frod", 1)
    chosen = results.summary.query("task == 'sums' and method == 'frod'")
    report = Report(
        summary=chosen,
        histories={key: results.histories[key]},
        records={key: results.records[key]},
        suite={"name": "smoke"},
        claims=synthetic_claims.around([]),
    )
    text = words(page(report, tmp_path))
    assert "1 run: 1 task, 1 method (FRoD), 1 seed each" in text
    assert "no difference to report" in text
    assert not (tmp_path / "figures" / "difference.svg").exists()


@pytest.mark.parametrize("column", ["validation", "peak_rss_bytes", "epochs", "step_seconds_median", "train_seconds"])
def test_an_unknown_figure_is_a_dash_not_an_error(tmp_path, column):
    changed = synthetic.results(tasks=("digits", "sums"))
    changed.summary[column] = math.nan
    assert not re.search(r"\bnan\b", words(page(changed, tmp_path)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {"summary": r.summary.iloc[:0]}, "no runs"),
        (lambda r: {"summary": r.summary.assign(suite="other")}, "'other'.*'smoke'"),
        (lambda r: {"records": {}}, "digits/digit_vit/full_ft/seed-1.*no record"),
        (lambda r: {"histories": {}}, "digits/digit_vit/full_ft/seed-1.*no history"),
    ],
)
def test_what_cannot_be_reported_is_refused(results, change, message):
    with pytest.raises(ValueError, match=message):
        replace(results, **change(results))


def test_trials_of_rates_are_shown_with_the_chosen_one_marked(results, rich):
    assert "<strong>lr_scale 2e-3, lr_head 1e-3: 61.0 ✓</strong>" in rich
    assert "lr_scale 2e-1, lr_head 1e-3: diverged" in rich
    assert "By trials, 3 a task, as many for every method, each a training on seed 100" in rich
    assert results.suite["rates_chosen"] in rich  # of the tasks that were not tuned
    assert "not in the mirror: mrpc, qqp" in rich


def test_the_best_epoch_of_the_released_protocol_and_further_metrics_are_labelled(rich):
    assert "Released protocol" in rich
    assert rich.count("accuracy, best epoch on test</th>") == 1
    assert re.search(r'<td class="n" data-value="0.99"><a href="runs/digits/[^"]*">99.0 ± 0.0</a></td>', rich)
    assert '<th>also on test</th><th class="n">accuracy</th>' in rich  # of CoLA, whose first is Matthews correlation


def test_what_an_example_is_worth_is_said_of_accuracy_alone(results, html, rich):
    pairs = results.summary.drop_duplicates(["task", "backbone"])
    assert 0 < html.count("one example is") == (pairs["primary"] == "accuracy").sum() < len(pairs)
    assert html.count("; 10 classes</p>") == len(pairs)
    assert "classes</p>" not in rich, "its tasks are regressions"


def test_a_matched_size_is_stated_with_what_it_reached(rich):
    assert "r 13 matches frod (12\u202f480 for 12\u202f345 adapter parameters)" in rich


def test_a_task_by_chance_is_marked_and_no_part_of_the_mean(results, tmp_path):
    pair = ("sums", "micro_llama")
    manifest = results.manifests[pair] | {"duplicates": {"left_out": 3, "shared": {"test in train": 1}}}
    report = replace(
        results,
        claims=results.claims | {"uninformative": [{"task": pair[0], "backbone": pair[1], "why": "31 of 60 right"}]},
        manifests=dict(results.manifests) | {pair: manifest},
    )
    said = words(page(report, tmp_path))
    assert "Uninformative: full fine-tuning is not above chance (31 of 60 right). Not in the mean over tasks." in said
    assert "Not in the mean, as full fine-tuning is not above chance there: sums on micro_llama." in said
    assert "1 example of test stands in train, too." in said
    assert "3 examples of other splits left out of train." in said
    means = [of.mean for where, of in results.headline.by_task.items() if where != pair]
    assert report.headline.over_tasks.mean == pytest.approx(sum(means) / len(means))
    assert report.headline.over_tasks.n == len(means) == 3
    assert "mean over 3 tasks" in said and "over all tasks, hollow ones too, against" in said
    assert "hollow" not in words(page(results, tmp_path / "none"))
    drawn = (tmp_path / "figures/difference.svg").read_text()
    assert "full fine-tuning at chance level: not in the mean: sums on micro_llama" in drawn


def test_where_every_task_is_by_chance_none_is_said_to_be_left_out(results, tmp_path):
    by_chance = [{"task": task, "backbone": backbone, "why": "w"} for task, backbone in results.headline.by_task]
    said = words(page(replace(results, claims=results.claims | {"uninformative": by_chance}), tmp_path))
    assert "On none of them is full fine-tuning above chance." in said and "mean over 4 tasks" in said
    assert "ot in the mean" not in said
