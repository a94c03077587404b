"""Ways to alter a finished project, each with the lines that an audit has to print; and how they are undone."""

import contextlib
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path
from unittest import mock

import many_runs
import pandas as pd
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import frod
from frod.audit import models, walk
from frod.audit.study import Study
from frod.evaluation import metrics
from frod.files import sha256, write_json

RESULTS = "results/tiny/task_0/digit_vit"
RUN, OTHER = f"{RESULTS}/frod/seed-0", f"{RESULTS}/frod/seed-1"
REPORT = "reports/tiny"
TASK = "data/tasks/task_0/digit_vit"


def audit(folder, report=REPORT):
    """What an audit finds and has looked at."""
    with contextlib.chdir(folder), mock.patch.object(models, "ask", asked):
        return walk.audit(Path(report))[1]


ASK, ANSWERS = models.ask, {}


def asked(report):
    """What models and raw data tell, asked once for the same plan and the same bytes: few forgeries touch those."""
    study = Study.open(report)
    read = sorted(path for top in ("data", "mine") for path in Path(top).rglob("*") if path.is_file())
    state = (report, study.workflow.model_dump_json(), *((path, sha256(path)) for path in read))
    if state not in ANSWERS:
        ANSWERS[state] = ASK(report)
    return ANSWERS[state]


def audited(folder, report=REPORT):
    """Its lines, as printed."""
    return [finding.line() for finding in audit(folder, report).found]


COPIES = {}


@contextlib.contextmanager
def kept(folder, *names):
    """Put files and folders back as they were, whatever is done to them.

    They are copied once for each state that they are in, and what was not touched stays: hundreds of files, of which an
    alteration touches a few.
    """
    before = {}
    for top in (folder / name for name in names):
        state = state_of(top)
        if top not in COPIES or COPIES[top][0] != state:
            copy = Path(tempfile.mkdtemp(prefix="kept-", dir=folder.parent)) / "copy"
            (shutil.copytree if top.is_dir() else shutil.copy2)(top, copy)
            COPIES[top] = state, copy
        before[top] = COPIES[top]
    try:
        yield
    finally:
        for top, (state, copy) in before.items():
            put_back(top, state, copy)
            COPIES[top] = state_of(top), copy


def state_of(top):
    """All files and folders from here on down, each file with what a write alters: which one it is, size and times."""
    found, waiting = {}, [str(top)]
    while waiting:
        path = waiting.pop()
        about = os.lstat(path)
        if stat.S_ISDIR(about.st_mode):
            found[path] = about.st_mode
            waiting += [entry.path for entry in os.scandir(path)]
        else:
            found[path] = (about.st_mode, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    return found


def put_back(top, state, copy):
    """Remove what is new or altered, bring from the copy what is altered or gone, and give folders their old times."""
    now = state_of(top) if os.path.lexists(top) else {}
    altered = {path for path in now.keys() | state.keys() if now.get(path) != state.get(path)}
    for path in sorted(altered & now.keys(), reverse=True):  # what is in a folder before it
        os.rmdir(path) if isinstance(now[path], int) else os.unlink(path)
    for path in sorted(altered & state.keys()):
        there = f"{copy}{path.removeprefix(str(top))}"
        os.makedirs(path) if isinstance(state[path], int) else shutil.copy2(there, path)
    for path in (path for path, about in state.items() if altered and isinstance(about, int)):
        shutil.copystat(f"{copy}{path.removeprefix(str(top))}", path)


def change(path, alter):
    """Rewrite a JSON file."""
    content = json.loads(path.read_text())
    alter(content)
    write_json(path, content)


def flip(path):
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def relabel(folder, split, column="label"):
    """Change one label, or one prediction with the scores that speak for it, of a split's predictions."""
    path = folder / "predictions.parquet"
    table = pd.read_parquet(path)
    row = table.index[(table["split"] == split) & (table["label"] == table["prediction"])][0]
    table.loc[row, column] = (table.loc[row, column] + 1) % 10
    if column == "prediction":
        table.at[row, "scores"] = table.at[row, "scores"][[*range(-1, 9)]]  # turned by one: the highest is the next
    table.to_parquet(path, index=False)


def rehash(project, folder, *, finish=True):
    """Make metrics and record, and (`finish`) table and report of a run's altered files again, as a forger would."""
    manifest = json.loads((project / TASK / "manifest.json").read_text())
    write_json(folder / "metrics.json", metrics.evaluate(folder / "predictions.parquet", manifest))
    change(folder / "record.json", lambda record: record["outputs"].update(hashes(project, record["outputs"])))
    if finish:
        many_runs.finish(project, [folder], track=False)


def hashes(project, names):
    return {name: sha256(project / name) for name in names}


def digit_in_metrics(project, added=None):
    path = project / RUN / "metrics.json"
    value = repr(json.loads(path.read_text())["metrics"]["test"]["accuracy"])
    digit = str((int(value[3]) + 1) % 10)
    path.write_text(path.read_text().replace(value, value + added if added else value[:3] + digit + value[4:]))


def swapped_seeds(project):
    there = project / RUN
    there.rename(there.with_name("aside"))
    (project / OTHER).rename(there)
    there.with_name("aside").rename(project / OTHER)


def edited_seed(project):
    change(project / RUN / "record.json", lambda record: record["run"].update(seed=1))


def longer_budget(project):
    change(project / RUN / "record.json", lambda record: record["budget"].update(steps=record["budget"]["steps"] + 1))


def read_test_twice(project):
    change(project / RUN / "record.json", lambda record: record["evaluations"].update(test=2))


def watched_test(project):
    path = project / RUN / "history.parquet"
    table = pd.read_parquet(path)
    table.rename(columns={"validation_accuracy": "test_accuracy"}).to_parquet(path, index=False)


def higher_rate(project):
    path = project / RUN / "history.parquet"
    table = pd.read_parquet(path)
    table.assign(lr_rotation=2 * table["lr_rotation"]).to_parquet(path, index=False)


def smaller_adapter(project):
    path = project / RUN / "adapter.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("rotation"))
    save_file(tensors | {name: tensors[name][1:].clone()}, path, metadata=metadata)


def smaller_in_its_record(project):
    smaller_adapter(project)

    def fewer(record):
        counted = record["parameters"]["trainable"]
        counted |= {name: counted[name] - 1 for name in ("adapter", "total")}

    change(project / RUN / "record.json", fewer)
    rehash(project, project / RUN)


def better_trial(project):
    tune = project / RUN / "../tune"
    index = json.loads((tune / "rates.json").read_text())["index"]
    change(tune / f"trial-{1 - index}-seed-100.json", lambda trial: trial.update(validation=1.0))


def label_in_arrays(project):
    path = project / TASK / "test.labels.npy"
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)


