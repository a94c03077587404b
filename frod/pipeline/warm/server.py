"""The warm process: one thread that imports once, and forks a child for each job that is like it.

Its standard input is a pipe that only the workflow could write to: however that ends, the pipe closes, and this process
ends when its last job has.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import selectors
import shutil
import signal
import socket
import sys
from typing import Any

from frod.pipeline.warm import alike
from frod.pipeline.warm.imports import Imported

LONGEST = 1 << 21  # bytes of a request


def serve(descriptor: str, folder: str) -> None:
    """Serve until the workflow ends; return in the children only, which are to carry out the command in sys.argv.

    The descriptor is that of the socket, which listens already; the folder, the socket's, goes with this process.
    """
    mine = json.loads(json.dumps(alike.of_this_process()))
    imported = Imported()
    if fault := imported.fault():
        print(f"frod: every job imports for itself: {fault}", file=sys.stderr)
        _leave(folder)
    gc.collect()
    gc.freeze()  # what is shared with the children stays shared
    server = _Server(mine, imported, socket.socket(fileno=int(descriptor)))
    if request := server.run():
        _become(*request)
        return
    _leave(folder)


def _leave(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # the workflow may have removed it
    os._exit(0)


class _Server:
    def __init__(self, mine: dict[str, Any], imported: Imported, listening: socket.socket) -> None:
        self.mine, self.imported = mine, imported
        self.selector = selectors.DefaultSelector()
        self.selector.register(0, selectors.EVENT_READ, self.end)
        self.selector.register(listening, selectors.EVENT_READ, self.accept)
        self.listening: socket.socket | None = listening
        self.children: dict[socket.socket, tuple[int, int]] = {}
        self.request: tuple[dict[str, Any], list[int]] | None = None

    def run(self) -> tuple[dict[str, Any], list[int]] | None:
        """Return in a child with its request; in the server with None, when all is over."""
        while self.listening or self.children:
            for key, _ in self.selector.select():
                if self.selector.get_map().get(key.fd) is key:  # else it was closed by what came before it
                    key.data(key.fileobj)
                if self.request:
                    self.close_all()
                    return self.request
        return None

    def end(self, pipe: Any = None) -> None:
        """Take no more jobs: the workflow has ended, or files have changed."""
        if pipe is not None:
            self.selector.unregister(pipe)
        if self.listening:
            self.close(self.listening)
            self.listening = None

    def close(self, connection: socket.socket) -> None:
        self.selector.unregister(connection)
        connection.close()

    def accept(self, listening: socket.socket) -> None:
        connection, _ = listening.accept()
        self.selector.register(connection, selectors.EVENT_READ, self.hear)

    def hear(self, connection: socket.socket) -> None:
        """A request comes, or the job that made one is no more: then its child is to end, too."""
        if connection in self.children:
            child, process = self.children[connection]
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):  # it may not have made its group yet
                os.killpg(child, signal.SIGKILL)
            self.selector.unregister(connection)
            return
        try:
            text, descriptors, _, _ = socket.recv_fds(connection, LONGEST, 3)
        except OSError:
            text, descriptors = b"", []
        request = self.accepted(connection, text, descriptors)
        if request is None:
            self.close(connection)
        elif self.fork(connection):
            self.request = request, descriptors
            return
        for number in descriptors:
            os.close(number)

    def accepted(self, connection: socket.socket, text: bytes, descriptors: list[int]) -> dict[str, Any] | None:
        """Return a request that a child of this process may carry out."""
        if not text or len(descriptors) != 3 or alike.user_of(connection) != os.getuid():
            return None
        if file := self.imported.changed():
            print(f"frod: {file} was changed: from now on every job imports for itself", file=sys.stderr)
            self.end()
            return None
        request = json.loads(text)
        return request if request["alike"] == self.mine else None

    def fork(self, connection: socket.socket) -> bool:
        """Fork a child for a job; whether this is the child."""
        child = os.fork()
        if child == 0:
            os.setsid()
            return True
        process = os.pidfd_open(child)
        self.children[connection] = child, process
        self.selector.register(process, selectors.EVENT_READ, lambda _: self.reap(connection))
        with contextlib.suppress(OSError):  # the job is no more: heard next
            socket.send_fds(connection, [str(child).encode()], [process])
        return False

    def reap(self, connection: socket.socket) -> None:
        child, process = self.children.pop(connection)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.selector.unregister(process)
        os.close(process)
        with contextlib.suppress(OSError):
            connection.send(str(code).encode())
        if connection in self.selector.get_map():
            self.selector.unregister(connection)
        connection.close()

    def close_all(self) -> None:
        """In a child: let go of all that is the server's; standard input is replaced."""
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
            elif key.fd != 0:
                os.close(key.fd)
        self.selector.close()


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Make this child what the job would be had it imported all by itself."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[:] = request["arguments"]
    import numpy

    random.seed()
    numpy.random.seed()
