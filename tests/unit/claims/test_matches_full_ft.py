"""A match is called one only where it is shown; no difference found is not enough, and failed runs do not help."""

import math
from dataclasses import replace

import made_up
import numpy as np
import pytest
from made_up import LOST, OPEN, SHOWN, UNTESTED, evidence, figures, noisy, said, table
from scipy import stats

from frod.claims.matches_full_ft import matches_full_ft

ALIKE = {"full_ft": 90.0, "frod": 90.0}
REFERENCE = [90.0, 90.2, 89.9]
BY_TASK = "FRoD and full fine-tuning by task"
CASES = {
    "equal methods measured well": (noisy(ALIKE), SHOWN, "above −1 point"),
    "a clear loss": (noisy(ALIKE | {"frod": 87.0}), LOST, ""),
    "a gain": (noisy(ALIKE | {"frod": 93.0}), SHOWN, ""),
    "one task whose seeds match": ({"a": {"full_ft": REFERENCE, "frod": [90.1, 90.1, 89.9]}}, SHOWN, ""),
    "one task whose seeds lose": ({"a": {"full_ft": REFERENCE, "frod": [80.1, 80.1, 79.9]}}, LOST, ""),
    "several tasks with one seed": (noisy(ALIKE, seeds=1), SHOWN, ""),
    "no full fine-tuning": (noisy({"frod": 90.0, "lora": 90.0}), UNTESTED, made_up.LABELS["full_ft"]),
    "no FRoD": (noisy({"full_ft": 90.0, "lora": 90.0}), UNTESTED, made_up.LABELS["frod"]),
    "no shared seed": ({"a": {"full_ft": [90.0, None], "frod": [None, 90.0]}}, UNTESTED, ""),
    "the same difference on every seed": (
        {"a": {"full_ft": [90.0, 91.0, 92.0], "frod": [90.0, 91.0, 92.0]}},
        OPEN,
        "All 3 differences are the same",
    ),
}


def judged(points, **more):
    return matches_full_ft(evidence(points, **more))


@pytest.mark.parametrize(("points", "expected", "words"), CASES.values(), ids=CASES)
def test_the_verdict_and_its_reason(points, expected, words):
    claim = judged(points)
    assert said(claim) == expected and words in claim["reason"]


def test_no_difference_found_in_much_noise_is_no_match_and_says_how_wide_the_interval_is():
    claim = judged(noisy(ALIKE, tasks=3, spread=5.0))
    assert said(claim) == OPEN
    difference = figures(claim)["difference"]
    width = difference["high"] - difference["low"]
    assert f"{width:.1f} points wide" in claim["reason"] and "1 point" in claim["reason"]


@pytest.mark.parametrize(("margin", "expected"), [(1.0, LOST), (4.0, SHOWN)])
def test_the_margin_is_the_suites(margin, expected):
    assert said(judged(noisy(ALIKE | {"frod": 88.0}), margin=margin)) == expected


def test_the_figures_are_scipys():
    points = {
        "a": {"full_ft": [90.0, 91.0], "frod": [89.5, 90.0]},
        "b": {"full_ft": [50.0, 52.0], "frod": [51.0, 51.5]},
        "c": {"full_ft": [70.0, 72.0], "frod": [70.0, 70.5]},
    }
    claim = judged(points)
    means = [-0.75, 0.25, -0.75]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    over = figures(claim)["difference"]
    assert (over["value"], over["low"], over["high"]) == pytest.approx((sum(means) / 3, expected.low, expected.high))
    assert (over["unit"], over["n"]) == ("points", 3)
    row = {row["task"]: row for row in table(claim, BY_TASK)}["a on small, accuracy"]
    below, *others = (
        stats.ttest_1samp(d, -1, alternative="greater").pvalue for d in ([-0.5, -1.0], [1.0, -0.5], [0.0, -1.5])
    )
    # Holm: times 3, 2, 1 from the smallest on, never falling.
    ordered = sorted([below, *others])
    corrected = [max(min(1, (3 - j) * ordered[j]) for j in range(i + 1)) for i in range(3)]
    assert row["p non-inferior (Holm)"]["value"] == pytest.approx(corrected[ordered.index(below)])
    assert (row["difference"]["value"], row["difference"]["run"]) == (pytest.approx(-0.75), "a/small/frod")
    assert row["full fine-tuning"]["text"] == "90.5 ± 0.7"


