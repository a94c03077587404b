"""Forgeries of the suite and what is around the runs, with what an audit has to print; those that stay possible.

`NOTED`: what an author may do, and a reader has to be told.
"""

import json
import shutil
from pathlib import Path

import many_runs
import pandas as pd
import yaml
from alterations import OTHER, REPORT, RESULTS, RUN, change
from forged_history import (
    PUBLISHED,
    ROW,
    at,
    before_the_runs,
    commit,
    git,
    in_store,
    locked,
    published,
    recoded,
    trained,
    unreached,
)

SUITE = Path("workflow/suites/tiny.yaml")
WHERE = f"params.yaml, {SUITE}"
PROBE = f"{RESULTS}/linear_probe"
FIRST = f"{RESULTS}/full_ft/seed-0/record.json"  # in the suite's order
TRIAL = "tiny/task_0/digit_vit/frod/tune/trial"
GONE = "the suite does not plan it, and "


def edit(project, alter, path=SUITE):
    """Rewrite a YAML file."""
    content = yaml.safe_load((project / path).read_text())
    alter(content)
    (project / path).write_text(yaml.safe_dump(content, sort_keys=False))


def said(**fields):
    """The suite says something else, is committed, and the report is made again, as the workflow would."""

    def alter(project):
        edit(project, lambda suite: suite.update(fields))
        commit(project)
        many_runs.finish(project, [], track=False)

    return alter


def within(alter, path=SUITE):
    """The same, where more than a field is set."""

    def altered(project):
        edit(project, alter, path)
        commit(project)
        many_runs.finish(project, [], track=False)

    return altered


def named(make, again=False):
    """The records name a commit that is made for them; `again`: table and report are made again, too."""

    def alter(project):
        recoded(project, git_commit=make(project))
        if again:
            many_runs.finish(project, [], track=False)

    return alter


def without_seed(project):
    edit(project, lambda suite: suite.update(seeds=[0]))
    for folder in (project / RESULTS).glob("*/seed-1"):
        shutil.rmtree(folder)
    for path in [*(project / RESULTS).glob("*/spectrum.parquet"), *(project / RESULTS).glob("*/sharpness.parquet")]:
        table = pd.read_parquet(path)
        table[table["seed"] == 0].to_parquet(path, index=False)


def without_probe(project):
    def alter(suite):
        del suite["methods"]["linear_probe"]
        for table in ("rates", "grid"):
            del suite["experiments"][0][table]["linear_probe"]

    edit(project, alter)
    shutil.rmtree(project / PROBE)


def left_out(leave, pattern, stage="deleted"):
    """Runs are left out; the others name a new commit, and MLflow marks what is gone as deleted."""

    def alter(project):
        leave(project)
        recoded(project, git_commit=commit(project, **before_the_runs(project)))
        many_runs.finish(project, [], track=True)
        in_store(project, f"update runs set lifecycle_stage = ? where run_uuid in {ROW}", stage, pattern)

    return alter


def gone_for_good(project):
    """The same without a row in MLflow: `mlflow gc`."""
    left_out(without_seed, "%/seed-1")(project)
    for table in ("latest_metrics", "params", "tags"):
        in_store(
            project,
            f"delete from {table} where run_uuid in (select run_uuid from runs where lifecycle_stage = 'deleted')",
        )


def dated_back(project):
    """What the suite says is changed after the runs, in a commit that says it was made before them."""
    edit(project, lambda suite: suite.update(margin=20))
    recoded(project, git_commit=commit(project, **before_the_runs(project)))
    many_runs.finish(project, [], track=True)


def one_commit(project):
    """Git's history is one commit, made after all."""
    edit(project, lambda suite: suite.update(margin=20))
    shutil.rmtree(project / ".git")
    git(project, "init", "--quiet")
    recoded(project, git_commit=commit(project, **at(days=-365)))
    many_runs.finish(project, [], track=True)


def edited(project, **fields):
    """The checkout had edited files, whose suite no commit has."""
    edit(project, lambda suite: suite.update(fields))
    recoded(project, git_dirty=True)


def of_no_commit(project):
    recoded(project, git_commit=None, git_dirty=None)
    many_runs.finish(project, [], track=False)


