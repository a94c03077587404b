"""A project of the same shape as this one with jobs of milliseconds: real dvc.yaml, real frod.provenance, toy jobs.

Each job writes what it was made from into its outputs: the parameters, the code's version and the content of its
inputs. So a wrong result can be told from a right one by reading it (`Project.is_right`), whatever the tools claim.
"""

import json
import shutil
from pathlib import Path

from projects import ROOT, Project

PARAMS = """\
suite: smoke
paths: {{data: data, results: results, reports: reports, own: mine}}
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
        else:
            (output / "deep").mkdir(parents=True, exist_ok=True)
            (output / "manifest.json").write_text(text)
            (output / "deep" / "basis.bin").write_text(text + "basis")
    with open("made.log", "a") as log:
        log.write(outputs[0] + "\\n")
'''


class SmallProject(Project):
    """One checkout of the small project."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder / "cache")

    @classmethod
    def create(cls, folder: Path) -> "SmallProject":
        """A git repository with DVC, an initial commit and nothing made yet."""
        project = cls(folder)
        for room in ("provenance", "pipeline"):
            shutil.copytree(ROOT / "frod" / room, folder / "frod" / room, ignore=shutil.ignore_patterns("__*__"))
        for room in ("", "provenance", "pipeline", "cli"):
            project.write(f"frod/{room}/__init__.py", "")
        project.write("frod/work.py", WORK)
        for name in ("data", "basis", "train", "report"):
            project.write(f"frod/cli/{name}.py", COMMAND.format(name=name))
            project.write(f"frod/{name}_algorithm.py", "VERSION = 1  # of the algorithm\n")
        for name in ("dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/.gitignore", "data/state/.gitignore"):
            project.write(name, (ROOT / name).read_text())
        project.write(".gitignore", (ROOT / ".gitignore").read_text() + "/made.log\n")
        project.write("Snakefile", Path(__file__).with_name("small_workflow.smk").read_text())
        project.write("workflow/suites/smoke.yaml", "seeds: [0, 1]\n")
        project.write("profiles/default/config.yaml", "cores: 2\nrerun-incomplete: true\nkeep-going: true\n")
        project.write("docs/note.txt", "one\n")
        project.write("mine/note.txt", "one\n")
        project.set_params()
        project.run("git", "init", "-b", "main")
        project.run("git", "config", "user.name", "test")  # for DVC's experiments
        project.run("git", "config", "user.email", "test@example.org")
        project.commit("the project")
        return project

    def clone(self, folder: Path) -> "SmallProject":
        """A git clone that shares nothing but the DVC remote."""
        self.run("git", "clone", self.folder, folder)
        return SmallProject(folder)

    def write(self, name: str, text: str) -> None:
        """Write a file, and the folders above it."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def set_params(self, lr: float = 1) -> None:
        """Write params.yaml."""
        self.write("params.yaml", PARAMS.format(lr=lr))

    def run(self, *command: object, fails: bool = False) -> str:
        """Run a command here, check whether it fails as expected, and return all it prints."""
        done = super().run(*command, check=False)
        assert (done.returncode != 0) == fails, f"{command}: exit status {done.returncode}\n{done.stdout}"
        return done.stdout

    def git(self, *arguments: str) -> str:
        """Git's output."""
        return self.run("git", *arguments)

    def made(self, *command: str) -> list[str]:
        """First outputs of the jobs that a command ran, sorted."""
        log = self.folder / "made.log"
        log.unlink(missing_ok=True)
        self.run(*command)
        return sorted(log.read_text().splitlines()) if log.exists() else []

    def nothing_to_do(self, *targets: str) -> bool:
        """Whether Snakemake finds all up to date."""
        return "Nothing to be done" in self.run("snakemake", "-n", *targets)

    def lr_of(self, seed: int = 0) -> float:
        """The rate that a run was really made with."""
        record = json.loads(self.path(f"results/smoke/digits/vit/frod/seed-{seed}/record.json").read_text())
        return json.loads(record["spec"])["lr"]

    def version_of(self, path: str) -> int:
        """The version of the algorithm that an output was really made with."""
        return json.loads((self.folder / path).read_text().splitlines()[0])["version"]
