"""The command line `frod`: which commands there are, and how an error ends.

No stage imports this file: what a stage loads is part of its code hash.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

from frod import files, numerics, terminal
from frod.characters import visible
from frod.cli import options
from frod.pipeline import copies, workflows
from frod.pipeline.warm.imports import STAGES
from frod.provenance import secrets

REMEDIES = {
    errno.ENOENT: "correct the path",
    errno.ENOTDIR: "a file stands where a folder should: correct the path",
    errno.EISDIR: "a folder stands where a file should: correct the path",
    errno.EEXIST: "move it away, or give another name",
    errno.EACCES: "give yourself the right to it",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its links lead in a circle",
}


def main() -> None:
    """Run the command line; a mistake of the user ends in one clear line, not in a traceback, and no secret in either.

    What is printed here is kept: the workflow writes it to a log and shows the log.
    """
    workflows.end_with_workflow()
    terminal.printable()
    copies.enter()
    words = sys.argv[1:] or ["--help"]
    try:
        numerics.apply()
        options.check(words)
        status = _app()(words, prog_name="frod", standalone_mode=False)
    except Exception as error:
        if os.environ.get("FROD_TRACEBACK") or not _is_clear(error):
            print(visible(secrets.removed_from(traceback.format_exc())), file=sys.stderr, end="")
        print(visible(secrets.removed_from(f"error: {_said(error)}")), file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))
    sys.exit(status or 0)


def _is_clear(error: Exception) -> bool:
    """Whether an error says all that a user needs: it is of this package's own words, or the system refused a file."""
    if isinstance(error, OSError) and (error.filename is not None or error.errno in files.REMEDIES):
        return error.errno is not None
    frames = traceback.extract_tb(error.__traceback__)
    raised_by_us = bool(frames) and Path(frames[-1].filename).is_relative_to(Path(__file__).parents[1])
    return hasattr(error, "format_message") or (isinstance(error, ValueError | OSError) and raised_by_us)


def _said(error: Exception) -> str:
    """What an error says, with a remedy where it is the command line's or the system's."""
    if hasattr(error, "format_message"):  # typer's, of a wrong option
        asked = getattr(error, "ctx", None)
        return f"{error.format_message().rstrip('.')}; see `{asked.command_path if asked else 'frod'} --help`"
    if isinstance(error, OSError) and error.filename is not None:
        from frod.config.safe_yaml import one_line

        remedy = REMEDIES.get(error.errno or 0)
        return f"{one_line(str(error.filename))}: {error.strerror}" + (f"; {remedy}" if remedy else "")
    name = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    return f"{name}{error}"


def _version(asked: bool) -> None:
    if asked:
        from frod import __version__

        print(f"frod {__version__}")
        raise SystemExit


def _app():
    import typer

    app = typer.Typer(
        help="Reference reproduction of FRoD.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def frod(
        version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True, callback=_version),
    ) -> None:
        pass

    groups = {
        "A study": ("init", "params", "cost", "fetch", "show", "audit", "replay", "compare", "crate", "track"),
        "The library": ("plan", "schema", "ship"),
        "Stages, which the workflow calls": STAGES,
    }
    for group, names in groups.items():
        for name in names:
            app.command(name, rich_help_panel=group)(getattr(import_module(f"frod.cli.{name}"), name))
    return app
