"""`frod compare` pairs runs only where seeds and orders of examples are the same, and names everything that differs."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from frod.reporting.compare import differences, revisions, showing

COLUMNS = {"suite": "smoke", "task": "digits", "backbone": "vit", "primary": "accuracy", "protocol": "audited"}
COLUMNS |= {"trainable_parameters": 100, "train_seconds": 2.0, "steps": 10}
NAN = float("nan")


def results(tests, *, method="frod", order="order", **changed):
    """One row per seed of a method on one task."""
    rows = [
        COLUMNS | {"method": method, "seed": seed, "test": test, "order_sha256": f"{order} {seed}"} | changed
        for seed, test in tests.items()
    ]
    return pd.DataFrame(rows)


def report(folder, table, *, claims=None, params=None, inputs=None, runs=None):
    """A report's folder, as far as a comparison reads it."""
    folder.mkdir(parents=True)
    table.to_csv(folder / "results.csv", index=False)
    if claims is not None:
        listed = [
            {"id": name, "title": name.title(), "verdict": verdict, "finding": "undecided"}
            for name, verdict in claims.items()
        ]
        (folder / "claims.json").write_text(json.dumps({"layout": 1, "claims": listed}))
    if runs is not None:
        (folder / "runs.json").write_text(json.dumps({"layout": 1, "runs": runs}))
    if params is not None:
        content = {"params": params, "inputs": inputs or {}, "code": {"hash": "f" * 64}}
        (folder / "report.json").write_text(json.dumps(content))
    return str(folder)


def compared(tmp_path, a, b):
    """Compare two tables."""
    return differences.compare(revisions.read(report(tmp_path / "a", a)), revisions.read(report(tmp_path / "b", b)))


def test_the_same_seeds_and_orders_are_paired_as_scipy_pairs_them(tmp_path):
    a, b = {0: 0.80, 1: 0.70, 2: 0.75}, {0: 0.83, 1: 0.71, 2: 0.77}
    (row,) = compared(tmp_path, results(a), results(b)).rows
    expected = stats.ttest_rel(list(b.values()), list(a.values())).confidence_interval(0.95)
    assert (row.how, row.same) == ("paired", False)
    assert row.difference == pytest.approx(0.02)
    assert (row.low, row.high) == pytest.approx(tuple(expected))


@pytest.mark.parametrize(
    ("b", "changed"),
    [({3: 0.83, 4: 0.71, 5: 0.77}, {}), ({0: 0.83, 1: 0.71, 2: 0.77}, {"order": "another"}), ({0: 0.83, 1: 0.71}, {})],
    ids=["other seeds", "other orders", "fewer seeds"],
)
def test_other_seeds_or_orders_are_compared_by_welch(tmp_path, b, changed):
    a = {0: 0.80, 1: 0.70, 2: 0.75}
    (row,) = compared(tmp_path, results(a), results(b, **changed)).rows
    expected = stats.ttest_ind(list(b.values()), list(a.values()), equal_var=False).confidence_interval(0.95)
    assert row.how == "welch"
    assert row.difference == pytest.approx(pd.Series(b).mean() - 0.75)
    assert (row.low, row.high) == pytest.approx(tuple(expected))


LOST = "diverged: step 3 of 10: loss nan"


