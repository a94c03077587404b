"""Multiple choice as the released scripts have it: one text with all choices, classified over the answer letters."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Question:
    """A question and what may be its answer.

    parts : its text, by column
    """

    parts: dict[str, str]
    choices: tuple[str, ...]


def texts(questions: Iterable[Question], prompt: str | None = None, *, lettered_first: bool = True) -> list[str]:
    """Write each question out.

    Parameters
    ----------
    prompt : str or None
        Text with the names of the parts, and `choices`, in braces; the choices stand each in a line of its own. None:
        the choices with their letters, then the question, whose end is where the model answers. A causal model sees at
        a word only what comes before it; so the question stands last, and its last word is the first that knows both
        the question and the choices.
    lettered_first : bool
        False: without a prompt the question stands alone, as where its answers are scored one by one.
    """
    if prompt is None:
        return [" ".join([lettered(q.choices)] * lettered_first + [*q.parts.values()]) for q in questions]
    pieces = [(text, name) for text, name, _, _ in string.Formatter().parse(prompt)]
    written = []
    for q in questions:
        values = q.parts | {"choices": "\n".join(f"{letter}. {one}" for letter, one in zip(LETTERS, q.choices))}
        # Not str.format: the name of a column may have a point or a bracket in it.
        written.append("".join(text + (values[name] if name is not None else "") for text, name in pieces))
    return written


def followed(prompt: str, answer: str) -> str:
    """Return a prompt with what a language model is to write or to score after it."""
    return f"{prompt}{'' if prompt[-1:].isspace() else ' '}{answer}"


def lettered(choices: Sequence[object]) -> str:
    """Return the choices, each followed by its letter."""
    return " ".join(f"{choice} {letter}" for choice, letter in zip(choices, LETTERS))
