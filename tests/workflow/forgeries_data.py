"""Forgeries of labels, raw data and the page, with the lines that an audit has to print; those that stay possible."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlparse

import many_runs
import numpy as np
import pandas as pd
from alterations import REPORT, RESULTS, TASK, change, hashes, rehash

from frod.files import sha256
from frod.provenance import artefacts

KINDS = ("ids", "labels", "images")
VECTOR = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script></svg>'


def arrays(project, split):
    return {kind: np.load(project / TASK / f"{split}.{kind}.npy") for kind in KINDS}


def write(project, split, parts):
    for kind, values in parts.items():
        np.save(project / TASK / f"{split}.{kind}.npy", values)


def reseal(project, **said):
    """The task's manifest, and all that names its hash, made to fit the arrays."""
    path = project / TASK / "manifest.json"

    def fit(manifest):
        manifest |= said
        for split, facts in manifest["splits"].items():
            facts["rows"] = len(arrays(project, split)["labels"])
            facts["files"] = {name: sha256(path.with_name(name)) for name in facts["files"]}
        manifest[artefacts.DIGEST] = artefacts.digest(manifest)

    change(path, fit)
    for pattern in ("tune/trial-*.json", "tune/rates.json", "seed-*/record.json"):  # rates name the trials' hashes
        for file in (project / RESULTS).glob(f"*/{pattern}"):
            change(file, lambda content: content["inputs"].update(hashes(project, content["inputs"])))


def all_fits(project, **said):
    """Predictions, metrics, table, report and MLflow made to fit as well: nothing is left that disagrees."""
    reseal(project, **said)
    labels = dict(zip(arrays(project, "test")["ids"], arrays(project, "test")["labels"]))
    runs = sorted((project / RESULTS).glob("*/seed-*"))
    for run in runs:
        path = run / "predictions.parquet"
        table = pd.read_parquet(path)
        rows = table["split"] == "test"
        table.loc[rows, "label"] = table.loc[rows, "example_id"].map(labels)
        table.to_parquet(path, index=False)
        rehash(project, run, finish=False)
    many_runs.finish(project, runs, track=True)


def relabelled(project, split, rows=1):
    parts = arrays(project, split)
    parts["labels"][:rows] = (parts["labels"][:rows] + 1) % 10
    write(project, split, parts)


def altered(project, split, alter):
    write(project, split, {kind: alter(values) for kind, values in arrays(project, split).items()})
    reseal(project)


def moved(project):
    """An example of test exchanged for one of train."""
    train, test = arrays(project, "train"), arrays(project, "test")
    for kind in KINDS:
        train[kind][0], test[kind][0] = test[kind][0].copy(), train[kind][0].copy()
    write(project, "train", train)
    write(project, "test", test)
    reseal(project)


def brighter(project):
    parts = arrays(project, "test")
    parts["images"][0] = 255 - parts["images"][0]
    write(project, "test", parts)
    reseal(project)


def test_label(project, **said):
    relabelled(project, "test")
    all_fits(project, **said)


def train_labels(project):
    relabelled(project, "train", rows=100)
    reseal(project)


def of_another_version(project):
    source = {"what": "package scikit-learn, digits", "revision": "0.1", "files": {}, "rows": {"all": 1797}}
    test_label(project, source=source)


def shown(project, name, old, new):
    """A file of the report altered, or added, and its hash with it."""
    path = project / REPORT / name
    if old:
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1))
    else:
        path.write_text(new)
    change(project / REPORT / "report.json", lambda report: report["files"].update({name: sha256(path)}))


def page(name, old, new):
    """The forgery and what tells it."""
    return partial(shown, name=name, old=old, new=new), [f"{REPORT}/{name}: does not follow from the runs' files: "]


def claimed(name, value, by="the registry", what=None):
    """A manifest that says something else of the task or its source."""
    return lambda project: reseal(project, **{name: value}), [f"{TASK}/manifest.json: by {by}.{what or name}"]