def test_a_run_that_diverged_has_no_figure_and_makes_a_difference(tmp_path):
    whole = results({0: 0.80, 1: 0.70, 2: 0.75}, test_examples=90).assign(undefined=None)
    one = results({0: 0.80, 1: 0.70, 2: NAN}, test_examples=90).assign(undefined=[None, None, LOST])
    one.loc[2, ["test_examples", "train_seconds"]] = [0, 0.1]
    found = compared(tmp_path / "1", whole, one)
    (row,) = found.rows
    assert (row.same, row.how, row.b.undefined, row.b.seconds) == (False, "welch", {2: "diverged"}, 2.0)
    assert row.difference == pytest.approx(0.75 - 0.75)
    assert not found.settings, "no test example of a run that diverged is no other budget"
    assert "75.0 ± 7.1 (1 diverged)" in showing.markdown(found)
    constant = [None, None, "constant: predictions do not vary"]
    undefined = results({0: 0.80, 1: 0.70, 2: NAN}, test_examples=90).assign(undefined=constant)
    assert not compared(tmp_path / "2", undefined, one).rows[0].same, "constant is not diverged"
    every = results(dict.fromkeys(range(3), NAN), test_examples=0).assign(undefined=LOST)
    gone = compared(tmp_path / "3", whole, every)
    assert "diverged" in showing.markdown(gone) and gone.rows[0].difference is None and gone.rows[0].b.seconds is None
    json.dumps(gone.as_dict(), allow_nan=False)
    old = compared(tmp_path / "4", results({0: 0.8}), results({0: 0.8}))
    assert old.rows[0].same and old.rows[0].a.undefined == {}


def test_without_an_order_of_examples_nothing_is_paired(tmp_path):
    a, b = ({0: 0.80, 1: 0.70}, {0: 0.83, 1: 0.71})
    tables = [results(tests).drop(columns="order_sha256") for tests in (a, b)]
    assert compared(tmp_path, *tables).rows[0].how == "welch"


@pytest.mark.parametrize(("a", "b"), [((0.5,), (0.75,)), ((0.5, 0.5), (0.75, 0.75))], ids=["one seed", "no spread"])
def test_one_seed_or_no_spread_has_no_interval(tmp_path, a, b):
    (row,) = compared(tmp_path, results(dict(enumerate(a))), results(dict(enumerate(b, 2)))).rows
    assert (row.difference, row.low, row.high) == (0.25, None, None)


SHOWN = {
    "an undefined metric": ({0: NAN, 1: NAN}, {0: 0.5, 1: 0.6}, {}, None, "undefined"),
    "another metric, which is not subtracted": (
        {0: 0.5},
        {0: 0.6},
        {"primary": "matthews_correlation"},
        None,
        "accuracy / Matthews correlation",
    ),
    "parameters alone": ({0: 0.5}, {0: 0.5}, {"trainable_parameters": 99}, 0, "100 → 99"),
    "seconds alone, which are none": ({0: 0.5}, {0: 0.5}, {"train_seconds": 9.0}, 0, "Nothing differs."),
}


@pytest.mark.parametrize(("a", "b", "changed", "difference", "text"), SHOWN.values(), ids=SHOWN)
def test_a_difference_is_shown_for_what_it_is(tmp_path, a, b, changed, difference, text):
    found = compared(tmp_path, results(a), results(b, **changed))
    assert found.rows[0].difference == difference
    assert found.differ == (text != "Nothing differs.")
    assert [one.name for one in found.settings] == (["primary"] if "primary" in changed else [])
    assert text in showing.markdown(found)
    json.dumps(found.as_dict(), allow_nan=False)


def test_runs_that_one_side_lacks_are_named(tmp_path):
    both = pd.concat([results({0: 0.5, 1: 0.6}), results({0: 0.5}, method="lora")])
    found = compared(tmp_path, both, results({0: 0.5, 2: 0.5}))
    assert found.only_a == ["digits/vit/frod/seed-1", "digits/vit/lora/seed-0"]
    assert found.only_b == ["digits/vit/frod/seed-2"]
    text = showing.markdown(found).replace("\\", "")
    assert "Only in A: digits/vit/frod (seed 1), digits/vit/lora (seed 0)" in text
    assert found.differ


MACHINE = {"processor": "p", "accelerator": None, "threads": 1, "torch": "2.9"}
MACHINE |= {"numerics": "portable, AVX2"}


