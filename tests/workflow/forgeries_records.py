"""Forgeries of what runs took and of the files next to them, with the lines that an audit has to print."""

import json
from collections.abc import Callable
from pathlib import Path

import many_runs
import numpy as np
import pandas as pd
from alterations import OTHER, REPORT, RESULTS, RUN, change, rehash


def rewrite(path, alter):
    """Rewrite a table as the workflow writes it."""
    table = pd.read_parquet(path)
    changed = alter(table)
    (table if changed is None else changed).to_parquet(path, index=False)


def of_record(**resources):
    return lambda project: change(project / RUN / "record.json", lambda record: record["resources"].update(resources))


def instant(project):
    change(project / RUN / "record.json", lambda record: record.update(finished=record["started"]))


def light(project):
    """Less memory than the weights take, in the history, too."""
    rewrite(project / RUN / "history.parquet", lambda steps: steps.assign(rss_bytes=steps["rss_bytes"] * 0))
    of_record(peak_rss_bytes=1000)(project)


def quick_steps(project):
    rewrite(project / RUN / "history.parquet", lambda steps: steps.assign(step_seconds=steps["step_seconds"] / 2))


def written(name, text="{}"):
    """A further file."""

    def forge(project):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)

    return forge


def nested_report(project):
    written(f"{REPORT}/sub/report.json")(project)
    written(f"{REPORT}/sub/page.html")(project)


def page_among_released(project):
    text = json.dumps({"suite": "tiny/released", "files": {"index.html": ""}})
    written(f"{REPORT}/released/report.json", text)(project)
    written(f"{REPORT}/released/page.html")(project)


def linked_run(project):
    (project / OTHER).rename(project / "workflow/aside")
    (project / OTHER).symlink_to(project / "workflow/aside")


ALTERED: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a run's seconds of training": (
        of_record(train_seconds=0.001),
        [f"{RUN}/record.json: train_seconds, by its history"],
    ),
    "a run's median step": (
        of_record(step_seconds_median=0.0001),
        [f"{RUN}/record.json: step_seconds_median, by its history"],
    ),
    "a run's whole time below its training's": (
        of_record(wall_seconds=0.001),
        [f"{RUN}/record.json: train_seconds, by wall_seconds: expected at most 0.001"],
    ),
    "a run that ended before it could": (
        instant,
        [f"{RUN}/record.json: wall_seconds, by the time from started to finished: expected at most"],
    ),
    "quicker steps in the history": (
        quick_steps,
        [f"{RUN}/history.parquet: seconds, by the sum of step_seconds"],
    ),
    "a smaller peak of memory": (
        of_record(peak_rss_bytes=1000),
        [f"{RUN}/record.json: peak_rss_bytes, by its history: expected at least"],
    ),
    "a peak of memory below the weights": (
        light,
        [f"{RUN}/record.json: peak memory, by the size of the weights: expected at least"],
    ),
    "a run that went on from a step that it did not have": (
        lambda project: change(project / RUN / "record.json", lambda record: record.update(resumed_from_step=10**6)),
        [f"{RUN}/record.json: resumed_from_step: expected 0 to"],
    ),
    "a run's threads": (
        lambda project: change(project / RUN / "record.json", lambda record: record["environment"].update(threads=64)),
        [f"{RUN}/record.json: environment.threads, by processes: expected 1, found 64"],
    ),
    "a page next to a report of another name": (
        nested_report,
        [f"{REPORT}/sub/{name}: a file that report.json does not name" for name in ("page.html", "report.json")],
    ),
    "a page next to the released protocol's": (
        page_among_released,
        [f"{REPORT}/released/page.html: a file that report.json does not name"],
    ),
    "a folder linked into the report": (
        lambda project: (project / REPORT / "more").symlink_to(project / "workflow"),
        [f"{REPORT}/more: is a link"],
    ),
    "a run that is a link": (linked_run, [f"{OTHER}: is a link"]),
    "a second table of all runs": (
        written("results/tiny/better.parquet"),
        ["results/tiny/better.parquet: is there, and the suite does not plan it"],
    ),
    "a second metrics.json": (
        written(f"{RUN}/metrics-2.json"),
        [f"{RUN}/metrics-2.json: is there, and the suite does not plan it"],
    ),
    "a hidden file": (written(f"{RUN}/.better.json"), [f"{RUN}/.better.json: is there, and the suite does not plan"]),
    "a task too many": (
        written("results/tiny/task_9/digit_vit/frod/seed-0/record.json"),
        ["results/tiny/task_9: is there, and the suite does not plan it"],
    ),
    "a released run that is not planned": (
        written("results/tiny/released/task_0/digit_vit/frod/seed-9/record.json"),
        ["results/tiny/released/task_0/digit_vit/frod/seed-9: is there, and the suite does not plan it"],
    ),
}


def whole_seconds(project):
    def halved(steps):
        each = steps["step_seconds"] / 2
        return steps.assign(step_seconds=each, seconds=np.add.accumulate(each.to_numpy()))

    rewrite(project / RUN / "history.parquet", halved)
    steps = pd.read_parquet(project / RUN / "history.parquet")
    median, last = float(steps["step_seconds"].median()), float(steps["seconds"].iloc[-1])
    of_record(step_seconds_median=median, train_seconds=last)(project)
    rehash(project, project / RUN)
    many_runs.finish(project, [project / RUN], track=True)


def larger_peak(project):
    change(project / RUN / "record.json", lambda record: record["environment"].update(processor="another"))
    of_record(peak_rss_bytes=2**40)(project)
    many_runs.finish(project, [project / RUN], track=True)


def other_spectrum(project):
    rewrite(
        project / RESULTS / "frod/spectrum.parquet",
        lambda table: table.assign(singular_values=[2 * values for values in table["singular_values"]]),
    )
    many_runs.finish(project, [project / RUN], track=False)


POSSIBLE: dict[str, Callable[[Path], None]] = {
    "seconds forged in history and record": whole_seconds,
    "a larger peak of memory, or another machine": larger_peak,
    "a spectrum with its report": other_spectrum,
}
