"""Whatever befalls MLflow's store, the work goes on, the log says what to do, and `frod track` logs each run once."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import forks
import pytest
from by_hand import write_run
from closed_disks import small_disk, without_rights
from holds import Hold

from frod.provenance import tracking

RUNS = 3
TRACK = [sys.executable, "-m", "frod", "track", "results/tiny"]


@pytest.fixture
def folder(tmp_path):
    """Three finished runs, without a store."""
    for seed in range(RUNS):
        write_run(tmp_path / "results", "frod", seed, suite="tiny")
    return tmp_path


@pytest.fixture(scope="module")
def new_store(tmp_path_factory):
    """An empty SQLite store: making its tables takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").create_experiment("tiny")
    return path


def environment():
    """In which the store is the default: one in the folder."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "FROD_"))}


def logged(uri):
    """Runs that are not deleted, by key, with their states; a key that is there twice is an error."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    states = {run.data.tags["frod.run"]: run.info.status for run in found}
    assert len(states) == len(found)
    return states


ALL = {f"tiny/digits/digit_vit/frod/seed-{seed}": "FINISHED" for seed in range(RUNS)}


@pytest.fixture
def log(folder, monkeypatch):
    """Log the runs in this process, which has imported MLflow already; whether it went well."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("FROD_TRACKING", raising=False)

    def logs(uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return tracking.log_or_say([Path(f"results/{run}") for run in ALL], "tiny")

    return logs


def check_said(said, *words):
    assert "The files are whole" in said and "frod track results/tiny" in said
    assert all(word in said for word in words), said


def test_a_store_that_another_program_holds(folder, new_store, log, capsys):
    shutil.copy(new_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with sqlite3.connect(folder / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert not log(uri)
        check_said(capsys.readouterr().err, "database is locked")
        other.execute("ROLLBACK")
    assert log(uri) and logged(uri) == ALL


def test_a_store_on_a_full_disk(folder, new_store, log, capsys):
    (folder / "disk").mkdir()
    with small_disk(folder / "disk", megabytes=4) as disk:
        if disk is None:
            pytest.skip("no right to mount a small disk")
        shutil.copy(new_store, disk / "mlflow.db")
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        uri = f"sqlite:///{disk / 'mlflow.db'}"
        assert not log(uri)
        check_said(capsys.readouterr().err, "disk")
        (disk / "ballast").unlink()
        assert log(uri) and logged(uri) == ALL


def test_a_store_that_may_not_be_written_to(folder, new_store, log):
    shutil.copy(new_store, folder / "mlflow.db")
    for path in (folder / "mlflow.db", folder):
        path.chmod(0o555)
    there = {"cwd": folder, "env": environment()}
    done = subprocess.run(without_rights(TRACK), **there, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    check_said(done.stderr)
    for path in (folder / "mlflow.db", folder):
        path.chmod(0o755)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    assert log(uri) and logged(uri) == ALL


def test_a_store_that_was_cut_off(folder, new_store, log, capsys):
    store = folder / "mlflow.db"
    store.write_bytes(new_store.read_bytes()[: new_store.stat().st_size // 2])
    assert not log(f"sqlite:///{store}")
    check_said(capsys.readouterr().err, "move the damaged database aside")
    store.rename(folder / "damaged.db")
    assert forks.run(["python", *TRACK[1:]], folder, environment()).returncode == 0
    # By another name: MLflow keeps what it has opened in this process, the damaged one, under the first.
    assert logged(f"sqlite:///{folder}/./mlflow.db") == ALL


def test_a_server_that_is_killed_in_the_middle(folder, new_store, log, tmp_path_factory):
    """Killed when half of the first run is there; afterwards each is there once, and none is RUNNING."""
    shutil.copy(new_store, folder / "server.db")
    uri, server = serve(folder)
    hold = Hold(tmp_path_factory.mktemp("held") / "hold", "http.client.send", "runs/log-batch")  # of the made run
    around = hold.environment(os.environ | {"MLFLOW_TRACKING_URI": uri})
    logging = subprocess.Popen(TRACK, cwd=folder, env=around, stderr=subprocess.PIPE, text=True)
    try:
        hold.wait(logging)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    hold.release()
    said = logging.communicate()[1]
    assert logging.returncode == 1
    check_said(said)
    store = f"sqlite:///{folder / 'server.db'}"
    assert logged(store) == {"tiny/digits/digit_vit/frod/seed-0": "RUNNING"}
    assert log(store) and logged(store) == ALL


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
        "--port",
        port,
        "--workers",
        "1",
        *store,
    ]
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while True:
        assert server.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return f"http://127.0.0.1:{port}", server
        except OSError:
            time.sleep(0.1)
