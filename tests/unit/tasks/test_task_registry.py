"""The registry is typed: a slip in it is an error that names task, field and value, not a surprise in a run."""

import re

import pytest
import yaml
from pydantic import ValidationError
from small_sources import entry

from frod.tasks import registry
from frod.tasks.registry import Hub, TaskSpec

TASKS = registry.load()


def test_the_smoke_tasks_and_glue_are_there():
    assert {"digits", "digits_parity", "territory_language", "sums", "sst2", "cola"} <= set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_an_entry_survives_json(name):
    assert TaskSpec.model_validate_json(TASKS[name].model_dump_json()) == TASKS[name]


@pytest.mark.parametrize("name", [n for n, t in TASKS.items() if isinstance(t.source, Hub)])
def test_hub_data_are_pinned_to_a_commit(name):
    assert re.fullmatch(r"[0-9a-f]{40}", TASKS[name].source.revision)


def test_cola_is_scored_by_matthews_correlation():
    assert TASKS["cola"].metrics[0] == "matthews_correlation"  # the released scripts took accuracy for every GLUE task


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"columns": {"texts": ["sentence"]}}, "columns.texts"),
        ({"source": {"hub": "someone/texts@main", "config": "plain"}}, "source.hub"),
        ({"source": {"generator": "sums"}}, "synthetic"),
        ({"columns": {}}, "columns.text"),
        ({"relabel": [0, 0, 0]}, "relabel"),
        ({"train": {"from": "train", "rows": 5}}, "train.rows"),
        ({"rows": {"train": {"rows": 60, "labels": [20, 41]}, "validation": {"rows": 12}}}, "61"),
        ({"classes": ["one"]}, "classes"),
        ({"metrics": ["loss"]}, "metrics"),
        ({"metrics": ["f1"], "classes": 3}, "metrics: f1 is of two classes, there are 3"),
        ({"columns": {"text": ["a", "b", "c"]}}, "columns.text"),
        ({"classes": ["no", "no"]}, "repeats a name"),
        ({"answers": ["no", "no"]}, "answers"),
        ({"released": "dev"}, "rows: lacks ['dev']"),
        ({"more_tests": {"other": {"from": "dev"}}}, "rows: lacks ['dev']"),
        ({"prompt": "{sentence}"}, "only kinds choices and generation have one"),
        ({"problem": "regression"}, "a regression has none"),
        ({"problem": "regression", "classes": None}, "range"),
        ({"problem": "regression", "classes": None, "range": [5, 0]}, "range"),
        ({"problem": "regression", "classes": None, "range": [0, 5]}, "metrics"),
        ({"range": [0, 5]}, "problem: regression"),
        ({"metrics": ["pearson"]}, "problem: regression"),
    ],
)
def test_a_slip_is_named(tmp_path, changes, words):
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump({"mine": entry(**changes)}))
    with pytest.raises(ValueError, match=rf"registry\.yaml: mine[.:](.|\n)*{re.escape(words)}"):
        registry.load(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": {"text": ["question"]}}, "columns.choices"),
        ({"choices": ["no", "yes"]}, "columns.choices"),
        ({"columns": {"text": ["question"], "choices": ["a", "b", "c"]}}, "are 3, the classes 2"),
        ({"classes": 9}, "letters ABCDEFGH"),
        ({"prompt": "{queston} {choices}"}, "names ['queston']; it may name ['choices', 'question']"),
        ({"prompt": "{question"}, "expected '}'"),
        ({"prompt": "{question}"}, "leaves out ['choices']"),
        ({"prompt": "{choices}"}, "leaves out ['question']"),
        ({"prompt": "{question!r} {0} {choices}"}, "names ['0']"),
    ],
)
def test_a_slip_in_a_choice_is_named(tmp_path, changes, words):
    columns = {"text": ["question"], "choices": "options"}
    test_a_slip_is_named(tmp_path, {"kind": "choices", "columns": columns} | changes, words)


def test_entries_cannot_be_changed():
    with pytest.raises(ValidationError):
        TASKS["digits"].kind = "sentences"
