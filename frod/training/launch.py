"""The processes of one training: torchrun starts them, on one machine or on several, with this process's command line.

torchrun starts none of them again: a training that was killed goes on from its checkpoint by the same command. Its
workers would outlive it where it is killed (they have sessions of their own), so each of them looks for it.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from frod.pipeline import devices

LAUNCHER = "FROD_LAUNCHER"  # number of the process that has started a worker
LOOK_SECONDS = 0.2
FIRST_PORT, PORTS = 20000, 10000  # of SLURM jobs, by their numbers: below those that systems give away by themselves


def start(processes: int, threads: int, nodes: int = 1) -> bool:
    """Have `processes` run this very command, as many on each machine; of several, this one only looks after them.

    CPU threads are of all of them together. Returns True where all is done: the processes have ended; False where this
    process has to train. ValueError where they cannot be shared out, or the machines cannot meet; ChildProcessError
    where a process ended by an error or was killed; the others have been ended then.
    """
    if is_worker():
        _be_worker()
        return False
    if processes % nodes:
        raise ValueError(f"--processes {processes}: each of {nodes} nodes takes as many; give a multiple of {nodes}")
    devices.take(processes // nodes)
    if processes == 1:
        return False
    torchrun([sys.executable, "-m", "frod", *sys.argv[1:]], processes, threads, nodes)
    return True


def is_worker() -> bool:
    """Whether a launcher started this process."""
    return LAUNCHER in os.environ


def torchrun(command: list[str], processes: int, threads: int, nodes: int = 1) -> None:
    """Run a command in so many processes until all have ended, or one by a fault; see `start`."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ |= {LAUNCHER: str(os.getpid()), "OMP_NUM_THREADS": str(max(1, threads // processes))}
    # DDP would warn of each model all of whose weights are used.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    words = [f"--nnodes={nodes}", f"--nproc-per-node={processes // nodes}", "--max-restarts=0"]
    try:
        with tempfile.TemporaryDirectory(prefix="frod-") as folder:
            words += [*meeting(nodes, Path(folder)), f"--log-dir={os.devnull}", "--no-python"]
            run.run(run.parse_args([*words, *command]))
    except ChildFailedError as error:
        raise ChildProcessError(_said(error.failures, processes)) from None
    except SignalException as error:  # torchrun has passed it on: end by it, as any process does
        signal.signal(error.sigval, signal.SIG_DFL)
        signal.raise_signal(error.sigval)


def meeting(nodes: int, folder: Path) -> list[str]:
    """torchrun's options that say where the machines of a training meet; ValueError where nothing says it.

    Those of a SLURM job meet on the machine that srun was called on; others where MASTER_ADDR says. One machine needs
    no port: what torchrun reads from there are pickles, and a folder of the user's own is closed to others.
    """
    told = ["--rdzv-backend=c10d", "--rdzv-id=frod"]
    if nodes == 1:
        return [*told, f"--rdzv-endpoint={folder / 'meeting'}", "--rdzv-conf=store_type=file", "--local-addr=127.0.0.1"]
    given = os.environ
    if "MASTER_ADDR" in given:
        address = ":".join([given["MASTER_ADDR"], given.get("MASTER_PORT", "29400")])
        rank = given.get("NODE_RANK")
    elif given.get("SLURM_STEP_NUM_NODES") == str(nodes):
        port = FIRST_PORT + int(given["SLURM_JOB_ID"]) % PORTS
        address, rank = f"{given['SLURM_LAUNCH_NODE_IPADDR']}:{port}", given["SLURM_NODEID"]
    else:
        raise ValueError(
            f"--nodes {nodes}: nothing says where they meet; call this by `srun --nodes={nodes} --ntasks-per-node=1` "
            "in a SLURM job, or on each of them with MASTER_ADDR (of the first), MASTER_PORT and NODE_RANK (from 0) set"
        )
    # Not told, torchrun compares the address with those that this machine's name has.
    host = [] if rank is None else [f"--rdzv-conf=is_host={int(rank == '0')}"]
    return [*told, f"--rdzv-endpoint={address}", *host]


def _be_worker() -> None:
    """End when the launcher is no more, and at once by Ctrl-C; let the first process alone print."""
    launcher = int(os.environ[LAUNCHER])

    def wait() -> None:
        while os.getppid() == launcher:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.environ["RANK"] != "0":
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until it ends


def _said(failures: dict[int, Any], count: int) -> str:
    """Which processes failed, and how, the killed ones first; those that torchrun has ended for it are left out."""
    codes = {rank: failure.exitcode for rank, failure in failures.items()}
    first = {rank: code for rank, code in codes.items() if code != -signal.SIGTERM} or codes
    return "\n".join(
        f"process {rank} of {count} {f'was killed by signal {-code}' if code < 0 else f'ended with status {code}'}"
        for rank, code in sorted(first.items(), key=lambda failure: failure[1])
    )