def test_a_task_that_loses_is_named_though_the_mean_matches():
    points = noisy({"full_ft": 90.0, "frod": 91.0}, tasks=12)
    points["task_3"]["frod"] = [value - 5.0 for value in points["task_3"]["full_ft"]]
    points["task_3"]["frod"][0] += 0.1
    claim = judged(points)
    assert "shown to lose more than the margin on task_3 on small" in claim["reason"]
    assert figures(claim)["tasks that lose more than the margin"]["value"] == 1


def test_one_task_with_one_seed_cannot_be_tested():
    claim = judged({"a": {"full_ft": [90.0], "frod": [90.0]}})
    assert said(claim) == UNTESTED
    assert table(claim, BY_TASK)[0]["non-inferior"] is None


GONE = {
    "one run": lambda seeds: [*seeds[:2], None],
    "all runs of a task": lambda seeds: [None] * 3,
    "one run's metric": lambda seeds: [*seeds[:2], math.nan],
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
@pytest.mark.parametrize(
    ("mean", "method", "finding"),
    [
        (90.0, "frod", "undecided"),
        (90.0, "full_ft", "shown"),
        (80.0, "full_ft", "undecided"),
        (80.0, "frod", "contradicted"),
    ],
)
def test_runs_that_are_not_there_or_failed_are_named_and_do_not_help(gone, mean, method, finding):
    """A gap in full fine-tuning is left out to FRoD's disadvantage, if anything: it leaves a match one."""
    points = noisy(ALIKE | {"frod": mean})
    points["task_0"][method] = gone(points["task_0"][method])
    claim = judged(points)
    assert claim["finding"] == finding
    assert finding != "undecided" or "task_0 on small, seed 2" in claim["reason"]


SEEDS = {"a": [1.0, 2.0, 4.0], "b": [-1.0, 0.0, 0.5, 3.0]}


def by_seed(shift, **others):
    """Tasks that differ from full fine-tuning by SEEDS and a shift."""
    points = {t: {"full_ft": [50.0] * len(of), "frod": [50 + shift + d for d in of]} for t, of in SEEDS.items()}
    return points | others


@pytest.mark.parametrize(("shift", "expected"), [(20.0, SHOWN), (-20.0, LOST), (0.0, OPEN)])
def test_tasks_at_random_decide_and_these_tasks_alone_stand_beside_by_welch(shift, expected):
    """Of two tasks a Welch test of two samples, the second with its sign turned, is of twice the mean."""
    claim = judged(by_seed(shift), margin=5.0)
    assert said(claim) == expected
    welch = stats.ttest_ind(*([shift + d for d in SEEDS["a"]], [-shift - d for d in SEEDS["b"]]), equal_var=False)
    low, high = welch.confidence_interval(0.95)
    alone = figures(claim)["difference, these tasks alone"]
    assert (alone["low"], alone["high"]) == pytest.approx((low / 2, high / 2))
    assert "for tasks like these, at these rates" in claim["reason"] and "for these tasks alone [" in claim["reason"]
    assert "all are of one family" in claim["reason"], "they share a backbone"


def test_seeds_are_not_counted_twice():
    """Two tasks 0.1 points apart, their seeds 8: what the seeds did to the means is in the spread of the means."""
    centres = {"a": 91.85, "b": 91.95}
    claim = judged({t: {"full_ft": [90.0, 90.0], "frod": [centre - 4, centre + 4]} for t, centre in centres.items()})
    assert said(claim) == SHOWN
    assert figures(claim)["difference, these tasks alone"]["low"] < -1


def test_tasks_that_share_data_or_a_backbone_are_one_family_if_only_through_others():
    found = evidence(noisy(ALIKE, tasks=5))
    what = dict(zip([f"task_{t}" for t in range(5)], ["one", "two", "two", "three", "one"]))
    backbone = {"task_0": "large", "task_3": "large"}
    named = found.summary.assign(backbone=[backbone.get(task, task) for task in found.summary["task"]])
    manifests = {(t, backbone.get(t, t)): {"num_classes": 2, "source": {"what": of}} for t, of in what.items()}
    found = replace(found, summary=named, manifests=manifests)
    assert [found.families[f"task_{t} on {backbone.get(f'task_{t}', f'task_{t}')}"] for t in range(5)] == [
        f"task_{t} on {'large' if t == 0 else f'task_{t}'}" for t in (0, 1, 1, 0, 0)
    ]
    claim = matches_full_ft(found)
    wide = named.pivot_table(index=["task", "seed"], columns="method", values="test").groupby("task").mean()
    means = (100 * (wide["frod"] - wide["full_ft"])).to_list()
    expected = stats.ttest_1samp([np.mean([means[t] for t in of]) for of in ((0, 3, 4), (1, 2))], 0)
    of = figures(claim)["difference, by family"]
    assert (of["low"], of["high"], of["n"]) == pytest.approx((*expected.confidence_interval(0.95), 2))
    assert "over 2 families [" in claim["reason"]


def test_families_are_told_by_files_and_data_sets_and_not_by_a_path():
    """The first and the third have a file in common, the last two a data set of the Hub, the second nothing."""
    sources = {
        "task_0": ("path train.csv", {"train.csv": "1", "test.csv": "2"}),
        "task_1": ("path train.csv", {"train.csv": "3"}),
        "task_2": ("path train.csv", {"all.csv": "2"}),
        "task_3": ("hub owner/name, main", {"a.parquet": "4"}),
        "task_4": ("hub owner/name, main", {"b.parquet": "5"}),
    }
    found = evidence(noisy(ALIKE, tasks=5))
    manifests = {
        (task, f"model_{task}"): {"num_classes": 2, "source": {"what": what, "files": files}}
        for task, (what, files) in sources.items()
    }
    named = found.summary.assign(backbone="model_" + found.summary["task"])
    first = replace(found, summary=named, manifests=manifests).families
    assert [of.split()[0] for of in first.values()] == ["task_0", "task_1", "task_0", "task_3", "task_3"]


def test_on_one_task_the_examples_are_left_to_chance_too():
    """The same figures over seeds; on the second suite FRoD's lie on one half of the examples."""
    points = {"a": {"full_ft": REFERENCE, "frod": [90.1, 90.1, 89.9]}}
    even, halves = evidence(points), evidence(points)
    blocks = {
        key: of.blocks + 0.2 * (np.arange(20) % 2 - 0.5) * (key.method == "frod") for key, of in halves.on_test.items()
    }
    halves = replace(halves, on_test={key: of._replace(blocks=blocks[key]) for key, of in halves.on_test.items()})
    narrow, wide = (figures(matches_full_ft(found))["difference"] for found in (even, halves))
    assert narrow["value"] == wide["value"] and wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])
    assert said(matches_full_ft(even)) == SHOWN and said(matches_full_ft(halves)) == OPEN
    assert "over 3 seeds and the test examples, at these rates" in matches_full_ft(halves)["reason"]


def test_all_methods_are_set_beside_the_reference():
    claim = judged(noisy({"full_ft": 90.0, "frod": 90.0, "lora": 80.0}))
    rows = {row["method"]: row for row in table(claim, "All methods and full fine-tuning")}
    assert list(rows) == ["FRoD", "LoRA"]
    assert rows["LoRA"]["difference to full fine-tuning"]["value"] == pytest.approx(-10, abs=0.5)
    assert rows["LoRA"]["p different (Holm)"]["value"] < 1e-6
    assert rows["LoRA"]["tasks non-inferior"] == 0