def lost_changes(project):
    said(margin=20)(project)
    change(project / REPORT / "report.json", lambda report: report["since_first_run"].update(changes=[]))


def hidden_changes(project):
    said(title="Better")(project)
    change(project / REPORT / "report.json", lambda report: report["since_first_run"].update(commit="1" * 40))


def turned(suite):
    suite["methods"] = dict(reversed(suite["methods"].items()))


def replaced(project):
    """Git is told to take a commit with another margin for the one that the runs name."""
    runs = json.loads((project / RUN / "record.json").read_text())["code"]["git_commit"]
    said(margin=20)(project)
    git(project, "replace", runs, "HEAD")


def filtered(project):
    """Git is told to alter the suite when it takes it out of any commit."""
    said(margin=20)(project)
    (project / ".git/info").mkdir(exist_ok=True)
    (project / ".git/info/attributes").write_text(f"{SUITE} filter=forged export-subst\n")
    git(project, "config", "filter.forged.smudge", "sed '$ a margin: 20'")


def committed_then_changed(project):
    """Runs of files that nobody had committed; these are, and then the margin is another."""
    start = git(project, "rev-list", "--max-parents=0", "HEAD").splitlines()[-1]
    recoded(project, git_commit=start, git_dirty=True)
    said(margin=20)(project)


ALTERED = {
    "a wider margin": (said(margin=20), [f"{WHERE}: margin, by commit "]),
    "a commit put in another's place": (replaced, [f"{WHERE}: margin, by commit "]),
    "a filter that alters what commits have": (filtered, [f"{WHERE}: margin, by commit "]),
    "a margin changed after the files of edited runs were committed": (
        committed_then_changed,
        [f"{WHERE}: margin, by commit "],
    ),
    "a wider margin that is not committed": (
        lambda project: edit(project, lambda suite: suite.update(margin=20)),
        [f"{WHERE}: margin, by commit ", f"{REPORT}/claims.json: does not follow from the runs' files: "],
    ),
    "a margin that runs of edited files were not made by": (
        lambda project: edited(project, margin=20),
        [f"{FIRST}: code and suite, as of 5 more runs: edited since commit "],
    ),
    "other numerics": (
        within(lambda params: params.update(numerics="native"), "params.yaml"),
        [f"{WHERE}: params.numerics, by commit ", f"{RUN}/record.json: environment.numerics: "],
    ),
    "another metric of the suite's own task": (
        lambda project: edit(project, lambda suite: suite["tasks"]["task_0"].update(metrics=["f1"])),
        [f"{WHERE}: tasks.task_0.metrics, by commit "],
    ),
    "another sparse rate": (
        within(lambda suite: suite["methods"]["frod"].update(sparse_rate=0.5)),
        [f"{WHERE}: methods.frod.sparse_rate, by commit ", f"{RUN}/record.json: spec.adapter.sparse_rate: "],
    ),
    "a grid with a trial less": (
        within(lambda suite: [trials.pop() for trials in suite["experiments"][0]["grid"].values()]),
        [f"{WHERE}: experiments.0.grid.", f"{WHERE}: plans other runs than commit "],
    ),
    "a seed left out": (
        lambda project: (without_seed(project), commit(project), many_runs.finish(project, [], track=False)),
        [f"{WHERE}: seeds, by commit ", f"{WHERE}: plans other runs than commit ", "MLflow run "],
    ),
    "a seed left out, the others of a new commit": (
        left_out(without_seed, "%/seed-1"),
        [f"{OTHER}: {GONE}MLflow tells that this very code made it: expected nothing, found a run with test_accuracy"],
    ),
    "a method left out": (
        lambda project: (without_probe(project), commit(project), many_runs.finish(project, [], track=False)),
        [f"{WHERE}: methods.linear_probe, by commit ", "MLflow run "],
    ),
    "a method left out, the others of a new commit": (
        left_out(without_probe, "%/linear_probe/seed-%"),
        [f"{PROBE}/seed-0: {GONE}MLflow tells that this very code made it: expected nothing, found a run with test_"],
    ),
    "a run that a published report had": (published, [f"{RESULTS}/frod/seed-7: {GONE}{PUBLISHED} of commit "]),
    "a run that dvc.lock had": (locked, [f"{RESULTS}/frod/seed-7: {GONE}dvc.lock of commit "]),
    "a trial that the suite does not plan": (
        lambda project: in_store(
            project,
            f"update tags set value = '{TRIAL}-7-seed-100' where key = 'frod.run' and value = ?",
            f"{TRIAL}-1-seed-100",
        ),
        ["MLflow run ", f"MLflow {TRIAL}-1-seed-100: runs with this tag frod.run: expected 1, found 0"],
    ),
    "a commit that does not exist": (
        named(lambda project: "1" * 40),
        [f"{FIRST}: code.git_commit, code of 6 runs against git: expected commit 111111111111, found nothing"],
    ),
    "a report's commit that does not exist": (
        lambda project: change(
            project / REPORT / "report.json", lambda report: report["code"].update(git_commit="1" * 40)
        ),
        [f"{REPORT}/report.json: code.git_commit, the report's code and parameters against git: expected commit 111"],
    ),
    "a commit that no branch has": (
        named(unreached),
        [f"{FIRST}: code.git_commit: a clone does not get it: expected a branch"],
    ),
    "a commit made after the runs": (
        named(commit, again=True),
        [
            f"{RUN}/record.json: code.git_commit: younger than the run's start ",
            f"{OTHER}/record.json: code.git_commit: y",
        ],
    ),
    "a commit dated back, on one made after the runs": (
        named(lambda project: (commit(project), commit(project, **at(days=-9)))[1]),
        [f"{RUN}/record.json: code.git_commit: stands on "],
    ),
    "a commit whose committer's date alone is dated back": (
        named(lambda project: commit(project, committer=at(days=-9)["committer"])),
        [f"{RUN}/record.json: code.git_commit: younger than the run's start "],
    ),
    "records that name no commit": (of_no_commit, ["MLflow tiny/task_0/digit_vit/frod/seed-0 (run "]),
    "changes that the report keeps to itself": (
        lost_changes,
        [f"{REPORT}/report.json: since_first_run, by git.changes (length): expected 1, found 0"],
    ),
    "a task that is said to be missing": (
        lambda project: change(project / REPORT / "report.json", lambda report: report.update(skipped=["task_0"])),
        [f"{REPORT}/report.json: skipped, though skip_missing is false: expected [], found ['task_0']"],
    ),
    "changes since another commit": (
        hidden_changes,
        [f"{REPORT}/report.json: since_first_run, by git.commit: "],
    ),
}

