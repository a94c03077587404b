"""Loaded by Python where this folder is on PYTHONPATH: holds a process when it is about to do what `holds.Hold` says.

The process writes its number into the folder of the hold, and waits for the lock that the test has.
"""

import fcntl
import itertools
import json
import os
import re
import sys


def hold(folder, event, pattern, before):
    """Hold at the event: of those whose arguments have the pattern in them, so many go through."""
    seen = itertools.count()

    def look(name, arguments):
        if name == event and re.search(pattern, str(arguments)) and next(seen) == before:
            with open(f"{folder}/lock") as lock:
                with open(f"{folder}/number.part", "w") as number:
                    number.write(str(os.getpid()))
                os.rename(f"{folder}/number.part", f"{folder}/number")
                fcntl.flock(lock, fcntl.LOCK_EX)

    sys.addaudithook(look)


if "HELD" in os.environ:
    hold(*json.loads(os.environ["HELD"]))
