"""The processes of one training, all on this machine: they start together and end together.

The launcher runs its own command line once more in each of them, and trains nothing itself. Each holds the reading end
of a pipe that only the launcher could write to: however that one ends, by kill -9 for one, the pipe closes and they
end. (torchrun's workers outlive it then.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO

from frod.pipeline import devices

WORKER = "FROD_WORKER"  # descriptors of the pipe, and of the socket that the first process listens on
POLL_SECONDS = 0.05
TAIL_LINES = 20


def start(count: int, threads: int) -> bool:
    """Have `count` processes run this very command; of several, this one only looks after them.

    CPU threads are of all of them together. Returns True where all is done: the processes have ended; False where this
    process has to train. ChildProcessError where one of them ended by an error or was killed; the others have been
    killed then.
    """
    if is_worker():
        _end_with_launcher()
        return False
    devices.take(count)
    if count == 1:
        return False
    look_after([sys.executable, "-m", "frod", *sys.argv[1:]], count, threads)
    return True


def is_worker() -> bool:
    """Whether a launcher started this process."""
    return WORKER in os.environ


def listening_socket() -> int:
    """Descriptor of the socket that the first process listens on: its port is taken since the launcher chose it."""
    return int(os.environ[WORKER].split(":")[1])


def _end_with_launcher() -> None:
    pipe = int(os.environ[WORKER].split(":")[0])

    def wait() -> None:
        os.read(pipe, 1)  # nothing is ever written: it returns when the pipe closes
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def look_after(command: list[str], count: int, threads: int) -> None:
    """Run a command in so many processes until all have ended, or one by a fault; see `start`."""
    reading, writing = os.pipe()
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        outputs: list[IO[bytes] | None] = [None]  # the first process writes where this one would
        outputs += [stack.enter_context(tempfile.TemporaryFile()) for _ in range(1, count)]
        common = {
            WORKER: f"{reading}:{listening.fileno()}",
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(listening.getsockname()[1]),
            "OMP_NUM_THREADS": str(max(1, threads // count)),
            # DDP would warn of each model all of whose weights are used.
            "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        }
        workers: list[subprocess.Popen[bytes]] = []
        try:
            for rank, output in enumerate(outputs):
                workers.append(
                    subprocess.Popen(
                        command,
                        env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                        pass_fds=[reading, listening.fileno()],
                        stdout=output,
                        stderr=output,
                    )
                )
            failed = _wait(workers)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
            os.close(reading)
            os.close(writing)
        if failed:
            raise ChildProcessError("\n".join(_said(rank, code, outputs[rank], count) for rank, code in failed.items()))


def _wait(workers: list[subprocess.Popen[bytes]]) -> dict[int, int]:
    """Wait until all have ended, or one by a fault; return the exit statuses of those by rank."""
    while True:
        codes = [worker.poll() for worker in workers]
        failed = {rank: code for rank, code in enumerate(codes) if code}
        if failed or None not in codes:
            return failed
        time.sleep(POLL_SECONDS)


def _said(rank: int, code: int, output: IO[bytes] | None, count: int) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    if output is None:
        return f"process {rank} of {count} {how}"  # what it said is there already
    output.seek(0)
    lines = output.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
    return "\n".join([f"process {rank} of {count} {how}{':' if lines else ''}", *(f"  {line}" for line in lines)])
