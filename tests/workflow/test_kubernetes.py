"""The profile for Kubernetes without a cluster: a suite goes to its report by pods that share nothing but a store.

Jobs are submitted to an API of the tests' own, which runs each one's command in an empty folder on this machine. The
stores are a folder, and moto's S3 on the loopback address.
"""

import json
import shutil

import boto3
import numpy as np
import pods_on_loopback
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image
from projects import checkout

# A minute of a processor each, of which most is Snakemake's reading of the workflow, three times a job.
pytestmark = pytest.mark.timeout(2400)

SUITE = """\
title: Pictures
description: One task of own pictures, one method, two trials.
rates_chosen: by hand, for tests
seeds: [0]
training: { epochs: 1, batch_size: 8 }
tasks:
  pictures:
    title: Pictures
    kind: images
    licence: CC0-1.0
    source: { path: mine/pictures }
    classes: 2
    train: { from: train }
    validation: { from: train, rows: 8 }
    test: { from: test }
    metrics: [accuracy]
methods: { frod: { kind: frod, sparse_rate: 0.02 } }
experiments:
  - tasks: [pictures]
    backbone: digit_vit
    grid:
      frod:
        - { lr_scale: 1.0e-6, lr_rotation: 1.0e-6, lr_head: 1.0e-6 }
        - { lr_scale: 1.0e-2, lr_rotation: 6.0e-3, lr_head: 1.0e-3 }
"""
RUN = "results/tiny/pictures/digit_vit/frod/seed-0"
BUCKET = "study"


class Folder:
    """A store that is a folder, which all pods see."""

    def __init__(self, folder):
        self.folder = folder
        self.options = ["--default-storage-provider", "fs", "--default-storage-prefix", folder]
        self.environment = {}

    def put(self, source):
        shutil.copytree(source, self.folder, dirs_exist_ok=True)

    def bring(self, target):
        shutil.copytree(self.folder, target, dirs_exist_ok=True)


class Bucket:
    """A store that is a server of S3's protocol."""

    def __init__(self, url):
        prefix = f"s3://{BUCKET}/one"
        self.options = ["--default-storage-provider", "s3", "--default-storage-prefix", prefix]
        self.options += ["--storage-s3-endpoint-url", url]
        self.environment = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "key", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret"}
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self._bucket = boto3.resource("s3", endpoint_url=url, **keys).create_bucket(Bucket=BUCKET)

    def put(self, source):
        for path in filter(lambda path: path.is_file(), source.rglob("*")):
            self._bucket.upload_file(str(path), f"one/{path.relative_to(source).as_posix()}")

    def bring(self, target):
        for item in self._bucket.objects.all():
            path = target / item.key.removeprefix("one/")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._bucket.download_file(item.key, str(path))


@pytest.fixture(scope="module", params=["fs", "s3"])
def store(request, tmp_path_factory):
    if request.param == "fs":
        if shutil.which("rsync") is None:
            pytest.skip("rsync, with which Snakemake's plugin copies files, is not installed")
        yield Folder(tmp_path_factory.mktemp("store"))
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield Bucket("http://{}:{}".format(*server.get_host_and_port()))
    server.stop()


def draw(folder):
    """The task's pictures, the same ones each time."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 8)):
        for label, name in enumerate(("dark", "light")):
            place = folder / "mine/pictures" / split / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(128 * label, 128 * label + 128, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")


@pytest.fixture(scope="module")
def without_pods(tmp_path_factory):
    """A clone that has made the run on this machine: once, whatever the store."""
    top = tmp_path_factory.mktemp("local")
    project = checkout(top / "project", top / "cache", SUITE)
    draw(project.folder)
    project.snakemake(f"{RUN}/record.json")
    return project


@pytest.fixture(scope="module")
def through_pods(store, tmp_path_factory):
    """A fresh clone whose suite has gone through pods to its report, and what the store then has."""
    top = tmp_path_factory.mktemp("pods")
    draw(top / "own")
    store.put(top / "own")
    project = checkout(top / "project", top / "cache", SUITE)
    project.edit("params.yaml", "  gpu: 0", "  gpu: 1")
    project.ask_often()
    project.start()
    with pods_on_loopback.Cluster(top / "pods") as cluster:
        project.submit = lambda *words, **how: submit(project, store, cluster, *words, **how)
        project.submit()
        project.cluster = cluster
        store.bring(top / "brought")
        project.brought = top / "brought"
        yield project


def submit(project, store, cluster, *words, status=0, **environment):
    """Run Snakemake with the profile, but for its patience."""
    profile = ["--workflow-profile", "profiles/kubernetes", "--latency-wait", "5"]
    command = ["snakemake", *profile, *store.options, *words]
    environment |= store.environment | {"HOME": str(cluster.folder)}
    done = project.run(*command, check=False, **environment)
    assert done.returncode == status, f"{done.stdout}\n{cluster.said()}"
    return done.stdout


def test_the_suite_goes_through_pods_to_its_report(through_pods):
    brought = through_pods.brought
    assert "frod" in (brought / "reports/tiny/index.html").read_text()
    assert len(list((brought / "reports/tiny/figures").iterdir())) > 0
    assert len(through_pods.cluster.jobs) == 7  # model, task, basis, two trials, a training, a spectrum
    assert "Nothing to be done" in through_pods.submit("--dry-run")


def test_nothing_is_left_in_the_clone(through_pods):
    here = through_pods.path("")
    assert not [
        name for name in ("data/models", "data/tasks", "data/bases", "results", "reports") if (here / name).exists()
    ]
    assert (here / "mlflow.db").exists()


def test_dvc_does_not_record_what_lies_elsewhere(through_pods):
    said = through_pods.submit("--dry-run", status=1, DVC_STAGE="data")
    assert "--default-storage-provider: DVC keeps files that lie in the project; leave it out" in said


def test_files_have_the_names_of_a_study_wherever_they_were_made(through_pods):
    record = json.loads((through_pods.brought / RUN / "record.json").read_text())
    assert {name.partition("/")[0] for name in {**record["inputs"], **record["outputs"]}} == {"data", "results"}
    for name in {**record["inputs"], **record["outputs"]}:
        assert (through_pods.brought / name).is_file(), name
    report = json.loads((through_pods.brought / "reports/tiny/report.json").read_text())
    assert f"{RUN}/history.parquet" in report["inputs"]


def test_the_digits_are_those_of_a_run_without_pods(through_pods, without_pods):
    for name in ("adapter.safetensors", "predictions.parquet"):
        assert (without_pods.path(RUN) / name).read_bytes() == (through_pods.brought / RUN / name).read_bytes()


def test_each_pod_asks_for_what_the_parameters_say(through_pods):
    pods = {}
    for job in through_pods.cluster.jobs.values():
        (pod,) = job["spec"]["template"]["spec"]["containers"]
        rule = pod["args"][1].partition("--allowed-rules ")[2].partition(" ")[0]
        pods[rule] = pod
    assert pods.keys() == {"backbone", "task", "basis", "trial", "train", "spectrum"}
    assert {pod["image"] for pod in pods.values()} == {"registry.example.org/frod:latest"}
    limits = pods["train"]["resources"]["limits"]
    assert (limits["cpu"], limits["memory"], limits["nvidia.com/gpu"]) == ("1000m", "4000M", "1")
    assert "nvidia.com/gpu" not in pods["task"]["resources"]["limits"]
