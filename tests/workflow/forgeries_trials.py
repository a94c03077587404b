"""Forgeries of trials and, by forgeries_records, of records: what an audit has to print, and what stays possible."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import forgeries_records
import many_runs
import numpy as np
import pandas as pd
from alterations import OTHER, RESULTS, RUN, change, hashes, rehash
from forgeries_records import rewrite

from frod.evaluation.loss import loss
from frod.files import sha256, write_json
from frod.training.tune import choose

TUNE, TRIAL = f"{RESULTS}/frod/tune", "trial-{}-seed-100"
FIRST, SECOND = (f"{TUNE}/{TRIAL.format(index)}" for index in (0, 1))
HISTORY, PREDICTIONS = f"{FIRST}.history.parquet", f"{FIRST}.predictions.parquet"
BY_PREDICTIONS = f"{FIRST}.json: does not follow from trial-0-seed-100.predictions.parquet."


def settle(project, index=0, *, figure=True, last=False, tune=TUNE):
    """Make a trial's hashes fit its altered files; its figure, and the last of its history, too."""
    path = project / f"{tune}/{TRIAL.format(index)}.json"
    table = pd.read_parquet(path.with_suffix(".predictions.parquet"))
    value = float((table["label"] == table["prediction"]).mean())
    if last:
        rewrite(path.with_suffix(".history.parquet"), lambda steps: with_last(steps, value))
    if figure:
        change(path, lambda trial: trial.update(validation=value, validation_loss=loss(table)))
    change(path, lambda trial: trial["outputs"].update(hashes(project, trial["outputs"])))


def with_last(steps, value):
    steps.loc[steps.index[-1], "validation_accuracy"] = value


def one_more_right(table):
    """Turn the first wrong prediction into the label, with scores that speak for it."""
    row = table.index[(table["split"] == "validation") & (table["label"] != table["prediction"])][0]
    label, chosen = table.loc[row, ["label", "prediction"]]
    scores = table.at[row, "scores"].copy()
    scores[[label, chosen]] = scores[[chosen, label]]
    table.at[row, "scores"] = scores
    table.loc[row, "prediction"] = label


def better_predictions(project):
    rewrite(project / PREDICTIONS, one_more_right)
    settle(project)


def unhashed_predictions(project):
    rewrite(project / PREDICTIONS, one_more_right)
    settle(project, last=True)
    rewrite(project / PREDICTIONS, one_more_right)


def of_predictions(alter, *, figure=True):
    """Alter the predictions of a trial, with all that follows from them."""

    def forge(project):
        rewrite(project / PREDICTIONS, alter)
        settle(project, last=figure, figure=figure)

    return forge


def relabelled(table):
    wrong = table["label"] != table["prediction"]
    table.loc[wrong, "label"] = table.loc[wrong, "prediction"]


def of_history(alter):
    """Alter the history of a trial, with its hash."""

    def forge(project):
        rewrite(project / HISTORY, alter)
        settle(project, figure=False)

    return forge


def not_finite(steps):
    steps.loc[steps.index[-1], "loss"] = np.nan


def of_json(**facts):
    return lambda project: change(project / f"{FIRST}.json", lambda trial: trial.update(facts))


def exchanged_trials(project):
    """All files of two trials."""
    for name in ("json", "history.parquet", "predictions.parquet"):
        one, other = (project / f"{TUNE}/{TRIAL.format(index)}.{name}" for index in (0, 1))
        one.rename(one.with_name("aside"))
        other.rename(one)
        one.with_name("aside").rename(other)


def exchanged_tables(project):
    """Histories and predictions of two trials, each under the other's rates, with hashes and figures."""
    exchanged_trials(project)
    jsons = [project / f"{TUNE}/{TRIAL.format(index)}.json" for index in (0, 1)]
    texts = [path.read_text() for path in jsons]
    for index, (path, text) in enumerate(zip(jsons, reversed(texts))):
        path.write_text(text)
        settle(project, index)


