"""Commands as forks of one process that has imported the libraries they need: the same commands, seconds sooner.

A fork takes its folder, its environment and the project's modules as the command itself does, and ends as that does.
So do the jobs of a workflow that is a fork: they ask by forked/ask. By itself this file is the process that forks;
it listens on the socket whose number it is given. From a project's second command on, a fork of that process, which has
that project's modules, forks in its place, until one of its files changes.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

import asking

PROGRAMS = Path(__file__).parent / "forked"
LIBRARIES = {
    "snakemake": [
        *("snakemake.cli", "snakemake_executor_plugin_slurm", "snakemake_logger_plugin_rich.handler", "smart_open"),
        *("docutils.nodes", "jinja2", "pydantic", "requests", "typer", "yte"),
    ],
    "dvc": ["dvc.cli.parser", "dvc.repo", "dvc.stage"],
    "frod": [
        *("torch", "timm", "transformers.models.auto.modeling_auto", "safetensors.torch", "scipy.stats"),
        *("pandas", "pyarrow.parquet", "sklearn.metrics", "mlflow.store.tracking.sqlalchemy_store", "typer.main"),
        *("PIL", "rich.table", "pydantic", "rocrate.rocrate", "jinja2", "psutil", "filelock", "babel.numbers"),
    ],
}
# It asks torch for the instructions to use as it is imported: those of portable numerics, or none are set here.
PORTABLE = {"frod": ["peft"]}
PROJECTS = 2  # whose modules are kept
PREFIXES = ("FROD_", "MLFLOW_", "PYTHONPATH")
LATER = (
    *(*PREFIXES, "PATH", "HOME", "BASH_ENV", "RECORDED", "AWS_", "GITHUB_", "HF_", "HTTPS_PROXY", "NO_PROXY"),
    "SNAKEMAKE_STORAGE_",
)
"""Variables that are read when they are needed; others may count from an interpreter's start on."""

# Two threads that wait for each other turn the processor, which the test next to this one needs: minutes for seconds.
WAITING = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "4"}


def run(command, folder, environment, own=()):
    """Run a command to its end, as a fork where it can be one, with all it prints as `stdout`.

    `own` names the variables of the environment that were set for this command. A workflow that is a fork has forks for
    jobs, and no warm process.
    """
    from frod import numerics  # not in the process that forks: its forks import their own project's

    name = command[2] if command[:2] == ["python", "-m"] else command[0]
    if name in LIBRARIES and all(one.startswith(LATER) and one != numerics.VARIABLE for one in own):
        around = environment if "FROD_WARM" in own else forking(environment)
        with tempfile.NamedTemporaryFile() as out, open(os.devnull) as nothing:
            files = [nothing.fileno(), out.fileno(), out.fileno()]
            status = asking.ask(_process()[1], name, command, folder, around, files)
            return subprocess.CompletedProcess(command, status, Path(out.name).read_text())
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **both)


def forking(environment):
    """An environment in which `snakemake` and `python -m frod` are forks, and a workflow needs no warm process."""
    path = os.pathsep.join([str(PROGRAMS), str(Path(sys.executable).parent), environment["PATH"]])
    return environment | {"PATH": path, "FROD_WARM": "off", "FORKS": _process()[1]}


@functools.cache
def _process():
    """Start the process; it and the path of its socket. It ends with this one, which has the other end of its input."""
    from frod import numerics

    clean = {name: value for name, value in os.environ.items() if not name.startswith((*PREFIXES, "DVC_", "GIT_"))}
    clean |= WAITING | (numerics.PORTABLE if numerics.has_avx2() else {})  # which libraries read as they load
    folder = tempfile.mkdtemp(prefix="forks-")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(f"{folder}/socket")
        listening.listen(128)
        number = listening.fileno()
        command = [sys.executable, __file__, str(number)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=clean, pass_fds=[number])
    return process, f"{folder}/socket"


def _asked(listening):
    """Requests, until the one who started this process ends: a connection for the answer, a text, three files."""
    while sys.stdin not in select.select([sys.stdin, listening], [], [])[0]:
        connection, _ = listening.accept()
        text, files, _, _ = socket.recv_fds(connection, asking.LONGEST, 3)
        yield connection, text, files


