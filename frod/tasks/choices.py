"""Multiple choice as the released scripts have it: one text with all choices, classified over the answer letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Question:
    """A question and what may be its answer."""

    question: str
    choices: tuple[str, ...]


def texts(questions: Sequence[Question]) -> list[str]:
    """Write each question out: the choices with their letters, then the question, whose end is where the model answers.

    A causal model sees at a word only what comes before it; so the question stands last, and its last word is the first
    that knows both the question and the choices.
    """
    return [f"{lettered(q.choices)} {q.question}" for q in questions]


def lettered(choices: Sequence[object]) -> str:
    """Return the choices, each followed by its letter."""
    return " ".join(f"{choice} {letter}" for choice, letter in zip(choices, LETTERS))
