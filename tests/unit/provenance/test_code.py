"""The code hash changes with every change that can alter a result of the stage, and with no other.

Each case builds a small package, because the hash must follow imports without importing anything.
"""

import json
import os
import subprocess

import pytest

from frod.provenance import code, sources

PACKAGE = {
    "__init__.py": 'def __getattr__(name):\n    import importlib\n    return importlib.import_module(f"toy.{name}")\n',
    "commands/__init__.py": 'import importlib\ndef main(name):\n    importlib.import_module(f"toy.commands.{name}")\n',
    "commands/train.py": '"""Train."""\nfrom toy.training import loop\nfrom toy import config, tracking\n',
    "commands/page.py": "from ..reporting.page import build\n",
    "config.py": "LR = 1\n",
    "tracking.py": "URI = 1\n",
    "training/__init__.py": "",
    "training/loop.py": "def run():\n    from . import schedule as s\n    return s.warm(2)  # steps\n",
    "training/schedule.py": "def warm(n):\n    '''Say.'''\n    return n + 1\n",
    "training/late.py": 'TABLE = {"a": "toy.extra:Thing", "b": ".other"}\n',
    "training/other.py": "B = 1\n",
    "training/computed.py": "import importlib\ndef get(n):\n    return importlib.import_module('toy.training.' + n)\n",
    "extra.py": "class Thing: pass\n",
    "reporting/__init__.py": "",
    "reporting/page.py": 'TEMPLATES = "templates"\ndef build(): pass\n',
    "reporting/tables.py": "ROWS = 3\n",
    "reporting/templates/page.j2": "hello",
    "tasks/__init__.py": "",
    "tasks/registry.py": 'FILE = "registry.yaml"\n',
    "tasks/arrays.py": "SIZE = 1\n",
    "tasks/registry.yaml": "digits: 1",
    "tasks/unnamed.txt": "x",
}
EXCLUDE = ("toy.config", "toy.tracking")


@pytest.fixture
def toy(tmp_path):
    top = tmp_path / "toy"
    for name, text in PACKAGE.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


def _reached(toy, entry, exclude=EXCLUDE):
    return set(code.reached(entry, package=toy, exclude=exclude))


def _hash(toy, entry="toy.commands.train"):
    return code.code_hash(entry, package=toy, exclude=EXCLUDE)


def test_follows_imports_in_functions_and_relative_ones(toy):
    assert _reached(toy, "toy.commands.train") == {
        "toy", "toy.commands", "toy.commands.train", "toy.training", "toy.training.loop", "toy.training.schedule",
    } | {name for name in code.reached("toy", package=toy, exclude=EXCLUDE)}  # fmt: skip
    assert _reached(toy, "toy.commands.page") == {
        "toy", "toy.commands", "toy.commands.page", "toy.reporting", "toy.reporting.page",
        "reporting/templates/page.j2",
    }  # fmt: skip


def test_a_package_that_is_only_loaded_does_not_bring_its_late_imports(toy):
    assert _reached(toy, "toy.training.schedule") == {"toy", "toy.training", "toy.training.schedule"}


def test_a_name_taken_from_a_package_brings_its_late_imports(toy):
    (toy / "user.py").write_text("from toy import Thing\n")
    assert {"toy.extra", "toy.training.loop"} <= _reached(toy, "toy.user")


def test_strings_that_name_modules_count(toy):
    assert {"toy.extra", "toy.training.other"} <= _reached(toy, "toy.training.late")


def test_computed_imports_take_in_all_beside(toy):
    assert {"toy.training.late", "toy.training.schedule"} <= _reached(toy, "toy.training.computed")


def test_a_table_of_names_takes_in_what_it_names_and_no_more(toy):
    table = 'import importlib\nTABLE = {"a": "toy.extra"}\ndef get(n):\n    return importlib.import_module(TABLE[n])\n'
    (toy / "training" / "table.py").write_text(table)
    assert _reached(toy, "toy.training.table") == {"toy", "toy.training", "toy.training.table", "toy.extra"}
    (toy / "training" / "table.py").write_text(table.replace('"toy.extra"', '"toy." + "extra"'))
    assert "toy.training.late" in _reached(toy, "toy.training.table")


def test_a_word_that_is_also_a_name_beside_does_not_count(toy):
    (toy / "training" / "word.py").write_text('HEADING = "schedule"\n')
    assert "toy.training.schedule" not in _reached(toy, "toy.training.word")


