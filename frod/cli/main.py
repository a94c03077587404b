"""The command line `frod`: which commands there are, and how an error ends.

No stage imports this file: what a stage loads is part of its code hash.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from frod import numerics, terminal
from frod.characters import visible
from frod.pipeline import workflows
from frod.provenance import secrets


def main() -> None:
    """Run the command line; a mistake of the user ends in one clear line, not in a traceback, and no secret in either.

    What is printed here is kept: the workflow writes it to a log and shows the log.
    """
    workflows.end_with_workflow()
    terminal.printable()
    try:
        numerics.apply()
        _app()()
    except Exception as error:
        ours = (isinstance(error, ValueError | OSError) and _raised_by_us(error)) or _of_a_file(error)
        if os.environ.get("FROD_TRACEBACK") or not ours:
            print(visible(secrets.removed_from(traceback.format_exc())), file=sys.stderr, end="")
        name = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
        print(visible(secrets.removed_from(f"error: {name}{error}")), file=sys.stderr)
        sys.exit(1)


def _raised_by_us(error: BaseException) -> bool:
    """Whether the error was raised in this package (a message for the user) rather than inside a library."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(Path(__file__).parents[1])


def _of_a_file(error: BaseException) -> bool:
    """Whether the system refused a file, which the error's own words name: no permission, no space, a folder there."""
    return isinstance(error, OSError) and error.errno is not None and error.filename is not None


def _version(asked: bool) -> None:
    if asked:
        from frod import __version__

        print(f"frod {__version__}")
        raise SystemExit


def _app():
    import typer

    from frod.cli import (
        audit,
        backbone,
        basis,
        basis_part,
        compare,
        cost,
        crate,
        evaluate,
        fetch,
        init,
        params,
        plan,
        replay,
        report,
        schema,
        ship,
        show,
        spectrum,
        summarise,
        task,
        track,
        train,
        trial,
        tune,
    )

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
        "A study": (init, params, cost, fetch, show, audit, replay, compare, crate, track),
        "The library": (plan, schema, ship),
        "Stages, which the workflow calls": (
            backbone, task, basis_part, basis, trial, tune, train, evaluate, spectrum, summarise, report
        ),
    }  # fmt: skip
    for group, modules in groups.items():
        for module in modules:
            name = module.__name__.rpartition(".")[2]
            app.command(name, rich_help_panel=group)(getattr(module, name))
    return app
