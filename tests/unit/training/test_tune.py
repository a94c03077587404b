"""The choice of learning rates: the best on validation over all seeds, all kept, none compared that cannot be."""

import pytest

from frod.training.tune import choose


def trial(validation, rate, **changed):
    whole = {"rates": {"lr": rate}, "seed": 100, "metric": "accuracy", "validation": validation, "validation_loss": 1.0}
    return whole | {"undefined": None, "budget": {"steps": 10}, "train_seconds": 1.0} | changed


def test_the_best_on_validation_is_chosen_and_of_equal_ones_the_first():
    chosen = choose([trial(0.5, 1e-4), trial(0.7, 1e-3), trial(0.7, 1e-2)])
    assert (chosen["rates"], chosen["index"], chosen["validation"]) == ({"lr": 1e-3}, 1, 0.7)
    assert [one["validation"] for one in chosen["trials"]] == [0.5, 0.7, 0.7]


def test_of_equal_ones_the_least_loss_is_taken_and_a_better_figure_counts_more():
    """So it goes where all correlations are zero, as those of constant predictions are."""
    zeros = [trial(0.0, 1e-4, validation_loss=0.69), trial(0.0, 1e-3, validation_loss=0.61), trial(0.0, 1e-2)]
    chosen = choose(zeros)
    assert (chosen["rates"], chosen["index"]) == ({"lr": 1e-3}, 1)
    assert [one["validation_loss"] for one in chosen["trials"]] == [0.69, 0.61, 1.0]
    assert choose([*zeros, trial(0.1, 1e-1, validation_loss=9.0)])["index"] == 3
    undefined = [
        trial(None, 1e-4, undefined="constant: pearson"),
        trial(None, 1e-3, validation_loss=0.5, undefined="c"),
    ]
    assert (choose(undefined)["index"], choose(undefined)["validation"]) == (1, None)


def test_a_point_s_figures_are_the_means_over_its_seeds():
    """The best single trial is the first point's; the second is better over both seeds."""
    figures = {1e-4: (0.9, 0.5), 1e-3: (0.8, 0.7), 1e-2: (0.95, None)}
    trials = [
        trial(value, rate, seed=seed, validation_loss=value, undefined=None if value else "diverged: step 3: loss nan")
        for rate, values in figures.items()
        for seed, value in zip((100, 101), values)
    ]
    chosen = choose(trials, box={"lr": [1e-4, 1e-2]})
    assert (chosen["rates"], chosen["index"], chosen["seeds"]) == ({"lr": 1e-3}, 1, [100, 101])
    assert chosen["box"] == {"lr": [1e-4, 1e-2]}
    assert [one["validation"] for one in chosen["trials"]] == pytest.approx([0.7, 0.75, None])
    assert [one["validation_loss"] for one in chosen["trials"]] == pytest.approx([0.7, 0.75, None])
    assert [one["train_seconds"] for one in chosen["trials"]] == [2.0, 2.0, 2.0]
    assert chosen["trials"][2]["undefined"] == "diverged: step 3: loss nan"
    with pytest.raises(ValueError, match="seeds is"):
        choose(trials[:-1])


def test_a_diverged_trial_is_kept_but_never_chosen():
    diverged = trial(None, 1.0, validation_loss=None, undefined="diverged: step 3: loss nan")
    chosen = choose([diverged, trial(-0.2, 1e-4)])
    assert chosen["index"] == 1
    assert chosen["trials"][0]["undefined"] == "diverged: step 3: loss nan"


def test_where_no_trial_has_a_figure_the_first_one_s_rates_are_taken_and_the_run_shows_what_comes_of_it():
    diverged = {"undefined": "diverged: step 3: loss nan", "validation_loss": None}
    chosen = choose([trial(None, 1.0, **diverged), trial(None, 2.0, **diverged)])
    assert (chosen["rates"], chosen["index"], chosen["validation"]) == ({"lr": 1.0}, 0, None)
    assert (chosen["metric"], chosen["budget"]) == (trial(None, 1.0)["metric"], trial(None, 1.0)["budget"])
    assert [one["undefined"] for one in chosen["trials"]] == ["diverged: step 3: loss nan"] * 2


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ([trial(0.1, 1.0), trial(0.2, 2.0, seed=7)], "seeds is \\[100\\] for one, \\[7\\] for another"),
        ([trial(0.1, 1.0), trial(0.2, 2.0, budget={"steps": 9})], "budget"),
    ],
)
def test_trials_that_cannot_be_compared_are_refused(trials, message):
    with pytest.raises(ValueError, match=message):
        choose(trials)
