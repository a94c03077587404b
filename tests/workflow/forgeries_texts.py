"""Forgeries of what files say besides figures: a key twice, a key too many, names, and what is no file at all."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from alterations import REPORT, RESULTS, RUN, TASK, change
from forgeries_data import reseal
from forgeries_records import written

from frod.provenance import artefacts

TUNE = f"{RESULTS}/frod/tune"
MODEL = "data/models/digit_vit"
BASIS = "data/bases/digit_vit/ridge-0.001-float64"
DEEP = "[" * 200_000 + "]" * 200_000


def twice(name):
    """A first value for the eye; the parser takes the last."""

    def forge(project):
        path = project / name
        path.write_text(
            path.read_text().replace("{\n", '{\n  "undefined": "nothing is wrong",\n  "undefined": null,\n', 1)
        )

    return forge


def key_twice(name, command):
    return twice(name), [f"{name}: is not as `frod {command}` writes it: line "]


def no_number(name, key):
    """What Python writes and reads, and is no JSON."""

    def forge(project):
        text = (project / name).read_text()
        forged = re.sub(rf'("{key}": )[^,\n]+', r"\1NaN", text, count=1)
        assert forged != text
        (project / name).write_text(forged)

    return forge, [f"{name}: holds a number that is no JSON: expected a finite number or null, found NaN"]


def other_line_ends(project):
    path = project / RUN / "metrics.json"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def noted(name, *tables):
    """A key that the workflow does not write."""

    def forge(project):
        def add(content):
            for table in tables:
                content = content[table]
            content["protocol_note"] = "audited by Prof. X"

        change(project / name, add)

    return forge, [f"{name}: {'.'.join([*tables, 'protocol_note'])}: expected nothing, found audited by Prof. X"]


def instead(name, make):
    def forge(project):
        (project / name).unlink()
        make(project / name)

    return forge


def logged(statement, *values):
    """The store altered, in all runs of seed 0 of FRoD."""

    def forge(project):
        with sqlite3.connect(project / "mlflow.db") as database:
            found = "select run_uuid from tags where key = 'frod.run' and value like '%/frod/seed-0'"
            assert database.execute(statement.format(found=found), values).rowcount > 0

    return forge


def source(**said):
    def forge(project):
        def alter(content):
            content |= said
            content[artefacts.DIGEST] = artefacts.digest(content)

        change(project / MODEL / "source.json", alter)

    name = next(iter(said))
    return forge, [f"{MODEL}/source.json: by the registry.{name}"]


def hidden_column(project):
    """Of the file, and not of the table that pandas makes of it."""
    path = project / "results/tiny/summary.parquet"
    table = pq.read_table(path).to_pandas()
    table.index = [f"Prof. X {row}" for row in range(len(table))]
    table.to_parquet(path)


def of_run(**facts):
    return lambda project: change(project / RUN / "record.json", lambda record: record.update(facts))


def on_gpu(project):
    change(project / RUN / "record.json", lambda record: record["environment"].update(accelerator="NVIDIA H200"))


def led_out(project):
    change(project / REPORT / "report.json", lambda report: report["inputs"].update({"/proc/self/mem": "0" * 64}))


def elsewhere(project):
    change(project / MODEL / "source.json", lambda content: content["files"].update({"/proc/self/mem": "0" * 64}))


def further_array(project):
    (project / TASK / "test.more.npy").write_bytes(b"")
    change(
        project / TASK / "manifest.json",
        lambda content: content["splits"]["test"]["files"].update({"test.more.npy": ""}),
    )
    reseal(project)


LOGGED = "MLflow tiny/task_0/digit_vit/frod/seed-0 (run "
ALTERED: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a key twice in a record": key_twice(f"{RUN}/record.json", "train"),
    "a key twice in a trial": key_twice(f"{TUNE}/trial-0-seed-100.json", "trial"),
    "a key twice in the chosen rates": key_twice(f"{TUNE}/rates.json", "tune"),
    "a key twice in the report's list": key_twice(f"{REPORT}/report.json", "report"),
    "a key twice in a task's manifest": key_twice(f"{TASK}/manifest.json", "task"),
    "a key twice in a model's source": key_twice(f"{MODEL}/source.json", "backbone"),
    "a key twice in a basis' manifest": key_twice(f"{BASIS}/manifest.json", "basis"),
    "other line ends in metrics.json": (other_line_ends, [f"{RUN}/metrics.json: is not as `frod evaluate` writes it"]),
    "a key too many in a record": noted(f"{RUN}/record.json"),
    "a key too many in a record's environment": noted(f"{RUN}/record.json", "environment"),
    "a key too many in a trial": noted(f"{TUNE}/trial-0-seed-100.json"),
    "NaN in a record": no_number(f"{RUN}/record.json", "wall_seconds"),
    "NaN in a trial": no_number(f"{TUNE}/trial-0-seed-100.json", "train_seconds"),
    "NaN in a task's manifest": no_number(f"{TASK}/manifest.json", "train_available"),
    "a record nested too deep": (written(f"{RUN}/record.json", DEEP), [f"{RUN}/record.json: is no record"]),
    "a trial nested too deep": (
        written(f"{TUNE}/trial-0-seed-100.json", DEEP),
        [f"{TUNE}/trial-0-seed-100.json: a trial that the suite"],
    ),
    "a manifest nested too deep": (
        written(f"{TASK}/manifest.json", DEEP),
        [f"{TASK}/manifest.json: the prepared task cannot be checked: "],
    ),
    "a folder in the place of a record": (
        instead(f"{RUN}/record.json", Path.mkdir),
        [f"{RUN}/record.json: the suite plans it, and it is missing"],
    ),
    "an input without an end": (led_out, [f"{REPORT}/report.json: inputs: /proc/self/mem leads out of the study"]),
    "weights from anywhere": (elsewhere, [f"{MODEL}/source.json: names /proc/self/mem, which does not lie next to it"]),
    "an array that no task has": (further_array, [f"{TASK}/manifest.json: splits.test.files: expected test.ids.npy, "]),
    "another name of a run in MLflow": (
        logged("update tags set value = 'best' where key = 'mlflow.runName' and run_uuid in ({found})"),
        [LOGGED],
    ),
    "another name in MLflow's table of runs": (
        logged("update runs set name = 'best' where run_uuid in ({found})"),
        [LOGGED],
    ),
    "a finished run that failed in MLflow": (
        logged("update runs set status = 'FAILED' where run_uuid in ({found})"),
        [LOGGED],
    ),
    "a text in a stamp of Snakemake's": (
        written(f"{RUN}/.snakemake_timestamp", "audited by Prof. X"),
        [f"{RUN}/.snakemake_timestamp: is there, and the suite does not plan it"],
    ),
    "a text in a stamp next to the arrays": (
        written(f"{TASK}/.snakemake_timestamp", "audited by Prof. X"),
        [f"{TASK}/.snakemake_timestamp: a file that manifest.json does not name"],
    ),
    "a folder next to the arrays": (
        lambda project: (project / TASK / "more").mkdir(),
        [f"{TASK}/more: a folder that manifest.json does not name"],
    ),
    "a folder next to the weights": (
        lambda project: (project / MODEL / "more").mkdir(),
        [f"{MODEL}/more: a folder that source.json does not name"],
    ),
    "a folder next to a basis": (
        lambda project: (project / BASIS / "more").mkdir(),
        [f"{BASIS}/more: a folder that manifest.json does not name"],
    ),
    "another title of a model": source(title="A transformer of ten billion parameters"),
    "another licence of a model": source(licence="CC0-1.0"),
    "weights of another source": source(source="hub google/vit-base"),
    "a pre-training that was another": source(pretraining={"examples": 1, "data_sha256": "0" * 64}),
    "a column hidden in the table of all runs": (
        hidden_column,
        ["results/tiny/summary.parquet: column __index_level_0__: expected nothing"],
    ),
    "a run of the future": (
        of_run(finished="2999-01-01T00:00:00+00:00"),
        [f"{RUN}/record.json: finished: expected at most "],
    ),
    "a GPU that has no memory": (
        on_gpu,
        [f"{RUN}/record.json: resources.peak_gpu_bytes, with accelerator NVIDIA H200"],
    ),
}
NOTED: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a note on a run in MLflow": (
        logged("insert into tags select 'mlflow.note.content', 'by Prof. X', run_uuid from ({found})"),
        ["MLflow has notes, which frod does not write, on tiny/task_0/digit_vit/frod/seed-0"],
    ),
}
