"""Many command lines, some in each fork of one process: how they end, what they print, which files they leave altered.

Standard input: a list of command lines, each a list of words. Standard output: for each, its exit status, what it
printed and what it changed in the working directory.
"""

import functools
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback

from typer.main import get_command

from frod.backbones import registry as backbones
from frod.cli import main
from frod.tasks import registry as tasks

# What the commands import when they begin: once for all.
NEEDED = (
    *(
        "torch",
        "safetensors.torch",
        "pandas",
        "pyarrow.parquet",
        "scipy.stats",
        "sklearn.metrics",
        "rich.table",
        "jinja2",
    ),
    *("PIL.Image", "psutil", "babel.numbers", "typer.rich_utils"),
    *(f"frod.cli.{command.name}" for command in main._app().registered_commands),
    *(
        "frod.pipeline.load",
        "frod.training.preflight",
        "frod.training.job",
        "frod.reporting.collect",
        "frod.audit.walk",
    ),
    *(
        "frod.pipeline.new_suite",
        "frod.runs.replay",
        "frod.runs.spectrum",
        "frod.crate.build",
        "frod.training.estimate",
    ),
    *("frod.reporting.compare.revisions", "frod.hub.mirror", "frod.tasks.prepare", "frod.training.run"),
)
LONGEST_SECONDS = 120  # then a signal ends the fork; none takes a tenth of it
TOGETHER = 40  # lines of a fork


def state(folder):
    """What lies in a folder: kind, size and time of each name; a folder that may not be read is a name, too."""
    paths = [os.path.join(above, name) for above, _, files in os.walk(folder) for name in [".", *files]]
    return {path: (stat.st_mode, stat.st_size, stat.st_mtime_ns) for path in paths for stat in [os.lstat(path)]}


def ended(words):
    """Exit status of a command line, and what it prints to both."""
    with tempfile.TemporaryFile("w+") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        status = 70
        signal.alarm(LONGEST_SECONDS)
        try:
            sys.argv = ["frod", *words]
            main.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        signal.alarm(0)
        sys.stdout.flush()
        sys.stderr.flush()
        said.seek(0)
        return status, said.read()


def results(lines):
    """Results of the first of some lines, in a fork: forking costs more than a line that is refused."""
    with tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if child == 0:
            before = state(".")
            for words in lines[:TOGETHER]:
                status, said = ended(words)
                after = state(".")
                changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
                print(json.dumps((status, said, changed)), file=told, flush=True)
                before = after
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.seek(0)
        found = [json.loads(line) for line in told]
    return found if status == 0 else [*found, (status, "", [])]  # the next line has ended the fork


if __name__ == "__main__":
    for name in NEEDED:
        importlib.import_module(name)
    for registry in (backbones, tasks):
        registry.load = functools.cache(registry.load)
    app = get_command(main._app())
    main._app = lambda: app
    found, lines = [], json.load(sys.stdin)
    while len(found) < len(lines):
        found += results(lines[len(found) :])
    json.dump(found, sys.stdout)