def test_our_commands_reach_what_they_run_and_no_more():
    reached = {name: set(code.reached(f"frod.cli.{name}")) for name in ("train", "evaluate", "report")}
    assert {"frod.method.attach", "frod.training.loop", "frod.training.methods.frod", "frod.tasks.arrays"} <= reached[
        "train"
    ]
    assert not {name for name in reached["train"] if name.startswith(("frod.reporting", "frod.training.estimate"))}
    assert "frod.tasks.prepare" not in reached["train"]
    assert "frod.training.loop" not in reached["evaluate"] | reached["report"]


def test_data_files_belong_to_the_module_that_names_them(toy):
    assert "tasks/registry.yaml" in _reached(toy, "toy.tasks.registry")
    assert "tasks/registry.yaml" not in _reached(toy, "toy.tasks.arrays")
    assert "tasks/unnamed.txt" in _reached(toy, "toy.tasks.arrays")
    assert "tasks/registry.yaml" not in _reached(toy, "toy.tasks.registry", (*EXCLUDE, "tasks/registry.yaml"))


REAL = [
    ("training/schedule.py", "n + 1", "n + 2"),
    ("training/schedule.py", "n + 1", "n - 1"),
    ("training/schedule.py", "n + 1", "n + 1.0"),
    ("training/schedule.py", "n + 1", "n + True"),
    ("training/schedule.py", "return n + 1", "n + 1"),
    ("training/schedule.py", "return n + 1", "yield n + 1"),
    ("training/schedule.py", "n + 1", '"n + 1"'),
    ("training/schedule.py", "n + 1", 'b"n"'),
    ("training/schedule.py", "def warm", "async def warm"),
    ("training/schedule.py", "warm(n)", "warm(n, *, m=None)"),
    ("training/loop.py", "s.warm(2)", "s.warm(*2)"),
    ("training/loop.py", "schedule as s", "other as s"),
    ("training/__init__.py", "", "import os\n"),
    ("commands/__init__.py", "main", "other"),
]


@pytest.mark.parametrize(("name", "old", "new"), REAL)
def test_a_real_change_changes_the_hash(toy, name, old, new):
    before = _hash(toy)
    (toy / name).write_text(PACKAGE[name].replace(old, new, 1) if old else new)
    assert _hash(toy) != before


COSMETIC = [
    ("training/schedule.py", "return n + 1", "# why\n\n    return (n  +\n            1)"),
    ("training/schedule.py", "'''Say.'''", '"""Say\n    more."""'),
    ("training/schedule.py", "    '''Say.'''\n", ""),
    ("training/loop.py", "# steps", "# number of steps"),
    ("config.py", "1", "2"),
    ("tracking.py", "1", "2"),
    ("reporting/tables.py", "3", "4"),
]


@pytest.mark.parametrize(("name", "old", "new"), COSMETIC)
def test_a_change_that_alters_no_result_does_not(toy, name, old, new):
    entry = "toy.training.loop" if name.startswith("reporting") else "toy.commands.train"
    before = _hash(toy, entry)
    (toy / name).write_text(PACKAGE[name].replace(old, new, 1))
    assert _hash(toy, entry) == before


def test_a_changed_data_file_changes_the_hash(toy):
    before = _hash(toy, "toy.commands.page")
    (toy / "reporting/templates/page.j2").write_text("hullo")
    assert _hash(toy, "toy.commands.page") != before


def test_several_hashed_at_once_are_as_each_alone(toy):
    entries = {"train": "toy.commands.train", "page": "toy.commands.page", "computed": "toy.training.computed"}
    alone = {name: _hash(toy, entry) for name, entry in entries.items()}
    assert code.code_hashes(entries, package=toy, exclude=EXCLUDE) == alone
    assert len(set(alone.values())) == len(entries)


def test_a_misspelt_name_is_refused(toy):
    with pytest.raises(ValueError, match=r"toy\.comands"):
        code.code_hash("toy.comands", package=toy, exclude=())
    with pytest.raises(ValueError, match=r"toy\.nothing"):
        code.code_hash("toy.config", package=toy, exclude=("toy.nothing",))


def test_the_hash_does_not_depend_on_where_the_package_lies(toy, tmp_path):
    before = _hash(toy)
    (tmp_path / "elsewhere").mkdir()
    moved = toy.rename(tmp_path / "elsewhere" / "toy")
    assert _hash(moved) == before


