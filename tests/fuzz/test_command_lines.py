"""Each option of each command, missing and with values that it cannot have, is refused in a line that names it.

The command lines are made of the commands' own signatures. They run in a folder that has nothing finished in it, each
with what its other options ask for in kind; so what is wrong with the option has to be found before the rest.
"""

import json
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from by_hand import write_suite
from typer.models import ArgumentInfo

from frod.cli import main

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from closed_disks import without_rights

HUGE = str(10**20)
COMMANDS = {command.name: command.callback for command in main._app().registered_commands}


class Parameter:
    """An option or argument of a command, as its signature has it."""

    def __init__(self, name, annotation, required):
        kind, self.info = annotation.__origin__, annotation.__metadata__[0]
        given = {*typing.get_args(kind)} - {type(None)} if type(None) in typing.get_args(kind) else {kind}
        (kind,) = given
        self.kind = typing.get_args(kind)[0] if typing.get_origin(kind) is list else kind
        self.required = required
        self.is_argument = isinstance(self.info, ArgumentInfo)
        self.option = next(iter(self.info.param_decls or ()), "--" + name.replace("_", "-"))
        self.name = name

    def words(self, value):
        return [value] if self.is_argument else [self.option, value]

    @property
    def likely(self):
        """A value of the kind that it asks for."""
        if self.kind is Path:
            return ("file" if self.info.file_okay else "folder") if self.info.exists else "new"
        if typing.get_origin(self.kind) is typing.Literal:
            return typing.get_args(self.kind)[0]
        return {int: "1", float: "1"}.get(self.kind, {"params": "{}", "spec": "[]"}.get(self.name, "name"))

    def refused(self):
        """Values that it cannot have, whatever the others are."""
        yield from ("", "fifo", "a\0b" if self.is_argument else "a\nb")
        if self.kind in (int, float):
            yield from ("x", "nan", "inf", "1e3" if self.kind is int else "1,5")
            if self.info.min is not None:
                yield str(self.info.min - 1)
            if self.info.max is not None:
                yield from (str(self.info.max + 1), HUGE)
        if typing.get_origin(self.kind) is typing.Literal:
            yield "another"
        if self.kind is Path:
            yield from [] if self.info.file_okay else ["file", "closed"]
            yield from [] if self.info.dir_okay else ["folder"]
            yield from ("nowhere", "a" * 300, "file/below", "closed folder") if self.info.exists else []

    def odd(self):
        """Values that may be wrong, or be found out later."""
        yield from {Path: ["closed", "closed folder/below", "file/below", "a" * 300, "binary"]}.get(
            self.kind, ["0", "-1", HUGE, "../up", "null", "é\u202e"]
        )


def parameters(command):
    hints = typing.get_type_hints(COMMANDS[command], include_extras=True)
    defaults = COMMANDS[command].__defaults__ or ()
    names = [name for name in hints if name != "return"]
    optional = set(names[len(names) - len(defaults) :])
    return [Parameter(name, hints[name], name not in optional) for name in names]


def lines(command):
    """(words, the parameter that is wrong or None, its value) of a command's lines."""
    known = parameters(command)
    for wrong in known:
        others = [one for one in known if one.required and one is not wrong]
        if wrong.required:
            yield [command, *(word for one in others for word in one.words(one.likely))], wrong, None
        if wrong.kind is bool:
            continue
        values = [(value, True) for value in wrong.refused()] + [(value, False) for value in wrong.odd()]
        for value, must in values:
            words = [
                word
                for one in known
                if one is wrong or one in others
                for word in one.words(value if one is wrong else one.likely)
            ]
            if not wrong.is_argument:
                words = [*wrong.words(value), *(word for one in others for word in one.words(one.likely))]
            yield [command, *words], wrong if must else None, value


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project in which nothing has run, with one of each kind of file that an option may be given."""
    folder = tmp_path_factory.mktemp("lines")
    write_suite("smoke", folder)
    (folder / "params.yaml").write_text("suite: smoke\n")
    (folder / "file").write_text("no YAML: [\n")
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "closed").write_text("{}")
    os.mkfifo(folder / "fifo")
    for name in ("folder", "closed folder"):
        (folder / name).mkdir()
    for name in ("closed", "closed folder"):
        (folder / name).chmod(0)
    return folder


def test_what_no_option_can_have_is_refused_in_a_line_that_names_it(folder, tmp_path):
    asked = [line for command in COMMANDS for line in lines(command)]
    assert {words[0] for words, _, _ in asked} == COMMANDS.keys() - {"ship"}, "ship has no option"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FROD_", "MLFLOW_"))}
    done = subprocess.run(
        without_rights([sys.executable, Path(__file__).with_name("command_lines.py")]),
        cwd=folder, input=json.dumps([words for words, _, _ in asked]), text=True, stdout=subprocess.PIPE, check=True,
        env=clean | {"FROD_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1", "FROD_TRACKING": "off"},
    )  # fmt: skip
    faults = []
    for (words, wrong, value), (status, said, changed) in zip(asked, json.loads(done.stdout), strict=True):
        told = [line for line in said.splitlines() if line.strip()]
        if status not in (0, 1, 2) or "Traceback" in said:
            faults.append((words, status, said))
        elif status and (changed or len(told) > 3 or not re.search("^error: ", said, re.M)):
            faults.append((words, "changed" if changed else "unclear", changed, said))
        elif wrong and (status == 0 or not re.search(named(wrong, value), said)):
            faults.append((words, "is not named", status, said))
    assert not faults, f"{len(faults)} of {len(asked)}, first:\n" + "\n".join(map(repr, faults[:20]))


def named(wrong, value):
    """How a line may name what is wrong: by option or argument, or by its value, where that is no common word."""
    names = [wrong.option, f"'{wrong.name}'"]
    if wrong.is_argument:  # a missing one is told of the last
        names += ["an argument", "Missing argument"]
    return "|".join(map(re.escape, [*names, value] if value and len(value) > 3 else names))