def other_summary(project):
    path = project / "results/tiny/summary.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "test"] += 0.01
    table.to_parquet(path, index=False)


def other_models_basis(project):
    folder = next((project / "data/bases/digit_vit").iterdir())
    basis = frod.Basis.load(folder)
    basis.model_hash = "0" * 64
    basis.save(folder)


ALTERED = {
    "one digit in metrics.json": (
        digit_in_metrics,
        [f"{RUN}/metrics.json: does not follow from predictions.parquet.metrics.test.accuracy: expected 0."],
    ),
    "a digit in metrics.json beyond those that count": (
        lambda project: digit_in_metrics(project, "0"),
        [f"{RUN}/metrics.json: is not as `frod evaluate` writes it"],
    ),
    "one row in predictions": (
        lambda project: relabel(project / RUN, "test"),
        [f"{RUN}/predictions.parquet: sha256", f"{RUN}/predictions.parquet: label in row"],
    ),
    "one byte in an adapter": (
        lambda project: flip(project / RUN / "adapter.safetensors"),
        [f"{RUN}/adapter.safetensors: sha256"],
    ),
    "a smaller adapter": (
        smaller_adapter,
        [f"{RUN}/record.json: parameters, by adapter.safetensors.trainable.adapter"],
    ),
    "a smaller adapter, as its record and report have it": (
        smaller_in_its_record,
        [f"{RUN}/adapter.safetensors: shape of tensor adapter."],
    ),
    "one byte in a data array": (
        lambda project: flip(project / TASK / "train.images.npy"),
        [f"{TASK}/train.images.npy: sha256 (in manifest.json)"],
    ),
    "one label in a data array": (
        label_in_arrays,
        [f"{TASK}/test.labels.npy: sha256", f"{RUN}/predictions.parquet: label in row"],
    ),
    "one byte in the weights": (
        lambda project: flip(project / "data/models/digit_vit/model.safetensors"),
        ["data/models/digit_vit/model.safetensors: sha256 (in source.json)"],
    ),
    "an altered basis": (
        lambda project: flip(next((project / "data/bases/digit_vit").glob("*/basis.safetensors"))),
        ["data/bases/digit_vit/ridge-0.001-float64/basis.safetensors: sha256 (in manifest.json)"],
    ),
    "a basis of another model": (
        other_models_basis,
        [
            "data/bases/digit_vit/ridge-0.001-float64/manifest.json: model_hash, by the weights",
            f"{RUN}/adapter.safetensors: metadata.basis_digest",
        ],
    ),
    "two seeds exchanged": (
        swapped_seeds,
        [f"{RUN}/record.json: run (of another place).seed", f"{OTHER}/record.json: run (of another place).seed"],
    ),
    "a record's seed": (edited_seed, [f"{RUN}/record.json: run (of another place).seed: expected 0, found 1"]),
    "a longer budget": (
        longer_budget,
        [f"{RUN}/record.json: budget.steps", f"{RUN}/record.json: differs from the runs it is compared with"],
    ),
    "test read twice": (read_test_twice, [f"{RUN}/record.json: evaluations.test: expected 1, found 2"]),
    "test watched": (watched_test, [f"{RUN}/history.parquet: splits watched"]),
    "a rate that was not tried": (higher_rate, [f"{RUN}/history.parquet: lr_rotation"]),
    "another trial the best": (
        better_trial,
        [f"{RESULTS}/frod/tune/rates.json: does not follow from the trials.rates"],
    ),
    "a deleted record": (
        lambda project: (project / RUN / "record.json").unlink(),
        [f"{RUN}/record.json: the suite plans it, and it is missing"],
    ),
    "a figure in the table of all runs": (
        other_summary,
        ["results/tiny/summary.parquet: test of tiny/task_0/digit_vit/"],
    ),
    "a run too many": (
        lambda project: shutil.copytree(project / RUN, project / RESULTS / "frod/seed-2"),
        [f"{RESULTS}/frod/seed-2: is there, and the suite does not plan it"],
    ),
    "one byte in a spectrum": (
        lambda project: flip(project / RESULTS / "frod/spectrum.parquet"),
        [f"{RESULTS}/frod/spectrum.parquet: sha256 (in {REPORT}/report.json)"],
    ),
    "one byte of the losses under perturbation": (
        lambda project: flip(project / RESULTS / "frod/sharpness.parquet"),
        [f"{RESULTS}/frod/sharpness.parquet: sha256 (in {REPORT}/report.json)"],
    ),
    "a file too many": (
        lambda project: (project / REPORT / "extra.csv").write_text("x"),
        [f"{REPORT}/extra.csv: a file that report.json does not name"],
    ),
}
