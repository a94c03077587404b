"""What stands in suites and parameters reaches the commands as it is: no shell and no template reads it on the way.

The rules, Snakemake and bash are the real ones; only `python` is a function that keeps its arguments.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from projects import checkout

HERE = Path(__file__).parent
EVIL = (
    "$(touch owned) `touch owned` ; touch owned & touch owned | touch owned\n\"; touch owned; \"'; touch owned; '"
    " {wildcards.task} {input} {{params.spec}} {0} %s \\ * ~ # ! é <b>"
)
PATH = EVIL.replace("/", "")[:120].replace("\n", " ")
RATES = {"frod": ["lr_scale", "lr_rotation", "lr_head"], "lora": ["lr", "lr_head"]}
BOX = {method: {name: [0.1, 0.2] for name in names} for method, names in RATES.items()}
SUITE = {
    "title": EVIL,
    "description": EVIL,
    "cannot_show": [EVIL],
    "rates_chosen": EVIL,
    "seeds": [0],
    "tune": {"trials": 2},
    "methods": {"frod": {"label": EVIL}, "lora": {"label": f"{EVIL}, too", "arguments": {"bias": EVIL, EVIL: 1}}},
    "tasks": {
        "own": {
            "title": EVIL,
            "kind": "sentences",
            "licence": EVIL,
            "source": {"path": f"{PATH}/data.csv"},
            "columns": {"text": [EVIL], "label": EVIL},
            "classes": [EVIL, "b"],
            "train": {"from": "all"},
            "validation": {"from": "all", "rows": 4},
            "test": {"from": "all", "rows": 4},
            "metrics": ["accuracy"],
        }
    },
    "backbones": {
        "own": {
            "title": EVIL,
            "library": "transformers",
            "licence": EVIL,
            "max_length": 8,
            "source": {"path": PATH, "config": {EVIL: EVIL}},
        }
    },
    "experiments": [
        {
            "tasks": ["own"],
            "backbone": "own",
            "targets": [EVIL],
            "box": BOX,
        }
    ],
}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """(project's folder, arguments of each command) after a whole run of the workflow."""
    top = tmp_path_factory.mktemp("shell")
    project = checkout(top / "project", top / "cache")
    project.path("workflow/suites/own.yaml").write_text(yaml.safe_dump(SUITE, allow_unicode=True))
    params = yaml.safe_load(project.path("params.yaml").read_text())
    params |= {"suite": "own", "paths": {"mirror": PATH}, "tracking": {"uri": f"sqlite:///{EVIL}"}}
    params["basis"] |= {"parts": 2}
    project.path("params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True))
    # As if it had run before: else its data and arguments, which are none, are looked at and refused before any job.
    project.path("results/own").mkdir(parents=True)
    project.path("results/own/summary.parquet").touch()
    (top / "recorded").mkdir()
    (top / "shell.sh").write_text(f'python() {{ "{sys.executable}" "{HERE / "recorder.py"}" "$@"; }}\n')
    around = {"BASH_ENV": str(top / "shell.sh"), "RECORDED": str(top / "recorded")}
    project.snakemake("runs", **around)
    # At its end the workflow would show the table of runs, and the one here is none.
    said = project.run("snakemake", "--cores", "2", check=False, **around).stdout
    assert "report of the suite" in said
    found = {}
    for path in sorted((top / "recorded").iterdir()):
        found.setdefault(path.name.partition("-")[0], []).append(json.loads(path.read_text()))
    return project.folder, found


def option(arguments, name):
    return [value for key, value in itertools.pairwise(arguments) if key == f"--{name}"]


def test_nothing_in_a_suite_or_in_parameters_is_run(words):
    folder, found = words
    assert set(found) >= {"backbone", "task", "basis_part", "basis", "trial", "tune", "train", "evaluate", "report"}
    assert not list(folder.rglob("owned*"))


def test_every_word_arrives_as_it_was_written(words):
    _, found = words
    (backbone,), (task,) = found["backbone"], found["task"]
    assert json.loads(*option(backbone, "spec"))["backbone"]["title"] == EVIL
    assert json.loads(*option(backbone, "spec"))["backbone"]["source"] == {"path": PATH, "config": {EVIL: EVIL}}
    assert json.loads(*option(task, "spec"))["task"]["classes"] == [EVIL, "b"]
    assert json.loads(*option(task, "spec"))["task"]["columns"]["text"] == [EVIL]
    for arguments in found["basis_part"]:
        assert json.loads(*option(arguments, "spec"))["targets"] == [EVIL]
    specs = [json.loads(*option(arguments, "spec")) for arguments in found["train"] + found["trial"]]
    assert len(specs) == 6 and all(spec["targets"] == [EVIL] for spec in specs)
    assert {spec["adapter"]["arguments"].get("bias") for spec in specs if spec["method"] == "lora"} == {EVIL}
    assert [json.loads(*option(arguments, "box")) in BOX.values() for arguments in found["tune"]] == [True, True]
    for arguments in found["summarise"] + found["report"]:
        assert json.loads(*option(arguments, "params"))["tracking"]["uri"] == f"sqlite:///{EVIL}"


def test_each_command_has_the_arguments_that_its_rule_names(words):
    """No word was split or joined: all that follows an option is one value, and options are only the known ones."""
    _, found = words
    for command, calls in found.items():
        for arguments in calls:
            given = arguments[3:]
            flags = [word for word in given if word in ("--no-sharded", "--sharded")]
            pairs = [word for word in given if word not in flags]
            assert arguments[:2] == ["-m", "frod"] and len(pairs) % 2 == 0, (command, arguments)
            assert all(name.startswith("--") for name in pairs[::2]), (command, arguments)


@pytest.mark.parametrize("quoted", ["{}", '"{}"', "'{}'"])
def test_these_words_are_dangerous(tmp_path, quoted):
    """A shell that reads them, bare or between quotes that someone has put around them, does run what they say."""
    subprocess.run(["bash", "-c", f"echo {quoted.format(EVIL)}"], cwd=tmp_path, capture_output=True, check=False)
    assert (tmp_path / "owned").exists()


def test_a_parameter_file_that_is_a_program_is_not_run(fresh):
    """Snakemake takes a configfile of this kind for a template and runs its expressions, in a dry run too."""
    with fresh.path("params.yaml").open("a") as file:
        file.write('__use_yte__: true\n?(__import__("pathlib").Path("owned").touch()): 1\n')
    said = fresh.run("snakemake", "--cores", "1", "--dry-run", check=False)
    assert said.returncode == 1
    assert "params.yaml: __use_yte__: makes Snakemake run the file" in said.stdout
    assert not fresh.path("owned").exists()
