"""The page says what the runs say, links to their records, escapes what comes from data, and is the same each time."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import synthetic
import synthetic_claims

from frod.provenance.run_keys import RunKey
from frod.reporting.naming import file_name
from frod.reporting.page import write as build
from frod.reporting.report_data import Report


@pytest.fixture(scope="module")
def built(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports") / "smoke"
    build(results, out)
    return out


@pytest.fixture(scope="module")
def html(built):
    return (built / "index.html").read_text()


class Reader(HTMLParser):
    """Collects tags in order, checks that they nest, and keeps links, ids and the text."""

    VOID = ("meta", "link", "br")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.ids, self.words, self.scripts = [], set(), [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self.ids += [value for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    return reader


def test_files_are_all_there(results, built):
    names = {str(path.relative_to(built)) for path in built.rglob("*") if path.is_file()}
    assert {"index.html", "results.csv", "results.tex", "summary.md", "curves.csv", "figures/difference.svg"} <= names
    assert {"metrics.json", "claims.json", "runs.json", "runs/digits/digit_vit/frod.html"} <= names
    assert {"figures/pareto-cola-minilm.svg", "figures/spectrum-digits-digit_vit.svg"} <= names
    assert "figures/spectrum-cola-minilm.svg" not in names, "there is none of it"
    assert {"figures/seeds-digits-digit_vit.svg", "figures/loss-sums-micro_llama.svg"} <= names
    assert "figures/validation-sums-micro_llama.svg" not in names, "sums was not validated during training"
    assert not [name for name in names if ".tmp-" in name]


def test_the_hashes_of_every_run_are_there_with_what_made_it(tmp_path):
    results = synthetic.results()
    for key, record in results.records.items():
        for name, digit in (("adapter.safetensors", "a"), ("history.parquet", "c"), ("predictions.parquet", "b")):
            record["outputs"][f"results/smoke/{key.path}/{name}"] = digit * 64
        record["environment"]["numerics"] = "portable, AVX2"
    build(results, tmp_path)
    written = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert list(written) == [key.path for key in sorted(results.records)]
    for key, record in results.records.items():
        environment = record["environment"]
        assert written[key.path] == {
            "adapter": "a" * 64,
            "predictions": "b" * 64,
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
    text = "".join(read(html).words)
    assert f"mean difference −{100 * abs(mean):.1f} points over 4 tasks" in text
    assert "FRoD trains 2.06\u00a0% of the base parameters" in text
    assert "Figures are on the test split" in text


def test_gaps_are_named(html):
    text = "".join(read(html).words)
    assert re.search(r"1 of 40 planned runs is missing.*\s*territory_language/minilm/lora/seed-3", text)
    assert "linear probe seed 2 constant: pearson is not defined. It has no figure" in text
    assert "LoRA seed 1: loss not finite in 7 steps" in text
    assert "one seed: none" in text
    assert "with uncommitted changes (11 runs)" in text


def test_seeds_without_spread_are_not_called_one_seed(tmp_path):
    """Differences that are all the same have no interval either, and the page says which of the two it is."""
    flat = synthetic.results()
    flat.summary["test"] = flat.summary["method"].map({"full_ft": 0.9, "frod": 0.8, "lora": 0.7, "linear_probe": 0.6})
    build(flat, tmp_path)
    text = "".join(read((tmp_path / "index.html").read_text()).words)
    rows = flat.summary.query("method != 'full_ft'").groupby(["task", "method"])["seed"].nunique()
    compared = text[text.index("Comparison with full fine-tuning\n") :]
    assert compared.count("one seed: none") == (rows == 1).sum() > 0
    assert compared.count("no spread: none") == (rows > 1).sum() > 0
    assert "Where the seeds’ differences are all the same there is no interval over seeds" in text
    assert "With one seed" not in text


def test_runs_stand_in_the_order_of_the_methods(results, tmp_path):
    build(replace(results, summary=results.summary.sort_values(["task", "method", "seed"])), tmp_path)
    text = (tmp_path / "index.html").read_text()
    rows = re.findall(
        r'data-group="digits on digit_vit" data-method="([^"]+)"', text[text.index('<section id="runs">') :]
    )
    assert list(dict.fromkeys(rows)) == ["full fine-tuning", "FRoD", "LoRA", "linear probe"] and len(rows) == 12


def test_what_was_planned_and_what_cannot_be_shown(results, html):
    text = "".join(read(html).words)
    assert all(line in text for line in results.suite["cannot_show"])
    assert results.suite["rates_chosen"] in text
    assert "scale 2e-3, rotation 5e-4, head 1e-3" in text
    assert "config LoraConfig, r 8, lora_alpha 16" in text and "sparse_rate 0.02" in text
    assert "schedule cosine, warmup 0.1, weight_decay 0, clip 1" in text
    assert "1\u202f000 of 1\u202f047" in text, "trained on a part of the split"


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
    build(results, tmp_path)
    for path in built.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(built)).read_bytes(), path.name


def test_a_second_report_removes_its_own_stale_figures_and_nothing_else(results, tmp_path):
    build(results, tmp_path)
    (tmp_path / "figures" / "seeds-gone.svg").write_text("old")
    (tmp_path / "runs" / "digits" / "digit_vit" / "gone.html").write_text("old")
    (tmp_path / "audit.json").write_text("{}")
    build(results, tmp_path)
    assert not (tmp_path / "figures" / "seeds-gone.svg").exists()
    assert not (tmp_path / "runs" / "digits" / "digit_vit" / "gone.html").exists()
    assert (tmp_path / "audit.json").exists()


def test_hostile_names_stay_text(tmp_path):
    evil = "</title><script>alert(1)</script>"
    hostile = synthetic.results(rename={"digits": evil, "lora": '" onmouseover="x', "minilm": "../../etc"})
    texts = {"title": evil, "description": evil, "cannot_show": [evil], "rates_chosen": evil}
    written = build(replace(hostile, suite=hostile.suite | texts), tmp_path)
    text = (tmp_path / "index.html").read_text()
    reader = read(text)
    assert len(reader.scripts) == text.count("<script") == 1
    assert evil in "".join(reader.words)
    for path in written:
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
    build(report, tmp_path)
    text = "".join(read((tmp_path / "index.html").read_text()).words)
    assert "1 run: 1 task, 1 method (FRoD), 1 seed each" in text
    assert "no difference to report" in text
    assert not (tmp_path / "figures" / "difference.svg").exists()


@pytest.mark.parametrize("column", ["validation", "peak_rss_bytes", "epochs", "step_seconds_median", "train_seconds"])
def test_an_unknown_figure_is_a_dash_not_an_error(results, tmp_path, column):
    changed = synthetic.results()
    changed.summary[column] = math.nan
    build(changed, tmp_path)
    assert not re.search(r"\bnan\b", "".join(read((tmp_path / "index.html").read_text()).words))


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


def test_trials_of_rates_are_shown_with_the_chosen_one_marked(results, tmp_path):
    tuned = replace(results, suite=results.suite | {"skipped": ["mrpc", "qqp"]})
    tuned.tuning["digits", "digit_vit", "frod"] = {
        "index": 1,
        "seed": 100,
        "metric": "accuracy",
        "trials": [
            {"rates": {"lr_scale": 5e-4, "lr_head": 1e-3}, "validation": 0.5, "undefined": None},
            {"rates": {"lr_scale": 2e-3, "lr_head": 1e-3}, "validation": 0.61, "undefined": None},
            {
                "rates": {"lr_scale": 2e-1, "lr_head": 1e-3},
                "validation": None,
                "undefined": "diverged: step 3: loss nan",
            },
        ],
    }
    build(tuned, tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert "<strong>lr_scale 2e-3, lr_head 1e-3: 61.0 ✓</strong>" in text
    assert "lr_scale 2e-1, lr_head 1e-3: diverged" in text
    assert "By trials, 3 a task, as many for every method, each a training on seed 100" in text
    assert results.suite["rates_chosen"] in text  # of the tasks that were not tuned
    assert "not in the mirror: mrpc, qqp" in text
    assert "Audited protocol" in text


def test_the_best_epoch_of_the_released_protocol_and_further_metrics_are_labelled(results, tmp_path):
    summary = results.summary.copy()
    digits = summary["task"] == "digits"
    summary.loc[digits, "test_best_epoch_accuracy"] = 0.99
    summary.loc[digits, "test_best_epoch_examples"] = 450
    summary.loc[summary["task"] == "cola", "test_accuracy"] = 0.77
    build(replace(results, summary=summary, suite=results.suite | {"protocol": "released"}), tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert "Released protocol" in text
    assert text.count("accuracy, best epoch on test</th>") == 1
    assert re.search(r'<td class="n" data-value="0.99"><a href="runs/digits/[^"]*">99.0 ± 0.0</a></td>', text)
    assert '<th>also on test</th><th class="n">accuracy</th>' in text  # of CoLA, whose first is Matthews correlation


def test_what_an_example_is_worth_is_said_of_accuracy_alone(results, html, tmp_path):
    pairs = results.summary.drop_duplicates(["task", "backbone"])
    assert 0 < html.count("one example is") == (pairs["primary"] == "accuracy").sum() < len(pairs)
    classes = html.count("; 10 classes</p>")
    manifests = {pair: facts | {"problem": "regression"} for pair, facts in results.manifests.items()}
    build(replace(results, manifests=manifests), tmp_path)
    assert classes == len(pairs)
    assert "classes</p>" not in (tmp_path / "index.html").read_text()


def test_a_matched_size_is_stated_with_what_it_reached(results, tmp_path):
    facts = {"to": "frod", "argument": "r", "value": 13, "target": 12345, "reached": 12480}
    matched = {"parameters": {"matched": facts}}
    records = {key: record | (matched if key.method == "lora" else {}) for key, record in results.records.items()}
    build(replace(results, records=records), tmp_path)
    assert "r 13 matches frod (12\u202f480 for 12\u202f345 adapter parameters)" in (tmp_path / "index.html").read_text()
