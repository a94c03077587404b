"""What has to be the same in a job and in the process that it would be forked from."""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from frod import numerics

# Variables that no import reads: the shell's own. Those of this project are read when they are needed, but for one.
HARMLESS = ("PWD", "OLDPWD", "SHLVL", "_", "PS1", "PS2")
OWN = "FROD_"


def of_this_process() -> dict[str, Any]:
    """Return all that has to be the same, as JSON has it; numerics are put in force first.

    ValueError where FROD_NUMERICS is wrong.
    """
    numerics.apply()
    return {
        "environment": {
            name: value
            for name, value in os.environ.items()
            if name == numerics.VARIABLE or not (name in HARMLESS or name.startswith(OWN))
        },
        "interpreter": [sys.executable, sys.version, str(sys.flags), repr(sys._xoptions), *sys.warnoptions],
        "folder": os.getcwd(),
        "user": [*os.getresuid(), *os.getresgid(), *os.getgroups()],
        "umask": _umask(),
        "priority": os.nice(0),
        "processors": sorted(os.sched_getaffinity(0)),
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if "RLIMIT" in name},
        "group": Path("/proc/self/cgroup").read_text(),
        "ignored signals": [int(s) for s in signal.valid_signals() if signal.getsignal(s) == signal.SIG_IGN],
        "blocked signals": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    }


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def user_of(connection: socket.socket) -> int:
    """Whose process is at the other end, as the system says."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1]
