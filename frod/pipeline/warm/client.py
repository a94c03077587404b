"""The job's side: ask the warm process for a child, pass signals on to it, and end as it ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

VARIABLE = "FROD_WARM"  # path of the warm process's socket; "off": every job imports for itself
OFF = "off"
SERVE = "--warm-process"  # instead of a command: this process is to be the warm one
LONGEST = 1 << 10  # bytes of an answer
PASSED_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT")


def hand_over() -> None:
    """Have this command carried out by the warm process, and end; return where it has to be carried out here."""
    place = os.environ.get(VARIABLE) or OFF
    if place == OFF or sys.platform != "linux" or _is_one_of_several():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        child = None
        with contextlib.suppress(OSError):  # it has ended, or the request is too long
            child = _ask(connection, place)
        if child is not None:
            _follow(connection, *child)


def _is_one_of_several() -> bool:
    """Whether more than one process is to train: they start their own."""
    if "FROD_LAUNCHER" in os.environ:
        return True
    given = [text.partition("=") for text in sys.argv if text.startswith("--processes")]
    following = {after for text, after in zip(sys.argv, sys.argv[1:]) if text == "--processes"}
    return bool({value for _, equals, value in given if equals} | following - {"1"})


def _ask(connection: socket.socket, place: str) -> tuple[int, int] | None:
    """Return the child's number and a descriptor of it; None where there is none for this command."""
    from frod.pipeline.warm import alike

    connection.connect(place)
    if alike.user_of(connection) != os.getuid():
        return None
    try:
        mine = alike.of_this_process()
    except ValueError:  # wrong numerics: the command itself says so
        return None
    request = {"alike": mine, "arguments": sys.argv, "environment": dict(os.environ)}
    socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
    answer, descriptors, _, _ = socket.recv_fds(connection, LONGEST, 1)
    return (int(answer), descriptors[0]) if descriptors else None


def _follow(connection: socket.socket, child: int, descriptor: int) -> None:
    """Pass signals on until the child ends, then end alike; return, with the child dead, if the warm process died."""
    earlier = _pass_on(descriptor)
    said = b""
    with contextlib.suppress(ConnectionError):
        said = connection.recv(LONGEST)
    if said:
        _end(int(said))
    for number, handler in earlier.items():
        signal.signal(number, handler)
    for kill in (
        lambda: os.killpg(child, signal.SIGKILL),
        lambda: signal.pidfd_send_signal(descriptor, signal.SIGKILL),
    ):
        with contextlib.suppress(ProcessLookupError):
            kill()
    select.select([descriptor], [], [])
    print("frod: the warm process of this workflow has died, and this job with it; it starts again", file=sys.stderr)


def _pass_on(descriptor: int) -> dict[int, Callable[[int, FrameType | None], Any] | int | None]:
    """Pass the signals that this process gets on to the child; return the handlers there were."""

    def forward(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)

    def stop(number: int, frame: object) -> None:
        forward(signal.SIGSTOP, frame)  # a group of its own without a terminal does not stop for SIGTSTP
        os.kill(os.getpid(), signal.SIGSTOP)

    handlers = {getattr(signal, name): forward for name in PASSED_ON} | {signal.SIGTSTP: stop}
    kept = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if kept[number] != signal.SIG_IGN:
            signal.signal(number, handler)
    return kept


def _end(code: int) -> NoReturn:
    """End with the child's exit status, or by the signal that ended it, which is negative."""
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # the child's stays
        with contextlib.suppress(OSError):  # SIGKILL cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
