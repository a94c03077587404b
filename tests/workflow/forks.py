"""Commands as forks of one process that has imported the libraries they need: the same commands, seconds sooner.

A fork takes its folder, its environment and this project's modules as the command itself does, and ends as that does.
By itself this file is that process: one request a line on its input, one exit status a line on its output.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

# Not peft: it asks torch for the instructions to use as it is imported, and those are a command's own choice.
LIBRARIES = {
    "snakemake": [
        *("snakemake.cli", "snakemake_executor_plugin_slurm", "snakemake_logger_plugin_rich.handler", "smart_open"),
        *("docutils.nodes", "jinja2", "pydantic", "requests", "typer", "yte"),
    ],
    "dvc": ["dvc.cli.parser", "dvc.repo", "dvc.stage"],
    "frod": [
        *("torch", "timm", "transformers.models.auto.modeling_auto", "safetensors.torch", "scipy.linalg"),
        *(
            "pandas",
            "pyarrow.parquet",
            "sklearn.metrics",
            "mlflow",
            "typer",
            "rich.table",
            "pydantic",
            "rocrate.rocrate",
        ),
    ],
}
PREFIXES = ("FROD_", "MLFLOW_")
"""Variables that are read when they are needed; others may count from an interpreter's start on."""


def run(command, folder, environment, own=()):
    """Run a command to its end, as a fork where it can be one, with all it prints as `stdout`.

    `own` names the variables of the environment that were set for this command.
    """
    from frod import numerics  # not in the process that forks: its forks import their own project's

    name = command[2] if command[:2] == ["python", "-m"] else command[0]
    if name in LIBRARIES and all(one.startswith(PREFIXES) and one != numerics.VARIABLE for one in own):
        return _forked(name, command, folder, environment)
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **both)


def _forked(name, command, folder, environment):
    process = _process()
    with tempfile.NamedTemporaryFile() as out:
        request = {"name": name, "command": command, "folder": str(folder), "environment": environment, "out": out.name}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the process that forks commands has ended"
        return subprocess.CompletedProcess(command, int(answer), out.read().decode())


@functools.cache
def _process():
    from frod import numerics

    clean = {name: value for name, value in os.environ.items() if not name.startswith((*PREFIXES, "DVC_", "GIT_"))}
    clean |= numerics.PORTABLE if numerics.has_avx2() else {}  # which libraries read as they load
    return subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean
    )


def _serve():
    """Fork for each request; in a fork, return it."""
    with contextlib.redirect_stdout(sys.stderr):
        for line in iter(sys.stdin.readline, ""):
            request = json.loads(line)
            for name in LIBRARIES[request["name"]]:
                importlib.import_module(name)
            child = os.fork()
            if child == 0:
                return request
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(1, f"{status}\n".encode())
    return None


def _become(command, folder, environment, out):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(out, os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(1, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if command[:2] == ["python", "-m"]:
        sys.argv, sys.path[0] = command[2:], folder
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
    else:
        program = shutil.which(command[0])
        sys.argv, sys.path[0] = [program, *command[1:]], str(Path(program).parent)
        runpy.run_path(program, run_name="__main__")


def _end(error):
    """End as an interpreter does, but for taking the libraries apart, which costs what the fork has saved."""
    threading._shutdown()
    atexit._run_exitfuncs()
    if isinstance(error, SystemExit) and not isinstance(error.code, int | None):
        print(error.code, file=sys.stderr)
    elif not isinstance(error, SystemExit | None):
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    code = error.code or 0 if isinstance(error, SystemExit) else error is not None
    os._exit(int(code) if isinstance(code, int) else 1)


if __name__ == "__main__":
    asked = _serve()
    if asked is not None:
        del asked["name"]
        ended = None
        try:
            _become(**asked)
        except BaseException as error:
            ended = error
        _end(ended)
