"""Generated sums: right answers, and no sum of validation or test in train or in the pre-training text."""

import re

import numpy as np
import pytest

from frod.tasks import pretraining, registry, sums
from frod.tasks.choices import LETTERS
from frod.tasks.registry import Generator

SOURCE = registry.load()["sums"].source


def numbers_of(question):
    a, b = map(int, re.fullmatch(r"(\d+) \+ (\d+) =", question.parts["question"]).groups())
    return a, b


@pytest.fixture(scope="module")
def splits():
    return sums.read(SOURCE, seed=0).splits


@pytest.fixture(scope="module")
def text():
    return pretraining.data(registry.load()["sums"], seed=0, lines=3000)


def test_the_labelled_choice_is_the_sum(splits):
    for split in splits.values():
        for question, label in zip(split.inputs, split.labels, strict=True):
            answers = [int(choice) for choice in question.choices]
            assert answers[label] == sum(numbers_of(question))
            assert answers == sorted(set(answers)) and len(answers) == 4


def test_every_letter_is_right_about_equally_often(splits):
    shares = np.bincount(splits["train"].labels, minlength=4) / len(splits["train"])
    assert shares.min() > 0.2 and shares.max() < 0.3


def test_sums_of_validation_and_test_occur_nowhere_else(splits, text):
    seen = {name: {frozenset(numbers_of(q)) for q in split.inputs} for name, split in splits.items()}
    written = {frozenset(map(int, pair)) for line in text for pair in re.findall(r"(\d+) \+ (\d+)", line)}
    assert not seen["test"] & seen["validation"]
    assert not (seen["test"] | seen["validation"]) & (seen["train"] | written)
    assert len(seen["test"]) > 25 and len(seen["validation"]) > 15


def test_equations_and_look_ups_in_the_text_are_right(text):
    for line in text:
        for a, b, c in re.findall(r"(\d+) \+ (\d+) = (\d+)", line):
            assert int(a) + int(b) == int(c)
        letters = dict(re.findall(r"(\d+) ([A-D])", line)[:4])
        assert all(letters[number] == letter for number, letter in re.findall(r"(\d+) ([A-D])", line))


def test_no_line_gives_a_letter_right_after_a_question(text):
    assert not any(re.search(r"= [A-Z]", line) for line in text)


def test_every_word_of_the_questions_is_in_the_text(splits, text):
    known = {word for line in text for word in line.split()}
    asked = {
        word for split in splits.values() for q in split.inputs for word in [*q.parts["question"].split(), *q.choices]
    } | set(LETTERS[:4])
    assert asked <= known


def test_the_seed_decides_everything():
    first, again, other = (sums.pretraining_text(SOURCE, seed=seed, lines=50) for seed in (0, 0, 1))
    assert first == again != other
    assert sums.divide(24, 0) != sums.divide(24, 1)


def test_an_unknown_option_is_named():
    with pytest.raises(ValueError, match="operand"):
        sums.read(Generator(generator="sums", options={"operand": 3}), seed=0)


def test_lines_belong_to_generated_text_only():
    with pytest.raises(ValueError, match="lines is missing"):
        pretraining.data(registry.load()["sums"], seed=0)
    with pytest.raises(ValueError, match="lines is 5"):
        pretraining.data(registry.load()["digits"], seed=0, lines=5)