def _git(directory, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A project of one commit."""
    monkeypatch.setattr(code, "PACKAGE_DIRECTORY", tmp_path / "frod")
    monkeypatch.chdir(tmp_path)
    for name in ("frod/loop.py", "params.yaml", "workflow/suites/mine.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    _git(tmp_path, "init")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "one")
    return tmp_path


def test_git_state(checkout, monkeypatch):
    (checkout / "reports").mkdir()
    (checkout / "reports" / "index.html").touch()
    (checkout / "dvc.lock").touch()
    clean = code.git_state()
    assert len(clean["git_commit"]) == 40 and clean["git_dirty"] is False
    (checkout / "notes.md").touch()
    assert code.git_state() == {**clean, "git_dirty": True}
    (checkout / "new").mkdir()
    _git(checkout / "new", "init")
    for place in (checkout.parent, checkout / "none", checkout / "new"):  # no checkout, no folder, no commit
        monkeypatch.setattr(code, "PACKAGE_DIRECTORY", place / "frod")
        assert code.git_state() == {"git_commit": None, "git_dirty": None}


@pytest.mark.parametrize("name", ["frod/more.py", "frod/loop.py", "params.yaml", "workflow/suites/mine.yaml"])
def test_a_job_of_the_workflow_looks_at_what_its_run_depends_on(checkout, monkeypatch, name):
    """A note, a table elsewhere and the next suite are no reason to doubt a run."""
    settings = ["params.yaml", "workflow/suites/mine.yaml", "../elsewhere.yaml"]
    monkeypatch.setenv(code.SETTINGS, os.pathsep.join(settings))
    for other in ("notes.md", "mine/more.csv", "workflow/suites/next.yaml"):
        (checkout / other).parent.mkdir(exist_ok=True)
        (checkout / other).touch()
    assert code.git_state()["git_dirty"] is False
    (checkout / name).write_text("2")
    assert code.git_state()["git_dirty"] is True


def test_a_warning_before_trainings_names_what_an_audit_holds_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(code, "PACKAGE_DIRECTORY", tmp_path / "frod")
    monkeypatch.chdir(tmp_path)
    settings = ["params.yaml", "mine.yaml", "../elsewhere.yaml"]
    code.warn_of_edits(settings)
    for name in ("frod/loop.py", "params.yaml", "mine.yaml", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    _git(tmp_path, "init")
    _git(tmp_path, "add", "frod", "params.yaml")
    _git(tmp_path, "commit", "-m", "one")
    assert capsys.readouterr().err == ""
    code.warn_of_edits(settings)
    assert capsys.readouterr().err.startswith("frod: not committed: mine.yaml. An audit holds runs against a commit")
    _git(tmp_path, "add", "mine.yaml")
    _git(tmp_path, "commit", "-m", "two")
    code.warn_of_edits(settings)
    assert capsys.readouterr().err == ""
    (tmp_path / "frod/loop.py").write_text("2")
    (tmp_path / "frod/more.py").write_text("1")
    code.warn_of_edits(settings)
    assert "not committed: frod/loop.py, frod/more.py." in capsys.readouterr().err


def test_git_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code.git_state() == {"git_commit": None, "git_dirty": None}


def test_a_new_command_does_not_change_what_the_other_stages_run():
    assert not {"frod.cli.main", "frod.cli.report"} & set(code.reached("frod.cli.train"))


@pytest.fixture
def forgetful(monkeypatch):
    """What a new process knows of sources: nothing."""

    def forget():
        for name in ("_parsed", "_recalled"):
            monkeypatch.setattr(sources, name, {})

    forget()
    return forget


def test_what_is_kept_is_not_parsed_again_and_gives_the_same_hash(toy, tmp_path, monkeypatch, forgetful):
    file, before = tmp_path / "kept.json", _hash(toy)
    sources.keep(file)
    forgetful()
    sources.recall(file)
    with monkeypatch.context() as patch:
        patch.setattr(sources, "_parse", None)
        assert _hash(toy) == before
    (toy / "training/schedule.py").write_text("def warm(n):\n    return n + 2\n")
    changed = _hash(toy)
    assert changed != before
    forgetful()
    assert _hash(toy) == changed  # as without anything kept


def test_what_is_kept_is_of_one_parser_and_of_what_is_there(toy, tmp_path, forgetful):
    file, before = tmp_path / "kept.json", _hash(toy)
    sources.keep(file)
    kept = json.loads(file.read_text())
    for values in kept["modules"].values():
        values[0] = "0" * 64
    for text in (json.dumps(kept | {"parser": "another"}), "{", "[]", json.dumps({"parser": kept["parser"]})):
        file.write_text(text)
        forgetful()
        sources.recall(file)
        assert _hash(toy) == before
    sources.keep(file)
    assert len(json.loads(file.read_text())["modules"]) == len(kept["modules"])
