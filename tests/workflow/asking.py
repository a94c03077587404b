"""How a command asks the process in forks.py for a fork; imported for each, so with little of its own."""

import json
import socket

LONGEST = 1 << 21  # bytes of a request


def ask(place, name, command, folder, environment, files):
    """Have a command carried out, with standard input, output and error as given; its exit status."""
    request = {"name": name, "command": command, "folder": str(folder), "environment": environment}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(place)
        socket.send_fds(connection, [json.dumps(request).encode()], files)
        answer = connection.recv(99)
    assert answer, "the process that forks commands has ended"
    return int(answer)
