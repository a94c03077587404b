"""Secrets of the environment, and those that someone writes into a file, are in nothing that is kept.

Each planted secret has the same word in it, so that one search through every byte that a run leaves finds any of them.
"""

import json
import shutil
import sys

import pytest
import yaml

from frod.provenance import mlflow_entries, records, secrets

WORD = "pl4" + "nted"  # in two, as a copy of this file lies in the project that is searched
RUN = "results/tiny/digits/digit_vit/linear_probe/seed-0"
ENVIRONMENT = {
    "HF_TOKEN": f"hf_{WORD}Token{'0' * 20}",
    "HF_ENDPOINT": f"http://user:{WORD}-endpoint@127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": f"AKIA{WORD}0000000001",
    "AWS_SECRET_ACCESS_KEY": f"{WORD}/aws+secret/0000",
    "AWS_SESSION_TOKEN": f"{WORD}-session",
    "GITHUB_TOKEN": f"ghp_{WORD}{'0' * 20}",
    "MLFLOW_TRACKING_URI": f"http://tracker:{WORD}%2Dtracking@127.0.0.1:9/path?token={WORD}-in-query",
    "MLFLOW_TRACKING_PASSWORD": f"{WORD}-password",
    "MLFLOW_TRACKING_TOKEN": f"{WORD}-token",
    "HTTPS_PROXY": f"http://proxy:{WORD}-proxy@127.0.0.1:9",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "NO_PROXY": "127.0.0.1",
}


def leaks(folder):
    """Every file below a folder that has the word in it."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [str(path.relative_to(folder)) for path in files if WORD.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def said(finished):
    """What the workflow and the commands print in an environment full of secrets; with errors of many kinds."""
    (finished.folder / RUN / "record.json").unlink()
    texts = {"workflow": finished.snakemake("--forcerun", "evaluate", **ENVIRONMENT)}
    commands = {
        "a hub that is not there": ["fetch", "--suite", "nlu", "--out", "mirror"],
        "a spec with an address": ["train", "--spec", json.dumps({"suite": ENVIRONMENT["HF_ENDPOINT"]})],
        "an error of the library": ["show", f"{RUN}/history.parquet"],
        "a run that is not there": ["params", "--run", ENVIRONMENT["MLFLOW_TRACKING_URI"]],
    }
    folders = ["--backbone", ".", "--task", ".", "--out", "x"]
    around = ENVIRONMENT | {"FROD_TRACEBACK": "1"}
    for name, command in commands.items():
        arguments = [*command, *(folders if command[0] == "train" else [])]
        # The address of the hub is read as its library is imported.
        program = [sys.executable, "-m", "frod"] if command[0] == "fetch" else ["frod"]
        done = finished.run(*program, *arguments, check=False, **around)
        assert done.returncode == 1, (name, done.stdout)
        texts[name] = done.stdout
    finished.run("frod", "crate", "reports/tiny", "--out", "tiny.zip", **ENVIRONMENT)
    return texts


def test_no_file_has_a_secret(finished, said):
    assert "training digits linear_probe seed 0" in said["workflow"], "nothing was trained among the secrets"
    logged = finished.path("logs/evaluate/tiny/digits/digit_vit/linear_probe.log").read_text()
    assert "tracking: not in MLflow" in logged, "the store with a password in its address was not asked"
    assert leaks(finished.folder) == []
    assert leaks(finished.cache) == []


def test_no_output_has_a_secret(said):
    assert {name: text for name, text in said.items() if WORD in text} == {}
    assert "Traceback" in said["an error of the library"], "no traceback was looked through"


def test_a_secret_in_the_parameters_is_refused_and_not_repeated(finished):
    """params.yaml is in git, and in the records of Snakemake and DVC: none would take a password out again."""
    params = yaml.safe_load(finished.path("params.yaml").read_text())
    uri = f"postgresql://me:{WORD}-database@localhost/mlflow"
    finished.path("secret.yaml").write_text(yaml.safe_dump(params | {"tracking": {"uri": uri}}))
    for command in (["snakemake", "-n", "--configfile", "secret.yaml"], ["frod", "params", "secret.yaml"]):
        done = finished.run(*command, check=False)
        assert done.returncode == 1
        assert "tracking.uri: holds a token, a password or an address with a user; such are kept in the" in done.stdout
        assert WORD not in done.stdout
    finished.path("secret.yaml").unlink()
    assert leaks(finished.folder) == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"postgresql://me:{WORD}@db/x?y=1", "postgresql://db/x?y=1"),
        (f"sqlite:////home/me/{'x'}.db", "sqlite:////home/me/x.db"),
        (f"s3://bucket/key?X-Amz-Signature={WORD}&a=1", "s3://bucket/key?X-Amz-Signature=(removed)&a=1"),
        (f"https://h/x?api_key={WORD}", "https://h/x?api_key=(removed)"),
        (f"no answer (url: /path?token={WORD}/api/2.0&name=x)", "no answer (url: /path?token=(removed)&name=x)"),
        (f"Authorization: Bearer {WORD}.{WORD}", "Authorization: Bearer (removed)"),
        (f"'authorization': 'Basic {WORD}=='", "'authorization': 'Basic (removed)'"),
        (f"hf_{WORD}{'A' * 20} and more", "(removed) and more"),
        ("a bearer of news, and a basic understanding", "a bearer of news, and a basic understanding"),
        ("https://medium.com/@someone/x", "https://medium.com/@someone/x"),
        ("query: token_type_ids=0", "query: token_type_ids=0"),
    ],
)
def test_secrets_are_known_by_their_form(monkeypatch, text, left):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    assert secrets.removed_from({"a": [text]}) == {"a": [left]}
    assert secrets.is_in(text) == (text != left)


def test_secrets_of_the_environment_are_known_wherever_they_stand(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    text = " ".join([*ENVIRONMENT.values(), f"user tracker, password {WORD}-tracking", f"{WORD}-proxy"])
    assert WORD not in secrets.removed_from(text)
    short = "ab"
    monkeypatch.setenv("SOME_TOKEN", short)
    assert secrets.removed_from("cab") == "cab", "two letters were cut out of a word"


def test_what_mlflow_is_told_comes_from_the_record_alone(finished, tmp_path):
    """So a record without secrets makes tags and parameters without."""
    record = records.read_record(finished.folder / RUN / "record.json")
    record["spec"] = record["spec"] | {"note": f"https://me:{WORD}@host/x", "password": WORD}
    record["inputs"] = dict.fromkeys(record["inputs"], "0" * 64)
    folder = shutil.copytree(finished.folder / RUN, tmp_path / "run")
    records.write_record(folder / "record.json", record)
    assert WORD not in repr(mlflow_entries.of_run(folder))
