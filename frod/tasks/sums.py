"""Generated sums: a multiple choice for the micro Llama, and the text it is pre-trained on. Synthetic, and labelled so.

Which sums a model may see is decided once, by a hash of (seed, the two numbers): a sum of validation or test occurs
neither in train nor in the pre-training text, in neither order of its numbers.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

import numpy as np

from frod.tasks.choices import LETTERS, Question, lettered
from frod.tasks.examples import Examples, Source
from frod.tasks.registry import Generator

HELD_OUT = (("test", 0.15), ("validation", 0.10))  # share of all sums; train and the text have the rest
QUERIES = 6  # look-ups in a line of text
SUMS = 5  # sums in a line of text
WEIGHTS = (55, 15, 30)  # lines of sums, of look-ups, of sums whose answer is looked up


@dataclass(frozen=True, kw_only=True)
class Options:
    """The registry's options.

    operands : numbers to add are 0 to operands - 1
    choices : answers to choose from
    spread : how far a wrong answer is from the right one, at most
    rows : questions by split
    """

    operands: int
    choices: int
    spread: int
    rows: dict[str, int]


def read(source: Generator, *, seed: int) -> Source:
    """Generate the questions of all splits; ValueError where an option is not known."""
    options = _options(source)
    pairs = divide(options.operands, seed)
    parts = {split: _questions(pairs[split], options, f"{seed}/{split}", rows) for split, rows in options.rows.items()}
    facts = {"what": "generator sums, synthetic", "revision": f"seed {seed}", "files": {}}
    return Source(splits=parts, facts=facts)


def divide(operands: int, seed: int) -> dict[str, list[tuple[int, int]]]:
    """Return the sums (a, b), a <= b, of each split."""
    parts: dict[str, list[tuple[int, int]]] = {"train": [], "validation": [], "test": []}
    for a in range(operands):
        for b in range(a, operands):
            parts[_split_of(a, b, seed)].append((a, b))
    return parts


def pretraining_text(source: Generator, *, seed: int, lines: int) -> list[str]:
    """Return text of three sorts of line: sums, choices looked up, and sums whose answer is then looked up.

    Words are separated by a space; each number is one word. A letter never follows a question at once, as in

        24 A 27 B 30 C 31 D 15 + 12 = 27 B

    To skip the number and give the letter is what fine-tuning has to teach.
    """
    options = _options(source)
    known = divide(options.operands, seed)["train"]
    rng = random.Random(f"{seed}/pretraining")
    sorts = rng.choices((_sums_line, _lookup_line, _worked_line), weights=WEIGHTS, k=lines)
    return [sort(rng, known, options) for sort in sorts]


def _sums_line(rng: random.Random, known: list[tuple[int, int]], options: Options) -> str:
    pairs = [either_way(rng, rng.choice(known)) for _ in range(SUMS)]
    return " ".join(f"{a} + {b} = {a + b}" for a, b in pairs)


def _lookup_line(rng: random.Random, known: list[tuple[int, int]], options: Options) -> str:
    answers = _answers(rng, rng.randrange(2 * options.operands - 1), options)
    asked = rng.choices(range(len(answers)), k=QUERIES)
    return " ".join([lettered(answers), *(f"{answers[i]} {LETTERS[i]}" for i in asked)])


def _worked_line(rng: random.Random, known: list[tuple[int, int]], options: Options) -> str:
    a, b = either_way(rng, rng.choice(known))
    answers = _answers(rng, a + b, options)
    return f"{lettered(answers)} {a} + {b} = {a + b} {LETTERS[answers.index(a + b)]}"


def _questions(pairs: list[tuple[int, int]], options: Options, stream: str, rows: int) -> Examples:
    rng = random.Random(f"{stream}/questions")
    questions, labels = [], []
    for _ in range(rows):
        a, b = either_way(rng, rng.choice(pairs))
        answers = _answers(rng, a + b, options)
        questions.append(Question({"question": f"{a} + {b} ="}, tuple(map(str, answers))))
        labels.append(answers.index(a + b))
    return Examples(inputs=questions, labels=np.array(labels, np.int64), ids=np.arange(rows, dtype=np.int64))


def _answers(rng: random.Random, right: int, options: Options) -> list[int]:
    """Return different numbers in ascending order: `right`, and others near it within the range of sums.

    How many of them are smaller is drawn first: each letter is right equally often, but at the ends of the range. In
    ascending order the letter is a rank, which a model of this size can learn; looking up a number among unordered
    ones it does not learn in a minute.
    """
    below = range(max(0, right - options.spread), right)
    above = range(right + 1, min(2 * options.operands - 2, right + options.spread) + 1)
    wrong = options.choices - 1
    smaller = min(max(rng.randint(0, wrong), wrong - len(above)), len(below))
    return sorted([right, *rng.sample(below, smaller), *rng.sample(above, wrong - smaller)])


def either_way(rng: random.Random, pair: tuple[int, int]) -> tuple[int, int]:
    """Return two numbers in either order, as likely as not."""
    return pair if rng.random() < 0.5 else (pair[1], pair[0])


def _split_of(a: int, b: int, seed: int) -> str:
    place = int.from_bytes(hashlib.sha256(f"{seed}/{a}+{b}".encode()).digest()[:8], "little") / 2**64
    for split, share in HELD_OUT:
        if place < share:
            return split
        place -= share
    return "train"


def _options(source: Generator) -> Options:
    try:
        return Options(**source.options)
    except TypeError as error:
        raise ValueError(f"source.options {source.options} of the generator sums: {error}") from None