def from_a_run(project):
    """The chosen trial's history and predictions are those of a run, which has its rates and another seed."""
    shutil.copy2(project / RUN / "history.parquet", project / f"{SECOND}.history.parquet")
    table = pd.read_parquet(project / RUN / "predictions.parquet").query("split == 'validation'")
    table.to_parquet(project / f"{SECOND}.predictions.parquet", index=False)
    settle(project, 1)


def one_seed_twice(project):
    for name in ("history.parquet", "predictions.parquet"):
        shutil.copy2(project / RUN / name, project / OTHER / name)
    rehash(project, project / OTHER)


def tried_later(project):
    """A trial that ended when a run on the chosen rates had read test."""
    began = datetime.fromisoformat(json.loads((project / RUN / "record.json").read_text())["started"])
    of_json(finished=(began + timedelta(hours=1, seconds=1)).isoformat())(project)
    choose_again(project)


def other_method(project):
    for name in ("json", "history.parquet", "predictions.parquet"):
        shutil.copy2(project / f"{RESULTS}/full_ft/tune/trial-0-seed-100.{name}", project / f"{FIRST}.{name}")
    settle(project)


ALTERED: dict[str, tuple[Callable[[Path], None], list[str]]] = forgeries_records.ALTERED | {
    "a trial's figure": (of_json(validation=0.995), [f"{BY_PREDICTIONS}validation: expected 0."]),
    "a trial's loss": (of_json(validation_loss=0.001), [f"{BY_PREDICTIONS}validation_loss: expected "]),
    "a trial's figure with the predictions that give it": (
        better_predictions,
        [f"{HISTORY}: last validation_accuracy, by trial-0-seed-100.predictions.parquet: expected 0."],
    ),
    "a trial's predictions, without their hash": (
        unhashed_predictions,
        [f"{FIRST}.json: outputs, by the files.{PREDICTIONS}", f"{BY_PREDICTIONS}validation"],
    ),
    "labels of a trial's predictions": (of_predictions(relabelled), [f"{PREDICTIONS}: label in row"]),
    "a trial's wrong predictions left out": (
        of_predictions(lambda table: table[table["label"] == table["prediction"]]),
        [f"{PREDICTIONS}: rows of validation"],
    ),
    "an example of a trial twice": (
        of_predictions(lambda table: pd.concat([table, table.iloc[:1]])),
        [f"{PREDICTIONS}: rows of validation", f"{PREDICTIONS}: validation_accuracy cannot be computed: ValueError"],
    ),
    "another example in a trial's predictions": (
        of_predictions(lambda table: table.assign(example_id=table["example_id"] + 1)),
        [f"{PREDICTIONS}: example_id in row 0 of validation"],
    ),
    "a trial that predicted test": (
        of_predictions(lambda table: pd.concat([table, table.assign(split="test")]), figure=False),
        [f"{PREDICTIONS}: splits"],
    ),
    "a trial that watched test": (
        of_history(lambda steps: steps.rename(columns={"validation_accuracy": "test_accuracy"})),
        [f"{HISTORY}: splits watched"],
    ),
    "other rates in a trial's history": (
        of_history(lambda steps: steps.assign(lr_rotation=2 * steps["lr_rotation"])),
        [f"{HISTORY}: lr_rotation"],
    ),
    "a trial of more steps": (
        of_history(lambda steps: pd.concat([steps, steps.iloc[-1:].assign(step=len(steps) + 1)])),
        [f"{HISTORY}: steps"],
    ),
    "a trial's seed": (of_json(seed=0), [f"{FIRST}.json: seed: expected 100, found 0"]),
    "a trial's budget": (of_json(budget={}), [f"{FIRST}.json: budget.steps"]),
    "a trial's reads of validation": (
        of_json(evaluations={"validation": 9}),
        [f"{FIRST}.json: evaluations.validation: expected 1, found 9"],
    ),
    "two trials exchanged": (
        exchanged_trials,
        [f"{FIRST}.json: rates.lr_scale", f"{SECOND}.json: rates.lr_scale"],
    ),
    "two trials' histories and predictions exchanged": (
        exchanged_tables,
        [f"{HISTORY}: lr_scale", f"{SECOND}.history.parquet: lr_scale"],
    ),
    "a run's history and predictions as a trial's": (
        from_a_run,
        [f"{SECOND}.history.parquet: losses: to the bit those of {RUN}/record.json"],
    ),
    "one seed's training as another's": (
        one_seed_twice,
        [
            f"{OTHER}/history.parquet: losses: to the bit those of {RUN}/record.json",
            f"{OTHER}/predictions.parquet: predictions: to the bit those of {RUN}/record.json",
        ],
    ),
    "another method's trial": (other_method, [f"{FIRST}.json: rates.lr_scale", f"{HISTORY}: lr_scale"]),
    "a trial that is said to have diverged": (
        of_json(undefined="diverged: step 3 of 10: loss nan, gradient norm nan", validation=None, validation_loss=None),
        [f"{FIRST}.json: undefined, by trial-0-seed-100.history.parquet, whose", f"{PREDICTIONS}: rows, as the record"],
    ),
    "a trial that diverged and does not say so": (
        of_history(not_finite),
        [f"{HISTORY}: loss and gradient norm of step"],
    ),
    "a trial whose figure is said to be undefined": (
        of_json(undefined="constant: validation_accuracy is not defined", validation=None),
        [f"{BY_PREDICTIONS}validation"],
    ),
    "a trial without its history": (
        lambda project: (project / HISTORY).unlink(),
        [f"{HISTORY}: the suite plans it, and it is missing; run `snakemake runs`"],
    ),
    "a trial as it was before trials kept their files": (
        lambda project: [
            (project / HISTORY).unlink(),
            (project / PREDICTIONS).unlink(),
            change(project / f"{FIRST}.json", lambda trial: [trial.pop(k) for k in ("outputs", "finished")]),
        ],
        [
            f"{HISTORY}: the suite plans it, and it is missing; run `snakemake runs`",
            f"{PREDICTIONS}: the suite plans it, and it is missing; run `snakemake runs`",
            f"{FIRST}.json: outputs, by the files",
        ],
    ),
    "a trial too many": (
        lambda project: shutil.copy2(project / PREDICTIONS, project / f"{TUNE}/trial-7-seed-100.predictions.parquet"),
        [f"{TUNE}/trial-7-seed-100.predictions.parquet: is there, and the suite does not plan it"],
    ),
    "a trial's seconds": (of_json(train_seconds=0.001), [f"{FIRST}.json: train_seconds, by its history"]),
    "a trial that ended after the first run had begun": (
        tried_later,
        [f"{RUN}/record.json: started, by {FIRST}.json, which ended later: expected at least"],
    ),
    "a trial that ended before it could": (
        lambda project: change(project / f"{FIRST}.json", lambda one: one.update(finished=one["started"])),
        [f"{FIRST}.json: train_seconds, by the time from started to finished"],
    ),
}


def choose_again(project):
    """The choice of rates, and the records that name it."""
    trials = [project / f"{TUNE}/{TRIAL.format(index)}.json" for index in (0, 1)]
    chosen = choose([json.loads(path.read_text()) for path in trials])
    inputs = {path.relative_to(project).as_posix(): sha256(path) for path in trials}
    write_json(project / TUNE / "rates.json", chosen | {"inputs": inputs})
    rates = hashes(project, [f"{TUNE}/rates.json"])
    for run in (RUN, OTHER):
        change(project / run / "record.json", lambda record: record["inputs"].update(rates))


def whole_trial(project):
    rewrite(project / PREDICTIONS, one_more_right)
    settle(project, last=True)
    choose_again(project)
    many_runs.finish(project, [project / RUN], track=True)


POSSIBLE: dict[str, Callable[[Path], None]] = forgeries_records.POSSIBLE | {
    "a trial forged in all its files": whole_trial,
}
