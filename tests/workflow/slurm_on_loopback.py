"""A SLURM of two nodes on the loopback address, for tests: its daemons without systemd, stopped after.

By itself it runs one command in it: python tests/workflow/slurm_on_loopback.py [--accounting] sinfo. Needs root, and
of Debian slurm-wlm and munge, with accounting slurmdbd and mariadb-server, too. Each node has four processors, whatever
the machine has, and one GPU that is /dev/null; the second is in partition `pair` alone. Jobs of partition `urgent`
preempt all others.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import accounting_on_loopback
from filelock import FileLock

LOCK = Path(tempfile.gettempdir()) / "slurm-on-loopback.lock"  # there is one on a machine
CONFIGURATION = Path("/etc/slurm/slurm.conf")
GRES = CONFIGURATION.with_name("gres.conf")
MARK = "# Written by tests/workflow/slurm_on_loopback.py, which removes it."
DAEMONS = ("munged", "slurmctld", "slurmd")
NODES = ("first", "second")

# A requeued job waits for cred_expire and a second before it may start again; SLURM takes no less than 5.
SLURM_CONF = """\
{mark}
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=cred_expire=6
SlurmUser=root
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd-%n.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd-%n.log
StateSaveLocation={state}/state
SlurmdSpoolDir={state}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
{accounting}
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=100000
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=first NodeHostname={host} NodeAddr=127.0.0.1 Port=16818 CPUs=4 RealMemory=64000 Gres=gpu:1
NodeName=second NodeHostname={host} NodeAddr=127.0.0.1 Port=16819 CPUs=4 RealMemory=64000 Gres=gpu:1
PartitionName=cpu Nodes=first Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=first MaxTime=INFINITE State=UP
PartitionName=pair Nodes=first,second MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=first MaxTime=INFINITE PriorityTier=2 State=UP
"""
WITHOUT_ACCOUNTING = "AccountingStorageType=accounting_storage/none"


def obstacle(*, accounting: bool = False) -> str | None:
    """Why no SLURM can be started here; None where it can."""
    if os.geteuid() != 0:
        return "only root may start a SLURM"
    missing = [name for name in DAEMONS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no {', '.join(missing)} here: apt-get install slurm-wlm munge"
    if accounting and (missing := accounting_on_loopback.missing(_path())):
        return f"no {', '.join(missing)} here: apt-get install slurmdbd mariadb-server"
    if CONFIGURATION.exists():
        taken = MARK not in CONFIGURATION.read_text()
    else:  # a cluster may give it over the network
        taken = subprocess.run(["scontrol", "ping"], capture_output=True, check=False).returncode == 0
    return "this machine belongs to a SLURM already" if taken else None


@contextlib.contextmanager
def cluster(*, accounting: bool = False) -> Iterator[Path]:
    """Start the daemons and stop them at the end; yields the folder of their logs."""
    state = Path(tempfile.mkdtemp(prefix="slurm-on-loopback-"))
    daemons = []
    try:
        _configure(state, accounting_on_loopback.IN_SLURM_CONF if accounting else WITHOUT_ACCOUNTING)
        daemons.append(_munge(state))
        if accounting:
            daemons += accounting_on_loopback.start(state, _host(), _start)
        daemons += [_start(["slurmctld", "-D"], state)]
        daemons += [_start(["slurmd", "-D", "-N", node], state) for node in NODES]
        _wait_for_node(state)
        yield state
    finally:
        _stop_jobs()
        for daemon in reversed(daemons):
            if daemon is not None:
                daemon.send_signal(signal.SIGTERM)
                daemon.wait(timeout=60)
        for path in (CONFIGURATION, GRES, accounting_on_loopback.CONFIGURATION):
            path.unlink(missing_ok=True)
        shutil.rmtree(state)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _configure(state: Path, accounting: str) -> None:
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (state / name).mkdir()
    CONFIGURATION.parent.mkdir(exist_ok=True)
    CONFIGURATION.write_text(SLURM_CONF.format(mark=MARK, host=_host(), state=state, accounting=accounting))
    # A device file; a GPU that is only counted has the node drained.
    GRES.write_text(f"NodeName={','.join(NODES)} Name=gpu File=/dev/null\n")


def _munge(state: Path) -> subprocess.Popen | None:
    """Start munged, unless one runs."""
    folder = Path("/run/munge")
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(folder / "munge.socket.2"))
        return None
    folder.mkdir(exist_ok=True)
    shutil.chown(folder, "munge", "munge")
    folder.chmod(0o755)
    return _start(["--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--foreground"], state)


def _start(command: list[str], state: Path, **environment: str) -> subprocess.Popen:
    """Start a daemon in the foreground that ends with this process, however that ends, but not by its Ctrl-C."""
    with (state / f"{len(list(state.glob('*.out')))}.out").open("w") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | {"PATH": _path()} | environment,
            start_new_session=True,
        )


def _wait_for_node(state: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        asked = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False)
        if set(asked.stdout.split()) == {"idle"}:
            return
        if time.monotonic() > deadline:
            logs = "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(state.glob("*.*")))
            raise RuntimeError(f"SLURM did not start: sinfo says {asked.stdout}{asked.stderr}\n{logs}")
        time.sleep(0.2)


def _stop_jobs() -> None:
    """Cancel what runs and wait for its end: killed with the daemons, its processes would live on."""
    subprocess.run(["scancel", "--user=root"], capture_output=True, check=False)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=False)
        if listed.returncode or not listed.stdout.strip():
            return
        time.sleep(0.5)


if __name__ == "__main__":
    command = sys.argv[1:]
    with_accounting = command[:1] == ["--accounting"]
    reason = obstacle(accounting=with_accounting)
    if reason:
        sys.exit(reason)
    with FileLock(LOCK), cluster(accounting=with_accounting) as folder:
        print(f"logs: {folder}", flush=True)
        status = subprocess.run(command[with_accounting:], check=False).returncode
    sys.exit(status)
