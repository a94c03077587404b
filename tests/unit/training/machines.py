"""Two machines for tests: network namespaces with a cable between them, or two addresses of this one."""

import contextlib
import os
import shutil
import socket
import subprocess

NAMES = [f"frod-{os.getpid()}-{i}" for i in range(2)]


@contextlib.contextmanager
def two_machines():
    """Yield two (prefix of a command, its environment): where it runs, and where the two of them meet."""
    with contextlib.ExitStack() as stack:
        apart = os.geteuid() == 0 and shutil.which("ip") is not None and _connected(stack)
        addresses = ["10.77.0.1", "10.77.0.2"] if apart else ["127.0.0.1", "127.0.0.2"]
        with socket.create_server(("127.0.0.1", 0)) as free:
            meeting = {"MASTER_ADDR": addresses[0], "MASTER_PORT": str(free.getsockname()[1])}
        machines = []
        for i, address in enumerate(addresses):
            # Their names are those of this machine: torchrun and gloo are told the address and the cable.
            own = {"PET_LOCAL_ADDR": address, "GLOO_SOCKET_IFNAME": f"cable{i}" if apart else "lo"}
            machines.append((["ip", "netns", "exec", NAMES[i]] if apart else [], meeting | own | {"NODE_RANK": str(i)}))
        yield machines


def _connected(stack):
    """Whether there are two namespaces with a cable between them; they go with the stack."""
    for name in NAMES:
        stack.callback(subprocess.run, ["ip", "netns", "del", name], capture_output=True, check=False)
        if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
            return False
    first, second = NAMES
    cable = ["link", "add", "cable0", "netns", first, "type", "veth", "peer", "name", "cable1", "netns", second]
    commands = [cable]
    for i, name in enumerate(NAMES):
        commands += [
            ["-n", name, "address", "add", f"10.77.0.{i + 1}/24", "dev", f"cable{i}"],
            ["-n", name, "link", "set", f"cable{i}", "up"],
            ["-n", name, "link", "set", "lo", "up"],
        ]
    return all(subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0 for words in commands)
