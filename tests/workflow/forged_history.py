"""What a forger does to git's history, to MLflow's store and to DVC's, around a finished project."""

import json
import os
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import many_runs
import pandas as pd
import yaml
from alterations import RESULTS, RUN, change

PUBLISHED = Path("reports/published/tiny/results.csv")
ROW = "(select run_uuid from tags where key = 'frod.run' and value like ?)"


def git(project, *arguments, **dates):
    """Git's output; its dates are those that a forger gives it."""
    environment = (
        os.environ
        | {"GIT_CONFIG_GLOBAL": "/dev/null"}
        | {f"GIT_{who.upper()}_DATE": when for who, when in dates.items()}
    )
    command = ["git", *many_runs.AUTHOR, *arguments]
    return subprocess.run(
        command, cwd=project, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(project, **dates):
    """Commit all that is here; returns the commit."""
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "--message=forged", **dates)
    return git(project, "rev-parse", "HEAD")


def unreached(project):
    return git(project, "commit-tree", "-p", "HEAD", "-m", "forged", "HEAD^{tree}", **at(hours=-1))


def at(**before):
    """Both of a commit's dates, before or after now."""
    when = (datetime.now(UTC) + timedelta(**before)).isoformat()
    return {"author": when, "committer": when}


def before_the_runs(project):
    """Both dates a second before the first run: later than what the commit stands on."""
    starts = [json.loads(path.read_text())["started"] for path in (project / RESULTS).glob("*/seed-*/record.json")]
    when = (datetime.fromisoformat(min(starts)) - timedelta(milliseconds=1)).replace(microsecond=0).isoformat()
    return {"author": when, "committer": when}


def recoded(project, **code):
    """What all records say of their code."""
    for path in (project / RESULTS).glob("*/seed-*/record.json"):
        change(path, lambda record: record["code"].update(code))


def in_store(project, statement, *values):
    with sqlite3.connect(project / "mlflow.db") as database:
        assert database.execute(statement, values).rowcount > 0, statement


def published(project, code=None, seed=7):
    """A report that git had once says that there was a run."""
    row = {
        "task": "task_0",
        "backbone": "digit_vit",
        "method": "frod",
        "seed": seed,
        "primary": "accuracy",
        "test": 0.1,
    }
    of = json.loads((project / RUN / "record.json").read_text())["code"]["hash"]
    (project / PUBLISHED).parent.mkdir(parents=True)
    pd.DataFrame([row | {"code_hash": code or of}]).to_csv(project / PUBLISHED, index=False)
    commit(project)
    shutil.rmtree((project / PUBLISHED).parent)
    commit(project)


def locked(project, seed=7):
    """A dvc.lock that git had once lists a folder in which there was a run; the cache has what was in it."""
    record = json.loads((project / RUN / "record.json").read_text())
    listing = [{"relpath": f"task_0/digit_vit/frod/seed-{seed}/record.json", "md5": "2" * 32}]
    for md5, content in (("1" * 32 + ".dir", listing), ("2" * 32, record)):
        path = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    out = {"path": "results/tiny", "md5": "1" * 32 + ".dir"}
    (project / "dvc.lock").write_text(yaml.safe_dump({"stages": {"runs": {"outs": [out]}}}))
    commit(project)
    (project / "dvc.lock").unlink()
    commit(project)


def trained(key, of="tiny/task_0/digit_vit/frod/seed-0"):
    """MLflow has a training that was deleted there, with the figures of another."""

    def alter(project):
        with sqlite3.connect(project / "mlflow.db") as database:
            new = {"run_uuid": "'other'", "lifecycle_stage": "'deleted'"}
            for table in ("runs", "latest_metrics"):
                columns = [row[1] for row in database.execute(f"pragma table_info({table})")]
                copied = ", ".join(new.get(name, name) for name in columns)
                database.execute(f"insert into {table} select {copied} from {table} where run_uuid = {ROW}", [of])
            tags = {"frod.run": key, "frod.record": "another"}
            database.executemany("insert into tags (key, value, run_uuid) values (?, ?, 'other')", tags.items())

    return alter