def of_files(tmp_path, **changed):
    """Two reports with the same results, the second with other files or another machine in its first run."""
    same = {f"digits/vit/frod/seed-{seed}": {"adapter": "a", "predictions": "p", **MACHINE} for seed in (0, 1)}
    other = same | {"digits/vit/frod/seed-0": same["digits/vit/frod/seed-0"] | changed}
    sides = [
        report(tmp_path / name, results({0: 0.5, 1: 0.5}), params={}, claims={}, runs=runs)
        for name, runs in (("a", same), ("b", other))
    ]
    return differences.compare(*map(revisions.read, sides))


@pytest.mark.parametrize(
    ("changed", "files"),
    [
        ({"adapter": "b"}, "adapter"),
        ({"predictions": "b"}, "predictions"),
        ({"adapter": "b", "predictions": "b"}, "adapter, predictions"),
    ],
)
def test_other_bytes_of_an_adapter_or_of_predictions_are_a_difference(tmp_path, changed, files):
    found = of_files(tmp_path, **changed)
    assert found.differ and all(row.same for row in found.rows)
    assert found.files.differing == [f"digits/vit/frod/seed-0 ({files})"]
    assert f"1 of 2 runs differ, first digits/vit/frod/seed-0 ({files})." in "\n".join(showing.sentences(found))
    json.dumps(found.as_dict(), allow_nan=False)


def test_another_machine_alone_is_no_difference_and_is_named(tmp_path):
    found = of_files(tmp_path, processor="q")
    assert not found.differ and found.files.differing == []
    assert "the same sha256 in all 2 runs" in "\n".join(showing.sentences(found))
    assert [(one.name, one.a, one.b) for one in found.settings] == [("processor", "p", "p, q")]


def test_where_the_same_bytes_are_not_to_be_expected_the_reason_is_said(tmp_path):
    found = of_files(tmp_path, adapter="b", numerics="portable, DEFAULT")
    assert not found.differ and found.files.differing == ["digits/vit/frod/seed-0 (adapter)"]
    said = "\n".join(showing.sentences(found))
    assert "not to be expected (numerics: portable, DEFAULT here, portable, AVX2 recorded)" in said
    assert "Nothing differs." not in said


def test_without_hashes_files_are_not_compared_and_it_is_said(tmp_path):
    a = report(tmp_path / "a", results({0: 0.5}), runs={"digits/vit/frod/seed-0": {"adapter": "a"}})
    found = differences.compare(revisions.read(a), revisions.read(report(tmp_path / "b", results({0: 0.5}))))
    assert found.files is None and not found.differ
    assert any(sentence.startswith(f"{tmp_path / 'b'} has no runs.json") for sentence in found.unknown)


def test_claims_settings_budgets_and_data_stand_side_by_side(tmp_path):
    manifest = "data/tasks/digits/vit/manifest.json"
    a = report(
        tmp_path / "a",
        results({0: 0.5}),
        claims={"converges": "supported", "robust": "supported"},
        params={"training": {"epochs": 3, "clip": 1.0}},
        inputs={manifest: "a" * 64},
    )
    b = report(
        tmp_path / "b",
        results({0: 0.5}, steps=20),
        claims={"converges": "not_supported", "full_rank": "supported"},
        params={"training": {"epochs": 6, "clip": 1.0}},
        inputs={manifest: "b" * 64},
    )
    found = differences.compare(revisions.read(a), revisions.read(b))
    assert [(claim.id, claim.a, claim.b) for claim in found.claims] == [
        ("converges", "supported", "undecided"),
        ("robust", "supported", None),
        ("full_rank", None, "supported"),
    ]
    assert {(one.name, one.a, one.b) for one in found.settings} == {
        ("training.epochs", "3", "6"),
        ("steps", "10", "20"),
        ("task digits on vit", "a" * 12, "b" * 12),
    }
    assert found.differ  # by the verdicts
    text = showing.markdown(found)
    assert "| Converges | supported | undecided | changed |" in text and "training.epochs" in text


