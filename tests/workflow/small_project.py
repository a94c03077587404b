"""A project of the same shape as this one with jobs of milliseconds: real dvc.yaml, real frod.provenance, toy jobs.

Each job writes what it was made from into its outputs: the parameters, the code's version and the content of its
inputs. So a wrong result can be told from a right one by reading it (`Project.is_right`), whatever the tools claim.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import forks

ROOT = Path(__file__).resolve().parents[2]

PARAMS = """\
suite: {suite}
paths: {{data: data, results: results, reports: reports}}
model: {{width: 1}}
split: {{seed: 0}}
basis: {{ridge: 1}}
training: {{lr: {lr}}}
"""

COMMAND = """\
import sys
from frod import work, {name}_algorithm

work.make(sys.argv[1:], {name}_algorithm.VERSION)
"""

WORK = '''
import hashlib
import json
import sys
from pathlib import Path


def content(path):
    """All of a file or a directory as text."""
    path = Path(path)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return "".join(file.read_text() for file in files if file.is_file() and not file.name.startswith("."))


def make(arguments, version):
    cut = arguments.index("--")
    spec, inputs, outputs = arguments[0], arguments[1:cut], arguments[cut + 1 :]
    seen = hashlib.sha256("".join(content(path) for path in inputs).encode()).hexdigest()
    text = json.dumps({"spec": spec, "version": version, "inputs": seen})
    for output in map(Path, outputs):
        if output.suffix:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text + "\\n")
            if output.name == "source.json":  # a file beside an output, as weights are
                (output.parent / "weights.bin").write_text(text)
        else:
            (output / "deep").mkdir(parents=True, exist_ok=True)
            (output / "manifest.json").write_text(text)
            (output / "deep" / "basis.bin").write_text(text + "basis")
    with open("made.log", "a") as log:
        log.write(outputs[0] + "\\n")
'''


class Project:
    """One checkout of the small project."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> "Project":
        """A git repository with DVC, an initial commit and nothing made yet."""
        project = cls(root)
        root.mkdir()
        for room in ("provenance", "pipeline"):
            shutil.copytree(ROOT / "frod" / room, root / "frod" / room, ignore=shutil.ignore_patterns("__*__"))
            (root / "frod" / room / "__init__.py").touch()
        (root / "frod" / "cli").mkdir()
        (root / "frod" / "__init__.py").touch()
        (root / "frod" / "cli" / "__init__.py").touch()
        (root / "frod" / "work.py").write_text(WORK)
        for name in ("data", "basis", "train", "report"):
            (root / "frod" / "cli" / f"{name}.py").write_text(COMMAND.format(name=name))
            (root / "frod" / f"{name}_algorithm.py").write_text("VERSION = 1  # of the algorithm\n")
        shutil.copy(Path(__file__).parent / "small_workflow.smk", root / "Snakefile")
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, root / name)
        with (root / ".gitignore").open("a") as ignored:
            ignored.write("/made.log\n")
        (root / "data" / "state").mkdir(parents=True)
        shutil.copy(ROOT / "data" / "state" / ".gitignore", root / "data" / "state")
        (root / "workflow" / "suites").mkdir(parents=True)
        (root / "workflow" / "suites" / "smoke.yaml").write_text("seeds: [0, 1]\n")
        (root / "workflow" / "suites" / "other.yaml").write_text("seeds: [5]\n")
        (root / "profiles" / "default").mkdir(parents=True)
        (root / "profiles" / "default" / "config.yaml").write_text(
            "cores: 2\nrerun-incomplete: true\nkeep-going: true\n"
        )
        (root / "docs").mkdir()
        (root / "docs" / "note.txt").write_text("one\n")
        project.set_params()
        project.run("git", "init", "-b", "main")
        project.run("git", "config", "user.name", "test")
        project.run("git", "config", "user.email", "test@example.org")
        (root / ".dvc").mkdir()
        for name in ("config", ".gitignore"):
            shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
        project.commit("the project")
        return project

    def clone(self, root: Path) -> "Project":
        """A git clone that shares nothing but the DVC remote."""
        self.run("git", "clone", str(self.root), str(root))
        other = Project(root)
        other.run("git", "config", "user.name", "test")
        other.run("git", "config", "user.email", "test@example.org")
        return other

    def set_params(self, suite: str = "smoke", lr: float = 1) -> None:
        """Write params.yaml."""
        (self.root / "params.yaml").write_text(PARAMS.format(suite=suite, lr=lr))

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text in a file."""
        text = (self.root / name).read_text()
        assert old in text, (name, old, text)
        (self.root / name).write_text(text.replace(old, new))

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command here, check whether it fails as expected, and return all it prints."""
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("DVC_", "GIT_", "SNAKEMAKE_"))
        }
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        environment |= {"DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        done = forks.run([*command], self.root, environment)
        assert (done.returncode != 0) == fails, f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}"
        return done.stdout

    def commit(self, message: str) -> None:
        """Commit everything in git."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)

    def made(self, *command: str) -> list[str]:
        """First outputs of the jobs that a command ran, sorted."""
        log = self.root / "made.log"
        log.unlink(missing_ok=True)
        self.run(*command)
        return sorted(log.read_text().splitlines()) if log.exists() else []

    def nothing_to_do(self, *targets: str) -> bool:
        """Whether Snakemake finds all up to date."""
        return "Nothing to be done" in self.run("snakemake", "-n", *targets)

    def lr_of(self, suite: str = "smoke", seed: int = 0) -> float:
        """The rate that a run was really made with."""
        path = self.root / "results" / suite / "digits" / "vit" / "frod" / f"seed-{seed}" / "record.json"
        return json.loads(json.loads(path.read_text())["spec"])["lr"]

    def version_of(self, path: str) -> int:
        """The version of the algorithm that an output was really made with."""
        return json.loads((self.root / path).read_text().splitlines()[0])["version"]
