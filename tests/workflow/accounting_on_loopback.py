"""Accounting for a SLURM on the loopback address: slurmdbd, and MariaDB on a socket of its own."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CONFIGURATION = Path("/etc/slurm/slurmdbd.conf")
DAEMONS = ("mariadbd", "mariadb-install-db", "slurmdbd")
PORT = 16820

SLURMDBD_CONF = f"""\
DbdHost={{host}}
DbdAddr=127.0.0.1
DbdPort={PORT}
SlurmUser=root
AuthType=auth/munge
PidFile={{state}}/slurmdbd.pid
LogFile={{state}}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""
# What it takes of slurm.conf.
IN_SLURM_CONF = f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={PORT}
"""


def start(state: Path, host: str, start_daemon: Callable[..., subprocess.Popen]) -> list[subprocess.Popen]:
    """Start both daemons, in this order; slurmctld may follow. `state` is a folder for all that they keep."""
    socket, data = state / "mariadb.sock", state / "mariadb"
    options = ["--no-defaults", f"--datadir={data}", "--user=root"]
    install = ["mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    database = start_daemon(["mariadbd", *options, f"--socket={socket}", "--skip-networking"], state)
    _until(["mariadb-admin", "--no-defaults", f"--socket={socket}", "--user=root", "ping"], database)
    CONFIGURATION.touch(mode=0o600)  # slurmdbd takes no other
    CONFIGURATION.write_text(SLURMDBD_CONF.format(host=host, state=state))
    records = start_daemon(["slurmdbd", "-D"], state, MYSQL_UNIX_PORT=str(socket))
    _until(["sacctmgr", "--immediate", "add", "cluster", "loopback"], records)
    return [database, records]


def missing(path: str) -> list[str]:
    """What of the daemons is not installed."""
    return [name for name in DAEMONS if shutil.which(name, path=path) is None]


def _until(command: Sequence[str], daemon: subprocess.Popen) -> None:
    """Repeat a command until it succeeds."""
    deadline = time.monotonic() + 120
    while (done := subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)).returncode:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{command[0]} got no answer: {done.stdout}{done.stderr}")
        time.sleep(0.2)