def test_packages_are_those_of_records_that_are_still_the_ones_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sides = []
    for name, version in (("a", "2.8"), ("b", "2.9")):
        record = tmp_path / name / "record.json"
        record.parent.mkdir()
        record.write_text(json.dumps({"environment": {"python": "3.12", "packages": {"torch": version}}}))
        digest = revisions.files.sha256(record)
        folder = report(tmp_path / f"report-{name}", results({0: 0.5}), params={}, inputs={str(record): digest})
        sides.append(folder)
    found = differences.compare(*map(revisions.read, sides))
    assert [(one.name, one.a, one.b) for one in found.settings] == [("torch", "2.8", "2.9")]
    (tmp_path / "b" / "record.json").write_text("{}")
    found = differences.compare(*map(revisions.read, sides))
    assert found.settings == []
    assert any("packages are not compared" in sentence for sentence in found.unknown)


def test_a_revision_is_read_from_git_and_every_error_names_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "init", "--quiet"], check=True)
    report(tmp_path / "reports" / "smoke", results({0: 0.5}), params={"suite": "smoke"})
    Path("workflow/suites").mkdir(parents=True)
    Path("workflow/suites/smoke.yaml").write_text("seeds: [0]\nexperiments: [{rates: {lr: 0.1}}]\n")
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "one"], check=True)
    results({0: 0.75}).to_csv("reports/smoke/results.csv", index=False)
    Path("workflow/suites/smoke.yaml").write_text("seeds: [0]\nexperiments: [{rates: {lr: 0.2}}]\n")
    found = differences.compare(revisions.read("HEAD:reports/smoke"), revisions.read("reports/smoke"))
    assert found.rows[0].difference == 0.25
    assert [(one.name, one.a, one.b) for one in found.settings] == [("experiments.0.rates.lr", "0.1", "0.2")]
    monkeypatch.chdir(tmp_path / "reports")  # the folder is seen from the top, as git sees it
    assert revisions.read("HEAD:reports/smoke").results["test"].tolist() == [0.5]
    for given, said in (
        ("nowhere", "no such folder"),
        ("v9:reports/smoke", "no revision 'v9'"),
        ("--all:reports/smoke", "no revision '--all'"),
        ("HEAD:reports/other", "it has reports/smoke"),
    ):
        with pytest.raises(ValueError, match=said):
            revisions.read(given)


def test_undecided_and_contradicted_are_two_verdicts(tmp_path):
    table, listed = results({0: 0.5, 1: 0.75}), {"id": "matches", "title": "Matches", "verdict": "not_supported"}
    for name, finding in (("a", "undecided"), ("b", "contradicted")):
        report(tmp_path / name, table)
        content = {"layout": 1, "claims": [listed | {"finding": finding}]}
        (tmp_path / name / "claims.json").write_text(json.dumps(content))
    a, b = (revisions.read(str(tmp_path / name)) for name in ("a", "b"))
    found = differences.compare(a, b)
    assert found.differ and [(one.a, one.b) for one in found.claims] == [("undecided", "contradicted")]
    assert not differences.compare(a, a).differ


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no results.csv"),
        ("", "results.csv: is no table"),
        ("task,seed\na,1\n", "lacks suite, backbone, method, test"),
    ],
)
def test_what_is_no_report_is_said_with_the_file(tmp_path, content, said):
    if content is not None:
        (tmp_path / "results.csv").write_text(content)
    with pytest.raises(ValueError, match=said):
        revisions.read(str(tmp_path))


def test_the_terminal_shows_it_within_100_columns(tmp_path, capsys):
    from rich.console import Console

    tables = [results({0: 0.5, 1: 0.75}, method=name) for name in ("full_ft", "frod", "a_long_name_of_a_method")]
    found = compared(tmp_path, pd.concat(tables), pd.concat(tables).assign(test=0.25, train_seconds=123.4))
    for part in showing.tables(found):
        Console(width=100, highlight=False).print(part)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "62.5 ± 17.7" in out and "−37.5" in out and "FRoD" in out
