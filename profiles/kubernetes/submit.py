"""Submit a job script of Snakemake as a Job of Kubernetes, made from job.yaml next to this; print its name."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

GPU = "nvidia.com/gpu"
PROPERTIES = "# properties = "


def main(script: Path) -> None:
    """Snakemake writes what a job asks for into a comment of its script."""
    line = next(line for line in script.read_text("utf-8").splitlines() if line.startswith(PROPERTIES))
    job = filled(
        yaml.safe_load(Path(__file__).with_name("job.yaml").read_text("utf-8")), json.loads(line[len(PROPERTIES) :])
    )
    job["spec"]["template"]["spec"]["containers"][0] |= {"command": ["sh", str(script)], "workingDir": str(Path.cwd())}
    command = ["kubectl", "create", "-f", "-", "-o", "jsonpath={.metadata.name}"]
    print(subprocess.run(command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True).stdout)


def filled(job: dict, properties: dict) -> dict:
    """Put a job's name, time and resources into the template."""
    resources = properties["resources"]
    name = properties.get("rule") or properties["groupid"]
    # The cluster adds a suffix of its own.
    job["metadata"]["generateName"] = "".join(c if c.isalnum() else "-" for c in f"frod-{name.lower()}-")
    job["spec"]["activeDeadlineSeconds"] = 60 * resources["runtime"]
    asked = {"cpu": str(properties["threads"]), "memory": f"{resources['mem_mb']}M"}
    if resources.get("gres"):
        asked[GPU] = resources["gres"].rpartition(":")[2]
    limits = {kind: amount for kind, amount in asked.items() if kind != "cpu"}
    job["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": asked, "limits": limits}
    return job


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
