"""A project whose warm process imports nothing heavy, and whose commands are made for these tests; all else is real."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

PACKAGE = Path(__file__).parents[2] / "frod"
DEADLINE = 60  # seconds, after which a test has failed
COMMANDS = '''\
"""The commands of these tests."""
import os, random, signal, subprocess, sys, time
import numpy
from frod.pipeline import workflows


def say(*values):
    print(*values, flush=True)


def main():
    workflows.end_with_workflow()
    command, *rest = sys.argv[1:]
    if command == "state":
        say("parent", os.getppid(), "warm" if "frod.pipeline.warm.server" in sys.modules else "cold")
    elif command == "report":
        print(sys.argv, os.getcwd(), os.environ.get("FROD_OWN"), sys.stdin.read())
        print(sys.modules["__main__"].__spec__.name)
        for i in range(3000):
            print("out", i, file=sys.stderr if i % 7 == 0 else sys.stdout)
    elif command == "exit":
        sys.exit({"none": None, "text": "a text"}[rest[0]] if rest[0] in ("none", "text") else int(rest[0]))
    elif command == "raise":
        raise RuntimeError("as it is")
    elif command == "end":
        os.kill(os.getpid(), int(rest[0]))
        time.sleep(60)
    elif command == "random":
        print(random.random(), numpy.random.rand())
    elif command == "unflushed":
        import atexit
        atexit.register(print, "at exit")
        sys.stdout.write("no line's end ")
    elif command == "wait":
        for name in rest:
            signal.signal(getattr(signal, name), lambda number, frame: say("got", number))
        below = subprocess.Popen(["sleep", "600"])
        say(os.getpid(), below.pid, "warm" if "frod.pipeline.warm.server" in sys.modules else "cold")
        while True:
            time.sleep(60)
'''
STARTING = """\
import sys, subprocess
from frod.pipeline.warm import start
process = start.start(jobs=9)
print(process.pid if process else "none", start.os.environ.get("FROD_WARM"), flush=True)
sys.stdin.read()
"""


class Warm:
    """A workflow, played by a process that starts the warm one, and jobs in its folder."""

    def __init__(self, folder):
        self.folder = folder
        self.own = tempfile.TemporaryDirectory(prefix="w")  # not in pytest's: a socket's path has 107 characters
        self.temporary = Path(self.own.name)
        shutil.copytree(PACKAGE, folder / "frod", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "frod/cli/main.py").write_text(COMMANDS)
        self.edit(
            "frod/pipeline/warm/imports.py",
            "_said_by(_import_all)",
            "_said_by(lambda: importlib.import_module('frod.cli.main'))",
        )
        self.workflow, self.snakemakes, self.jobs = None, [], []

    def edit(self, name, old, new):
        text = (self.folder / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        (self.folder / name).write_text(text.replace(old, new))

    def environment(self, **extra):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FROD_", "PYTEST_"))}
        kept |= {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "CUDA_VISIBLE_DEVICES": ""}
        kept |= dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), str(self.temporary))
        return kept | extra

    def start(self, **environment):
        """Start; whether there is a warm process now."""
        self.workflow = psutil.Popen(
            [sys.executable, "-c", STARTING],
            cwd=self.folder, env=self.environment(**environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=(self.folder / "said.txt").open("w"), text=True,
        )  # fmt: skip
        process, self.socket = self.workflow.stdout.readline().split()
        self.process = None if process == "none" else psutil.Process(int(process))
        return self.process is not None

    def job(self, *arguments, warm=True, command=("python", "-m", "frod"), cwd=None, **options):
        """Start a job as Snakemake would, with one thread."""
        from frod.pipeline.warm.start import ONE_THREAD

        place = self.socket if warm else "off"
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
        options.setdefault("stdin", subprocess.DEVNULL)
        environment = self.environment(FROD_WARM=place) | ONE_THREAD | options.pop("environment", {})
        one = psutil.Popen([*command, *arguments], cwd=cwd or self.folder, env=environment, text=True, **options)
        self.jobs.append(one)
        return one

    def said(self, *arguments, **options):
        job = self.job(*arguments, **options)
        said, _ = job.communicate(timeout=DEADLINE)
        return said, job.returncode

    def is_warm(self, **options):
        """Whether a job with these peculiarities is carried out by the warm process."""
        said, code = self.said("state", **options)
        assert code == 0 and said.split()[0] == "parent", said
        assert (said.split()[2] == "warm") == (int(said.split()[1]) == self.process.pid)
        return said.split()[2] == "warm"

    def waiting(self, *arguments, **options):
        """A job that waits: itself, the process that does its work, one that this has started, and how it works."""
        job = self.job("wait", *arguments, **options)
        worker, below, how = job.stdout.readline().split()
        return job, psutil.Process(int(worker)), psutil.Process(int(below)), how

    def leftovers(self):
        return [path.name for path in self.temporary.iterdir() if path.name.startswith("frod-warm")]

    def snakemake(self, *arguments, **options):
        """Start a workflow of one job, with the hook of the repository's own."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True} | options
        command = [sys.executable, "-m", "snakemake", "--show-failed-logs", *(arguments or ["--cores", "1"])]
        self.snakemakes.append(psutil.Popen(command, cwd=self.folder, env=self.environment(), text=True, **options))
        return self.snakemakes[-1]

    def end(self):
        """End what a test has started, also where it has failed."""
        for snakemake in self.snakemakes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(snakemake.pid, signal.SIGKILL)
        for job in self.jobs:
            if job.poll() is None:
                job.kill()
        if self.workflow is not None and self.workflow.poll() is None:
            self.workflow.stdin.close()
            self.workflow.wait(DEADLINE)


def until(condition):
    """Wait for an event."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.02)


def gone(process):
    """Whether a process is no more, or only waits for its parent to hear of it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True
