"""Whatever befalls MLflow's store, the work goes on, the log says what to do, and `frod track` logs each run once."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import pytest
from closed_disks import without_rights

from frod.files import write_json

RUNS = 3
TRACK = [sys.executable, "-m", "frod", "track", "results/tiny"]


@pytest.fixture
def folder(tmp_path):
    """Three finished runs, without a store."""
    for seed in range(RUNS):
        run = tmp_path / f"results/tiny/digits/vit/frod/seed-{seed}"
        run.mkdir(parents=True)
        record = {
            "run": {"suite": "tiny", "task": "digits", "backbone": "vit", "method": "frod", "seed": seed},
            "spec": {"rates": {"lr": 0.1}},
            "budget": {"steps": 2},
            "tuning": None,
            "code": {"hash": "c0de", "git_commit": None},
            "parameters": {"trainable": {"adapter": 3, "head": 2, "total": 5}, "base": 100},
            "resources": {"wall_seconds": 1.0},
            "inputs": {"data/tasks/digits/vit/manifest.json": "ab" * 32},
            "started": "2024-01-31T12:00:00+00:00",
            "finished": "2024-01-31T12:00:02+00:00",
        }
        write_json(run / "record.json", record)
        write_json(run / "metrics.json", {"metrics": {"test": {"accuracy": 0.75}}})
        history = {"step": [1, 2], "seconds": [0.5, 1.0], "loss": [2.0, 1.0]}
        pd.DataFrame(history).to_parquet(run / "history.parquet")
    return tmp_path


@pytest.fixture(scope="module")
def new_store(tmp_path_factory):
    """An empty SQLite store: making its tables takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").create_experiment("tiny")
    return path


def track(folder, *, command=TRACK, uri=None):
    """`frod track` in the folder, with the store that is the default there."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "FROD_"))}
    environment |= {"MLFLOW_TRACKING_URI": uri} if uri else {}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def logged(uri):
    """Runs that are not deleted, by key, with their states; a key that is there twice is an error."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    states = {run.data.tags["frod.run"]: run.info.status for run in found}
    assert len(states) == len(found)
    return states


ALL = {f"tiny/digits/vit/frod/seed-{seed}": "FINISHED" for seed in range(RUNS)}


def check_said(done, *words):
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "The files are whole" in done.stderr and "frod track results/tiny" in done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_a_store_that_another_program_holds(folder, new_store):
    shutil.copy(new_store, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        check_said(track(folder), "database is locked")
        other.execute("ROLLBACK")
    assert track(folder).returncode == 0 and logged(f"sqlite:///{folder / 'mlflow.db'}") == ALL


def test_a_store_that_may_not_be_written_to(folder, new_store):
    shutil.copy(new_store, folder / "mlflow.db")
    for path in (folder / "mlflow.db", folder):
        path.chmod(0o555)
    check_said(track(folder, command=without_rights(TRACK)))
    for path in (folder / "mlflow.db", folder):
        path.chmod(0o755)
    assert track(folder).returncode == 0 and logged(f"sqlite:///{folder / 'mlflow.db'}") == ALL


def test_a_store_that_was_cut_off(folder, new_store):
    store = folder / "mlflow.db"
    store.write_bytes(new_store.read_bytes()[: new_store.stat().st_size // 2])
    check_said(track(folder), "move the damaged database aside")
    store.rename(folder / "damaged.db")
    assert track(folder).returncode == 0 and logged(f"sqlite:///{store}") == ALL


def test_a_server_that_is_killed_in_the_middle(folder, new_store):
    """Killed when the first run is there and the last is not; afterwards each is there once, and none is RUNNING."""
    shutil.copy(new_store, folder / "server.db")
    uri, server = serve(folder)
    tracking = subprocess.Popen(
        TRACK, cwd=folder, env=os.environ | {"MLFLOW_TRACKING_URI": uri}, stderr=subprocess.PIPE, text=True
    )
    store = f"file:{folder / 'server.db'}?mode=ro"
    try:
        until = time.monotonic() + 120
        with sqlite3.connect(store, uri=True) as reader:
            while not reader.execute("SELECT count(*) FROM runs").fetchone()[0]:
                assert tracking.poll() is None and time.monotonic() < until
                time.sleep(0.005)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    said = tracking.communicate()[1]
    assert tracking.returncode == 1 and "frod track results/tiny" in said and "Traceback" not in said
    store = f"sqlite:///{folder / 'server.db'}"
    assert logged(store) != ALL
    uri, server = serve(folder)
    try:
        assert track(folder, uri=uri).returncode == 0
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    assert logged(store) == ALL


def serve(folder):
    """Start MLflow's server on a free port; its address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    store = ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--default-artifact-root", str(folder / "a")]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--workers",
        "1",
        *store,
    ]
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    until = time.monotonic() + 240
    while time.monotonic() < until:
        assert server.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return f"http://127.0.0.1:{port}", server
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server did not answer")
