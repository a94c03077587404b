"""A job does its work itself where anything is not as in the warm process, and where there is none."""

import os
import resource
import signal
from pathlib import Path

import pytest
from small_jobs import gone, until

from frod.pipeline.warm import imports, start
from frod.provenance import code


def test_a_job_like_the_workflow_is_warm(warm):
    assert warm.is_warm()
    assert warm.is_warm(environment={"SHLVL": "9", "PS1": ">", "FROD_CACHE": "/elsewhere"})  # what no import reads


@pytest.mark.parametrize(
    "variables",
    [{"LANG": "xx"}, {"NEW": "1"}, {"OMP_NUM_THREADS": "2"}, {"CUDA_VISIBLE_DEVICES": "0"}, {"FROD_NUMERICS": "native"},
     {"FROD_NUMERICS": "wrong"}, {"PYTHONHASHSEED": "1"}, {"FROD_LAUNCHER": "1"}],
    ids=lambda variables: "=".join(next(iter(variables.items()))),
)  # fmt: skip
def test_another_environment(warm, variables):
    assert not warm.is_warm(environment=variables)


PECULIAR = {
    "limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
    "priority": lambda: os.nice(1),
    "umask": lambda: os.umask(0o077),
    "ignored signal": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "blocked signal": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
    "processors": lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]),
}


@pytest.mark.parametrize("what", PECULIAR)
def test_another_state(warm, what):
    if what == "processors" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("there is but one processor")
    assert not warm.is_warm(preexec_fn=PECULIAR[what])


def test_another_folder_or_interpreter(warm, tmp_path):
    (tmp_path / "frod").symlink_to(warm.folder / "frod")
    assert not warm.is_warm(cwd=tmp_path)
    assert not warm.is_warm(command=("python", "-O", "-m", "frod"))


@pytest.mark.parametrize("option", [["--processes", "2"], ["--processes=2"]])
def test_several_processes(warm, option):
    assert warm.said("state", *option)[0].split()[2] == "cold"
    assert warm.said("state", "--processes", "1")[0].split()[2] == "warm"


KNOCK = """\
import json, os, socket, sys
from frod.pipeline.warm import alike
who, place = sys.argv[1:]
request = {"alike": alike.of_this_process(), "arguments": ["", "exit", "0"], "environment": dict(os.environ)}
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
    os.seteuid(int(who))
    one.connect(place)
    os.seteuid(0)
    socket.send_fds(one, [json.dumps(request).encode()], [0, 1, 2])
    print("a child" if one.recv(99) else "refused")
"""
IMPOSTOR = """\
import os, socket, sys
from frod.pipeline.warm import client
who, place = sys.argv[1:]
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
    os.seteuid(int(who))
    listening.bind(place)
    listening.listen()
    os.seteuid(0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        one.settimeout(1)
        try:
            print(client._ask(one, place))
        except TimeoutError:
            print("has asked")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_is_refused_on_both_sides(fresh):
    fresh.start()
    folder = Path(fresh.socket).parent
    assert folder.stat().st_mode & 0o777 == 0o700  # which alone keeps others out
    for path in (folder, Path(fresh.socket), fresh.temporary):
        path.chmod(0o777)
    asked = {who: fresh.said(who, fresh.socket, command=("python", "-c", KNOCK))[0] for who in ("0", "65534")}
    assert asked == {"0": "a child\n", "65534": "refused\n"}
    for who, said in (("0", "has asked\n"), ("65534", "None\n")):
        place = str(folder / who[:1])
        assert fresh.said(who, place, command=("python", "-c", IMPOSTOR))[0] == said


def test_no_gpu_no_small_workflow_and_not_where_it_is_switched_off(fresh):
    assert not fresh.start(CUDA_VISIBLE_DEVICES="0")
    fresh.end()
    assert not fresh.start(FROD_WARM="off")
    fresh.end()
    assert not fresh.leftovers()
    assert start.start(start.FEWEST - 1) is None


def test_changed_code_is_never_run_old(fresh):
    fresh.start()
    assert fresh.is_warm()
    other = fresh.folder / "frod/reporting/page.py"
    text = other.read_text()
    other.write_text(f"{text}# another line\n")
    assert not fresh.is_warm()
    other.write_text(text)
    assert not fresh.is_warm()  # nor ever again
    assert "page.py was changed" in (fresh.folder / "said.txt").read_text()


@pytest.mark.parametrize("change", ["new file", "removed file", "same size and time"])
def test_any_change_of_a_file_is_seen(fresh, change):
    fresh.start()
    assert fresh.is_warm()
    file = fresh.folder / "frod/reporting/page.py"
    if change == "new file":
        file.with_name("new.yaml").touch()
    elif change == "removed file":
        (fresh.folder / "frod/reporting/published.yaml").unlink()
    else:
        before = file.stat()
        file.write_bytes(b"# " + file.read_bytes()[2:].replace(b"\n", b" "))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not fresh.is_warm()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", "started threads"),
        ("print('hello')", "has printed: hello"),
    ],
)
def test_imports_that_leave_threads_or_print_end_the_warm_process(fresh, statement, fault):
    fresh.edit("frod/cli/main.py", "import numpy\n", f"import numpy\n{statement}\n")
    fresh.start()
    until(lambda: gone(fresh.process))
    assert fault in (fresh.folder / "said.txt").read_text()
    assert "cold" in fresh.said("state")[0]


def test_no_stage_is_made_anew_for_a_change_of_warm_processes():
    for stage in imports.STAGES:
        assert not [name for name in code.reached(f"frod.cli.{stage}") if "warm" in name]


def test_what_decides_imports_nothing_heavy(warm):
    said = warm.said(
        "-c",
        "import sys, frod.pipeline.warm.client; print({'typer', 'numpy', 'subprocess'} & set(sys.modules))",
        command=("python",),
    )
    assert said == ("set()\n", 0)
