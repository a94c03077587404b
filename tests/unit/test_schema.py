"""Errors of entries: of a field that takes several kinds of values, only what is wrong with the kind that was meant."""

import re

import pytest

from frod.config import schema
from frod.config.suite import Method
from frod.tasks.registry import TaskSpec

TASK = {
    "title": "Mine",
    "kind": "sentences",
    "source": {"path": "mine.csv"},
    "licence": "mine",
    "columns": {"text": ["text"]},
    "classes": ["bad", "good"],
    "train": {"from": "all"},
    "validation": {"from": "all", "rows": 4},
    "test": {"from": "all", "rows": 6},
    "metrics": ["accuracy"],
}


def error_of(kind, values):
    with pytest.raises(ValueError) as error:
        schema.validate(kind, values, "suite.yaml", "mine")
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"classes": [False, "yes"]}, ["classes.0: Input should be a valid string, is False; put it in quotes"]),
        ({"classes": [1, 2.5]}, ["classes.0: .* is 1; put it in quotes", r"classes.1: .* is 2\.5; put it in quotes"]),
        ({"classes": 0}, ["classes: Input should be greater than or equal to 1, is 0"]),
        ({"source": {"path": 3}}, ["source.path: Input is not a valid path"]),
        ({"source": "mine.csv"}, ["source: should be a mapping of names to values, is 'mine.csv'"]),
        ({"source": {"hub": "a/b", "confg": "x"}}, ["source.confg: unknown key; did you mean 'config'?"]),
        ({"source": {"package": "p", "reader": "r"}}, ["source.reader: Input should be 'digits' or 'territory_names'"]),
        ({"columns": {"text": ["a"], "choices": [1]}}, ["columns.choices.0: .* is 1; put it in quotes"]),
        (
            {"more_tests": {"A b": {"from": "all"}}},
            ["more_tests.A b: should be of lower case letters, digits and _, is 'A b'"],
        ),
        ({"test": {"rows": 3}}, ["test.from: is missing"]),
    ],
    ids=str,
)
def test_a_field_of_several_types_has_the_errors_of_the_one_that_was_meant(changes, lines):
    found = error_of(TaskSpec, TASK | changes)
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert line.startswith("suite.yaml: mine.")
        assert re.search(expected, line)


def test_an_argument_of_a_peft_method_has_its_place():
    lora = {"kind": "peft", "config": "LoraConfig"}
    assert error_of(Method, lora | {"r": 8}) == [
        "suite.yaml: mine: r: unknown key; an argument of LoraConfig stands below: arguments: {r: ...}"
    ]
    assert error_of(Method, lora | {"argument": {"r": 8}}) == [
        "suite.yaml: mine: argument: unknown key; did you mean 'arguments'?"
    ]
