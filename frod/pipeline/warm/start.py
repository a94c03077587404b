"""Start the warm process with a workflow, and end it with it."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from frod.pipeline import devices
from frod.pipeline.warm.client import OFF, SERVE, VARIABLE

FEWEST = 4  # jobs: for fewer, importing all that any of them may use is no gain
# As Snakemake sets them for a job with one thread.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)  # fmt: skip
TEMPORARY = ("TMPDIR", "TMP", "TEMPDIR", "TEMP")


def start(jobs: int) -> subprocess.Popen[bytes] | None:
    """Start the warm process of this workflow, if so many jobs are due on this machine, and have them find it."""
    if jobs < FEWEST or sys.platform != "linux" or os.environ.get(VARIABLE) == OFF or devices.visible():
        return None
    folder = Path(tempfile.mkdtemp(prefix="frod-warm-"))  # no other user may enter it
    environment = os.environ | ONE_THREAD | dict.fromkeys(TEMPORARY, tempfile.gettempdir())
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        try:
            listening.bind(str(folder / "socket"))
        except OSError:  # its path is too long for a socket's
            folder.rmdir()
            return None
        listening.listen(128)  # at once: early jobs wait for the imports
        process = subprocess.Popen(
            ["python", "-m", "frod", SERVE, str(listening.fileno()), str(folder)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
            start_new_session=True,  # Ctrl-C reaches it through the jobs only
        )
    os.environ[VARIABLE] = str(folder / "socket")
    atexit.register(_end, process, folder)
    return process


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.terminate()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)
