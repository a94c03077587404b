"""What is printed gets through where standard output has another encoding: Windows' pipes, old locales, bare CI."""

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from frod.characters import hidden
from frod.terminal import table

TABLE = "from frod.terminal import console, table; console().print(table(['σ'], [['0.5 ± 0.1 – ✓']], left=()))"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "ascii"])
@pytest.mark.parametrize("code", [["-c", TABLE], ["-m", "frod", "--help"]], ids=["a table", "help"])
def test_other_encodings_end_in_no_error(encoding, code):
    done = subprocess.run(
        [sys.executable, *code], env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True, check=True
    )
    shown = done.stdout.decode(encoding)
    if code[0] == "-c":
        assert "0.5 ± 0.1 – ✓".encode(encoding, errors="replace").decode(encoding) in shown


def test_a_name_commands_no_terminal():
    written = io.StringIO()
    console = Console(file=written, width=100, force_terminal=True, color_system=None)
    console.print(table(["a"], [["\u202e\x1b[2Jb [red]c"]], left=["a"], title="\x07t"))
    assert r"\u202e\x1b[2Jb [red]c" in written.getvalue() and r"\x07t" in written.getvalue()
    assert hidden(written.getvalue()) is None
