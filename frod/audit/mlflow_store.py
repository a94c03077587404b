"""The runs that an MLflow store holds, read without altering it: MLflow itself would make a store that is missing."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from frod.provenance import secrets, tracking
from frod.provenance.artefacts import first_line
from frod.provenance.tracking import LOCAL

PAGE = 500  # runs that one request asks for
TIMES = ("start", "end")


@dataclass
class Logged:
    """A run as MLflow has it."""

    id: str
    name: str | None = None
    """What the interface shows."""
    status: str | None = None
    """FINISHED, FAILED, RUNNING."""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each."""
    times: dict[str, int] = field(default_factory=dict)
    """Its start and end, in milliseconds since 1970."""
    deleted: bool = False
    """It is marked so there; MLflow keeps it until `mlflow gc`."""


def read(uri: str, experiment: str) -> list[Logged]:
    """Read the runs of an experiment, those that are marked as deleted, too.

    SQLite is read itself: a second for 1,000 runs, where MLflow takes half a minute.

    Raises
    ------
    ValueError
        One line: why the store or the experiment cannot be had.
    """
    if uri.startswith(LOCAL):
        return _from_database(Path(uri.removeprefix(LOCAL).partition("?")[0]), experiment)
    try:
        return _from_server(uri, experiment)
    except Exception as error:  # any failure of the mirror, of whatever library beneath it
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ValueError(secrets.removed_from(f"the store cannot be read ({reason})")) from None


def _from_database(path: Path, experiment: str) -> list[Logged]:
    if not path.is_file():
        raise ValueError(f"there is no {path}")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return _rows(database, path, experiment)
    except sqlite3.Error as error:
        raise ValueError(f"{path} cannot be read as a store of MLflow ({error})") from None


def _rows(database: sqlite3.Connection, path: Path, experiment: str) -> list[Logged]:
    named = database.execute("select experiment_id from experiments where name = ?", [experiment]).fetchone()
    if named is None:
        raise ValueError(f"{path} has no experiment {experiment}")
    of_run = "run_uuid, name, status, lifecycle_stage, start_time, end_time"
    all_of = f"select {of_run} from runs where experiment_id = ? order by start_time, run_uuid"
    found = {
        run: Logged(run, name, status, times=dict(zip(TIMES, times)), deleted=stage == "deleted")
        for run, name, status, stage, *times in database.execute(all_of, named)
    }

    def of(columns: str, table: str) -> Iterator[tuple]:
        ids = "select run_uuid from runs where experiment_id = ?"
        yield from database.execute(f"select run_uuid, {columns} from {table} where run_uuid in ({ids})", named)

    for table in ("tags", "params"):
        for run, key, value in of("key, value", table):
            getattr(found[run], table)[key] = value
    for run, key, value, is_nan in of("key, value, is_nan", "latest_metrics"):
        found[run].metrics[key] = math.nan if is_nan else value
    return list(found.values())


def _from_server(uri: str, experiment: str) -> list[Logged]:
    tracking.set_defaults()
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(tracking_uri=uri)
    named = client.get_experiment_by_name(experiment)
    if named is None:
        raise LookupError(f"it has no experiment {experiment}")
    found, token, more = [], None, True
    while more:
        page = client.search_runs([named.experiment_id], run_view_type=ViewType.ALL, max_results=PAGE, page_token=token)
        for run in page:
            info, data = run.info, run.data
            times = dict(zip(TIMES, (info.start_time, info.end_time)))
            deleted = info.lifecycle_stage == "deleted"
            first = (info.run_id, info.run_name, info.status)
            found.append(Logged(*first, data.tags, data.params, data.metrics, times, deleted))
        token = page.token
        more = bool(token)
    return found