NOTED = {
    "another title": (said(title="Better"), [f"{WHERE}: title is Better, and was Tiny at commit "]),
    "another description": (said(description="All well."), [f"{WHERE}: description is All well., and was One task"]),
    "a limit that is not stated any more": (
        said(rates_chosen="by chance"),
        [f"{WHERE}: rates_chosen is by chance, and"],
    ),
    "what it cannot show": (said(cannot_show=["x"]), [f"{WHERE}: cannot_show is ['x'], and was [] at commit "]),
    "another label": (
        within(lambda suite: suite["methods"]["frod"].update(label="The winner")),
        [f"{WHERE}: methods.frod.label is The winner, and was FRoD at commit "],
    ),
    "methods in another order": (within(turned), [f"{WHERE}: order of methods is ['linear_probe', "]),
    "seeds in another order": (said(seeds=[1, 0]), [f"{WHERE}: order of seeds is [1, 0], and was [0, 1] at commit "]),
    "a run that was trained twice": (
        trained("tiny/task_0/digit_vit/frod/seed-0"),
        ["MLflow has 1 training made more than once: task_0/digit_vit/frod/seed-0 ("],
    ),
    "a trial that is gone": (
        trained(f"{TRIAL}-7-seed-100", f"{TRIAL}-1-seed-100"),
        ["MLflow tells of runs that the suite does not plan: task_0/digit_vit/frod/tune/trial-7-seed-100 (validation_"],
    ),
    "a published run of other code": (
        lambda project: published(project, code="0" * 64),
        [f"{PUBLISHED} of commit "],
    ),
    "runs that the suite planned once": (
        lambda project: None,
        [f"{SUITE} has planned runs that it does not plan now, until commit "],
    ),
}

POSSIBLE = {
    "a commit dated back": dated_back,
    "a history of one commit": one_commit,
    "a seed that nothing tells of": gone_for_good,
}
