"""A split that another data set holds: read from there under its own columns, hashed, fetched and named as such."""

import json

import numpy as np
import pytest
from small_sources import REVISION, write

from frod.pipeline.load import _in_mirror
from frod.tasks import registry
from frod.tasks.prepare import drawn, opened


def spec(**changes):
    """Tested on someone/school, learnt from someone/made, whose file is JSON and whose columns have other names."""
    said = {
        "title": "School",
        "kind": "generation",
        "source": {"hub": f"someone/school@{REVISION}", "config": "main"},
        "licence": "none",
        "columns": {"text": ["question"], "label": "answer"},
        "elsewhere": {
            "made": {
                "source": {"hub": f"someone/made@{REVISION}", "files": {"made": "made-*.json"}},
                "columns": {"text": ["query"], "label": "response"},
            }
        },
        "rows": {"made": {"rows": 4}, "train": {"rows": 6}, "test": {"rows": 3}},
        "prompt": "Q: {question}",
        "read": "(?:#### |is: )([0-9]+)",
        "max_new_tokens": 8,
        "train": {"from": "made"},
        "validation": {"from": "train", "rows": 2},
        "test": {"from": "test"},
        "metrics": ["exact_match"],
    }
    return registry.TaskSpec.model_validate(said | changes)


@pytest.fixture
def both(tmp_path):
    """A mirror with both data sets."""
    for split, rows in (("train", 6), ("test", 3)):
        table = {"question": [f"{split} {i}" for i in range(rows)], "answer": [f"so #### {i}" for i in range(rows)]}
        write(tmp_path / "datasets/someone/school/main", table, f"{split}-00000-of-00001.parquet")
    made = [{"query": f"made {i}", "response": f"It is: {i}", "type": "x"} for i in range(4)]
    (tmp_path / "datasets/someone/made").mkdir()
    (tmp_path / "datasets/someone/made/made-4.json").write_text(json.dumps(made))
    return tmp_path


def test_each_split_comes_from_its_own_data_set(both):
    task = spec()
    with opened(task, seed=0, mirror=both) as source:
        parts, facts = drawn("school", task, source, seed=0, protocol="audited")
        assert [part.answer for part in parts["train"].inputs] == [f"It is: {i}" for i in range(4)]
        assert parts["train"].inputs[0].parts == {"question": "made 0"}
        assert parts["test"].labels.tolist() == ["0", "1", "2"]
        assert len(parts["validation"]) == 2 and np.isin(parts["validation"].labels, list("012345")).all()
    assert set(facts["source"]["files"]) == {f"main/{split}-00000-of-00001.parquet" for split in ("train", "test")}
    assert set(facts["source"]["elsewhere"]["made"]["files"]) == {"made-4.json"}
    assert facts["source"]["rows"] == {"made": 4, "train": 6, "test": 3}


def test_a_mirror_lacks_the_task_where_it_lacks_either(both):
    assert _in_mirror(spec(), both)
    (both / "datasets/someone/made/made-4.json").unlink()
    assert not _in_mirror(spec(), both)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[{", "made-4.json: cannot be read to its end"),
        ('[{"query": "a", "response": 3}]', "column 'response' should be text"),
        ('[{"query": "a"}]', "no column 'response'; it has 'query'"),
        (
            '[{"query": "a", "response": "It is: 3"}]',
            "made of hub someone/made, default has 1 rows, the registry says 4",
        ),
        ('[{"query": "a", "response": null}, {"query": "b", "response": "It is: 3"}]', "column 'response' is empty"),
    ],
)
def test_broken_json_is_an_error_in_one_line(both, content, words):
    (both / "datasets/someone/made/made-4.json").write_text(content)
    with pytest.raises(ValueError, match=words), opened(spec(), seed=0, mirror=both):
        pass


def test_a_number_far_down_among_texts_is_refused(both):
    """The library reads 10 MB at a time; by itself it would take the last ones' texts as JSON, in quotes."""
    rows = [{"query": "a" * 100_000, "response": "It is: 3"}] * 110 + [{"query": "b", "response": 3}]
    (both / "datasets/someone/made/made-4.json").write_text("\n".join(map(json.dumps, rows)))
    task = spec(rows=spec().model_dump()["rows"] | {"made": {"rows": 111}})
    words = r"made-4.json: cannot be read to its end \(.*Column\(/response\) changed from string to number"
    with pytest.raises(ValueError, match=words), opened(task, seed=0, mirror=both):
        pass


def test_lines_of_json_may_be_called_jsonl(both):
    made = both / "datasets/someone/made"
    rows = json.loads((made / "made-4.json").read_text())
    (made / "made-4.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    other = spec().model_dump(by_alias=True)["elsewhere"]["made"]
    task = spec(elsewhere={"made": other | {"source": other["source"] | {"files": {"made": "made-*.jsonl"}}}})
    with opened(task, seed=0, mirror=both) as source:
        assert source.splits["made"].labels.tolist() == list("0123")
        assert set(source.facts["elsewhere"]["made"]["files"]) == {"made-4.jsonl"}


def test_a_split_elsewhere_is_one_that_is_read():
    with pytest.raises(ValueError, match="elsewhere: made is no split that is read"):
        spec(train={"from": "train"}, validation={"from": "test", "rows": 1})
    columns = {"text": ["query", "hint"], "label": "response"}
    source = {"hub": f"someone/made@{REVISION}"}
    with pytest.raises(ValueError, match="should be as many as"):
        spec(elsewhere={"made": {"source": source, "columns": columns}})


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (None, "elsewhere.made.columns.choices: give either the columns of the answers"),
        (["a", "b", "c"], r"elsewhere.made.columns.choices: \['a', 'b', 'c'\] are 3, the classes 2"),
    ],
)
def test_a_choice_elsewhere_has_its_answers_there_too(choices, words):
    made = {"source": {"hub": f"someone/made@{REVISION}"}, "columns": {"text": ["query"], "choices": ["x", "y"]}}
    said = {"kind": "choices", "prompt": None, "read": None, "max_new_tokens": None, "metrics": ["accuracy"]}
    said |= {"classes": ["A", "B"], "columns": {"text": ["question"], "choices": ["a", "b"]}}
    assert spec(**said, elsewhere={"made": made}).elsewhere
    with pytest.raises(ValueError, match=words):
        spec(**said, elsewhere={"made": made | {"columns": {"text": ["query"], "choices": choices}}})