def _handed_on(above):
    """Requests that the process above has for this project, until it ends or keeps another project in its place."""
    while (received := socket.recv_fds(above, asking.LONGEST, 4))[0]:
        text, (number, *files), _, _ = received
        yield socket.socket(fileno=number), text, files


def _serve(requests, own, *, of_project=False):
    """Fork for each request; in a fork, return it and the files that it came with. `own` sockets are not for forks."""
    seen, kept = set(), {}
    for connection, text, files in requests:
        request = json.loads(text)
        name = request.pop("name")
        with contextlib.redirect_stdout(sys.stderr):
            for library in (*LIBRARIES[name], *(PORTABLE.get(name, []) if "ATEN_CPU_CAPABILITY" in os.environ else [])):
                importlib.import_module(library)
        project = None if of_project else _project(name, request)
        if project and project in seen and project not in kept:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if os.fork() == 0:
                _close(*own, *kept.values(), ours, connection, *files)
                _import(request["folder"])
                return _serve(_handed_on(theirs), [theirs], of_project=True) or os._exit(0)
            theirs.close()
            kept[project] = ours
            if len(kept) > PROJECTS:
                kept.pop(next(iter(kept))).close()
        seen.add(project)
        if project in kept:
            socket.send_fds(kept[project], [text], [connection.fileno(), *files])
        elif os.fork() == 0:
            _close(*own, *kept.values())
            child = os.fork()
            if child == 0:
                connection.close()
                return request | {"files": files}
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            connection.send(str(status).encode())
            os._exit(0)
        _close(connection, *files)
        with contextlib.suppress(ChildProcessError):  # of earlier requests
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return None


def _close(*files):
    for one in files:
        if isinstance(one, int):
            os.close(one)
        else:
            one.close()


def _project(name, request):
    """A folder and the state of its modules; None for a command that takes them from elsewhere, or has none."""
    elsewhere = {"-s", "--snakefile", "-d", "--directory"} & set(request["command"])
    if name not in PORTABLE.keys() | {"snakemake"} or elsewhere or request["environment"].get("PYTHONPATH"):
        return None
    folder, found = request["folder"], []
    if not os.path.isfile(f"{folder}/frod/cli/main.py"):
        return None
    for place, folders, names in os.walk(f"{folder}/frod"):
        folders[:] = [one for one in folders if one != "__pycache__"]
        states = ((file, os.stat(file)) for file in (f"{place}/{one}" for one in names))
        found += [(file, state.st_mtime_ns, state.st_ino, state.st_size) for file, state in states]
    return folder, *sorted(found)


def _import(folder):
    """Import what the project's stages reach, as its own warm process would, and parse what their hashes are of."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    with contextlib.redirect_stdout(sys.stderr):
        importlib.import_module("frod.cli.main")._app()
        code, warm = map(importlib.import_module, ("frod.provenance.code", "frod.pipeline.warm.imports"))
        reached = {one for stage in warm.STAGES for one in code.reached(f"frod.cli.{stage}") if "/" not in one}
        for one in sorted(reached - {"frod.__main__"}):
            importlib.import_module(one)
    sys.path.remove(folder)
    gc.collect()
    gc.freeze()


def _become(command, folder, environment, files):
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # As an interpreter opens them: those of the fork's parent would seek in what is a pipe here.
    sys.stdout, sys.stderr = (
        open(stream.fileno(), "w", encoding=stream.encoding, errors=stream.errors, buffering=1, closefd=False)  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr)
    )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    program = Path(sys.executable).with_name(command[0])  # not PATH's, which may be a request for this one
    if "snakemake" in command[:3]:
        sys.executable = str(PROGRAMS / "python")  # the workflow's jobs have its folder first on their PATH
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    if command[:2] == ["python", "-m"]:
        sys.argv, sys.path[0] = command[2:], folder
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = [str(program), *command[1:]], str(program.parent)
        runpy.run_path(str(program), run_name="__main__")


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
    listening = socket.socket(fileno=int(sys.argv[1]))
    place = Path(listening.getsockname()).parent
    asked = _serve(_asked(listening), [listening])
    if asked is None:
        shutil.rmtree(place)
    else:
        ended = None
        try:
            _become(**asked)
        except BaseException as error:
            ended = error
        _end(ended)