def artefact(project):
    """MLflow's copy of the page. Its folder is named in the store, and may be that of the project's original."""
    with sqlite3.connect(project / "mlflow.db") as database:
        query = "select artifact_uri from runs where name = 'report' and lifecycle_stage = 'active'"
        (uri,) = database.execute(query).fetchone()
    path = Path(unquote(urlparse(uri).path)) / "index.html"
    path.write_text(path.read_text().replace("<h1>", "<h1>Better: "))


def logged_report(project):
    with sqlite3.connect(project / "mlflow.db") as database:
        of_report = "run_uuid in (select run_uuid from runs where name = 'report')"
        changed = database.execute(f"update tags set value = '0' where key = 'frod.record' and {of_report}")
        assert changed.rowcount > 0


RUN_PAGE = "runs/task_0/digit_vit/frod.html"
BY_RAW = "by the raw data"
ALTERED: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a label of test, and all that follows from it": (
        test_label,
        [f"{TASK}/test.labels.npy: row 0 (1 differ), {BY_RAW}"],
    ),
    "labels of train": (train_labels, [f"{TASK}/train.labels.npy: row 0 (100 differ), {BY_RAW}"]),
    "an example moved from test to train": (
        moved,
        [f"{TASK}/test.ids.npy: row 0 (1 differ), {BY_RAW}", f"{TASK}/train.ids.npy: row 0 (1 differ), {BY_RAW}"],
    ),
    "test in another order": (
        lambda project: altered(project, "test", lambda values: values[::-1]),
        [f"{TASK}/test.ids.npy: row 0"],
    ),
    "an example of test left out": (
        lambda project: altered(project, "test", lambda values: values[:-1]),
        [f"{TASK}/test.ids.npy: rows, {BY_RAW}: expected 360, found 359"],
    ),
    "an example of validation twice": (
        lambda project: altered(project, "validation", lambda values: np.concatenate([values[:1], values])),
        [f"{TASK}/validation.labels.npy: rows, {BY_RAW}: expected 180, found 181"],
    ),
    "an easier image of test": (brighter, [f"{TASK}/test.images.npy: differs from the raw data, encoded again"]),
    "another metric to follow": claimed("metrics", ["matthews_correlation", "accuracy"]),
    "classes exchanged": claimed("class_names", [*"1023456789"]),
    "data called synthetic": claimed("synthetic", True),
    "another licence": claimed("licence", "CC0-1.0"),
    "another title of the data": claimed("title", "Handwriting of ten thousand people"),
    "repetitions hidden": claimed("duplicates", {"left_out": 7, "shared": {}}, "the raw data"),
    "data of another source": claimed(
        "source", {"what": "hub ylecun/mnist", "revision": None, "files": {}, "rows": {"all": 1797}}, what="what"
    ),
    "a picture from elsewhere in the page": page("index.html", "</h1>", f"</h1>{VECTOR}"),
    "a policy that lets scripts run": page("index.html", "default-src 'none'", "default-src *"),
    "a remote image in a page of runs": page(RUN_PAGE, "</h1>", '</h1><img src="https://example.org/x.png">'),
    "a script in a figure": page("figures/loss-task_0-digit_vit.svg", "</svg>", "<script>alert(1)</script></svg>"),
    "a link in the summary": page("summary.md", "| claim |", "[FRoD wins](https://example.org)\n\n| claim |"),
    "a formula in the table": page("results.csv", "tiny,task_0", "=1+1,task_0"),
    "a verdict in LaTeX": page("results.tex", "Method", "FRoD wins. Method"),
    "another report in MLflow": (logged_report, ["MLflow tiny/report (run "]),
    "a page of runs that never were": (
        partial(shown, name="runs/better.html", old="", new=VECTOR),
        [f"{REPORT}/report.json: does not follow from the runs' files.files.runs/better.html"],
    ),
}
POSSIBLE: dict[str, Callable[[Path], None]] = {
    "labels that are said to be of another version of the package": of_another_version,
    "another page among MLflow's artefacts": artefact,
}
