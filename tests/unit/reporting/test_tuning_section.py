"""The search for rates: what the best of n trials is expected to give, its seconds, choices at the edge of a box."""

from dataclasses import replace

import pytest
from pages import page, words

from frod.reporting import tuning_section

BOX = {"lr": [1e-4, 1e-2], "lr_head": [1e-3, 1e-2]}
FIGURES = [0.2, 0.4, 0.6, 0.8]


def chosen(figures, *, box=BOX, index=3, rates=(2e-4, 1e-3, 2e-3, 8e-3)):
    trials = [
        {"rates": {"lr": rate, "lr_head": 3e-3}, "validation": value, "train_seconds": 30.0}
        | {"undefined": None if value is not None else "diverged: step 3: loss nan"}
        for rate, value in zip(rates, figures)
    ]
    return {"index": index, "seeds": [100, 101], "metric": "accuracy", "box": box, "trials": trials}


@pytest.fixture
def tuned(results):
    tuning = {
        ("digits", "digit_vit", "full_ft"): chosen(FIGURES),
        ("digits", "digit_vit", "frod"): chosen(FIGURES, index=1),
        ("digits", "digit_vit", "lora"): chosen([None, *FIGURES[1:]], box=None),
        ("cola", "minilm", "frod"): chosen(FIGURES[:2], index=0),
    }
    return replace(results, tuning=tuning)


def test_the_best_of_n_is_expected_of_trials_that_all_have_a_figure(tuned):
    """Of four figures one fifth apart: their mean is 50 with a standard deviation of the square root of 500."""
    found = tuning_section.search(tuned)
    assert found["counts"] == [1, 2, 4]
    rows = {(row["pair"], row["look"].label): row for row in found["rows"]}
    full = rows["digits on digit_vit", "full fine-tuning"]
    one, two, *_, seconds = full["cells"]
    assert one.text == "50.0 (27.6 to 72.4)" and one.value == pytest.approx(0.5)
    assert two.value == pytest.approx((0.2 + 3 * 0.4 + 5 * 0.6 + 7 * 0.8) / 16)
    assert seconds.value == 120.0
    assert [cell.text for cell in rows["digits on digit_vit", "LoRA"]["cells"][:3]] == ["–"] * 3
    assert rows["digits on digit_vit", "LoRA"]["lost"] == "1 of 4 without a figure"
    assert [cell.text for cell in rows["cola on minilm", "FRoD"]["cells"]][2] == "–", "of two there is no best of four"


def test_a_choice_in_the_outer_eighth_of_its_box_is_flagged(tuned):
    rows = {(row["pair"], row["look"].label): row["edge"] for row in tuning_section.search(tuned)["rows"]}
    assert rows["digits on digit_vit", "full fine-tuning"] == "lr"
    assert rows["digits on digit_vit", "FRoD"] == ""
    assert rows["digits on digit_vit", "LoRA"] == "", "a list has no edge"


def test_the_page_shows_it_and_says_what_was_done(tuned, tmp_path):
    text = words(page(tuned, tmp_path))
    assert "each a training on seeds 100, 101, none of the runs’" in text
    assert "The search for learning rates" in text and "50.0 (27.6 to 72.4)" in text
    html = (tmp_path / "runs/digits/digit_vit/full_ft.html").read_text()
    assert "On seeds 100, 101, none of the runs’" in html


def test_the_best_of_n_is_drawn_as_a_mean_over_the_tasks_with_all_trials_of_all_methods(tuned, tmp_path):
    """Two tasks that are alike but for a tenth, and one with fewer trials of one method."""
    assert tuning_section.best_of_n(tuned) == {}, "a trial of LoRA has no figure, and full fine-tuning none on cola"
    higher = [value + 0.1 for value in FIGURES]
    tuning = {
        ("digits", "digit_vit", "full_ft"): chosen(FIGURES),
        ("digits", "digit_vit", "frod"): chosen(higher),
        ("cola", "minilm", "full_ft"): chosen(higher),
        ("cola", "minilm", "frod"): chosen(higher),
        ("sums", "micro_llama", "full_ft"): chosen(FIGURES),
        ("sums", "micro_llama", "frod"): chosen(FIGURES[:2], index=0),
    }
    report = replace(tuned, tuning=tuning)
    found = tuning_section.best_of_n(report)
    assert list(found) == ["full_ft", "frod"]
    best_of_two = (0.2 + 3 * 0.4 + 5 * 0.6 + 7 * 0.8) / 16
    assert found["full_ft"][:2] == [(1, pytest.approx(55)), (2, pytest.approx(100 * best_of_two + 5))]
    assert [value - of for (_, value), (_, of) in zip(found["frod"], found["full_ft"])] == pytest.approx([5] * 4)
    page(report, tmp_path)
    assert "FRoD at 1 trials: 60" in (tmp_path / "figures/best_of.svg").read_text()
    text = (tmp_path / "index.html").read_text()
    assert "Mean over the tasks where all methods have all trials, each with a figure" in text


def test_a_single_trial_is_not_drawn(tuned):
    tuning = {("digits", "digit_vit", "frod"): chosen(FIGURES[:1], index=0)}
    assert tuning_section.best_of_n(replace(tuned, tuning=tuning)) == {}
