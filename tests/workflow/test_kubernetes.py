"""The profile for Kubernetes without a cluster: what it submits, to a kubectl that runs each Job's command here."""

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

PROFILE = Path(__file__).parents[2] / "profiles" / "kubernetes"
KUBECTL = """\
#!{python}
# Jobs are folders next to this file: what was submitted, and the exit status when it has ended.
import json, subprocess, sys
from pathlib import Path

jobs, arguments = Path(__file__).parent / "jobs", sys.argv[1:]
if arguments[:3] == ["create", "-f", "-"]:
    job = json.load(sys.stdin)
    name = job["metadata"]["generateName"] + str(len(list(jobs.iterdir())))
    (jobs / name).mkdir()
    (jobs / name / "job.json").write_text(json.dumps(job))
    container = job["spec"]["template"]["spec"]["containers"][0]
    script, folder = container["command"][1], container["workingDir"]
    run = f"(cd {{folder}} && sh {{script}}) > out.txt 2>&1; echo $? > ended; mv ended status"
    subprocess.Popen(["sh", "-c", run], cwd=jobs / name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(name, end="")
elif arguments[:2] == ["get", "job"]:
    status = jobs / arguments[2] / "status"
    state = "" if not status.exists() else "Complete" if status.read_text() == "0\\n" else "Failed"
    print(arguments[2] + ":" + state)
else:
    sys.exit(f"unknown: {{arguments}}")
"""


@pytest.fixture
def kubectl(tmp_path):
    """A folder for PATH with a kubectl; its Jobs lie in jobs/."""
    (tmp_path / "bin" / "jobs").mkdir(parents=True)
    program = tmp_path / "bin" / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable))
    program.chmod(0o755)
    return program.parent


@pytest.fixture
def submit():
    spec = importlib.util.spec_from_file_location("submit", PROFILE / "submit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_job_is_submitted_and_its_end_is_seen(finished, kubectl):
    shutil.rmtree(finished.path("data/tasks"))
    path = f"{kubectl}{os.pathsep}{finished.environment()['PATH']}"
    quick = ["--seconds-between-status-checks", "1"]
    target = "data/tasks/digits/digit_vit/manifest.json"
    finished.run("snakemake", "--workflow-profile", "profiles/kubernetes", *quick, target, PATH=path)
    assert finished.path(target).exists()
    (name,) = [folder.name for folder in (kubectl / "jobs").iterdir()]
    assert name.startswith("frod-task-")
    job = json.loads((kubectl / "jobs" / name / "job.json").read_text())
    asked = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert asked == {"requests": {"cpu": "1", "memory": "4000M"}, "limits": {"memory": "4000M"}}
    assert job["spec"]["activeDeadlineSeconds"] == 240 * 60


@pytest.mark.parametrize(("gres", "gpus"), [("gpu:1", "1"), ("gpu:a100:4", "4")])
def test_gpus_are_those_of_the_parameters_once_for_trainings_that_share_one(submit, gres, gpus):
    resources = {"mem_mb": 8000, "runtime": 10, "gres": gres, "gpu": 0}
    properties = {"type": "group", "groupid": "train-digits-digit_vit-frod", "threads": 2, "resources": resources}
    job = submit.filled(yaml.safe_load((PROFILE / "job.yaml").read_text()), properties)
    asked = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert asked["limits"] == {"memory": "8000M", "nvidia.com/gpu": gpus}
    assert asked["requests"] == asked["limits"] | {"cpu": "2"}
    assert job["metadata"]["generateName"] == "frod-train-digits-digit-vit-frod-"


def test_the_pods_are_valid_documents_and_mount_one_volume():
    """Snakemake's pod and the Jobs' must see the clone under the same path."""
    *_, head = yaml.safe_load_all((PROFILE / "head.yaml").read_text())
    job = yaml.safe_load((PROFILE / "job.yaml").read_text())["spec"]["template"]["spec"]
    mounts = [pod["containers"][0]["volumeMounts"][0] for pod in (head["spec"], job)]
    claims = [pod["volumes"][0] for pod in (head["spec"], job)]
    images = [pod["containers"][0]["image"] for pod in (head["spec"], job)]
    assert mounts[0] == mounts[1]
    assert claims[0] == claims[1]
    assert images[0] == images[1]
