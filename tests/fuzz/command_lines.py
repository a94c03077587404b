"""Many command lines in one process, a fork for each: how they end, what they print, and which files they leave altered.

Standard input: a list of command lines, each a list of words. Standard output: for each, its exit status, what it
printed and what it changed in the working directory.
"""

import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from frod.cli import main

LONGEST_SECONDS = 120  # then a signal ends the fork; none takes a tenth of it


def state(folder):
    """What lies in a folder: kind, size and time of each name."""
    return {
        str(path): (stat.st_mode, stat.st_size, stat.st_mtime_ns)
        for path in Path(folder).rglob("*")
        if not path.is_dir() or path.is_symlink() or not any(path.iterdir())
        for stat in [path.lstat()]
    }


def ended(words):
    """Exit status of a command line, and what it prints to both."""
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            status = 70
            try:
                signal.alarm(LONGEST_SECONDS)
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                sys.argv = ["frod", *words]
                main.main()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return status, said.read()


if __name__ == "__main__":
    main._app()  # imported once for all
    found, before = [], state(".")
    for words in json.load(sys.stdin):
        status, said = ended(words)
        after = state(".")
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        found.append((status, said, changed))
        before = after
    json.dump(found, sys.stdout)
