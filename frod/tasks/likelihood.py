"""Questions whose answers a causal language model scores: a row of tokens for each answer, the prompt and then that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from frod.tasks import choices, sentences
from frod.tasks.choices import Question


def encode(
    questions: Sequence[Question], tokenizer: Any, max_length: int, *, prompt: str | None, answers: int, split: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Tokenise each question's prompt with each of its answers, as one text with a space between them.

    An answer's tokens are those from the first on that the prompt alone does not have. What is too long is cut on the
    left, so that the answer stays.

    Parameters
    ----------
    prompt : str or None
        Names parts of the question in braces, and `choices` where the model is to see them; None: the parts in a line.
    answers : int
        The most that a question may have.

    Returns
    -------
    tokens : int32 array of shape (all tokens,)
    offsets : int64 array of shape (questions * answers + 1,); answer c of question i is row i * answers + c, and has no
        tokens where the question has fewer answers
    prompts : int64 array of shape (questions * answers,), how many of a row's tokens are the prompt's
    bytes : int64 array of shape (questions * answers,), bytes of the answer in UTF-8, without the space
    truncated : int, questions of which a row was cut

    Raises
    ------
    ValueError
        An answer leaves no room for a token of its prompt.
    """
    given, offered = choices.texts(questions, prompt, lettered_first=False), [one.choices for one in questions]
    there = np.flatnonzero([number < len(texts) for texts in offered for number in range(answers)])
    whole = [choices.followed(text, answer) for text, texts in zip(given, offered) for answer in texts]
    tokens, of_rows, _ = sentences.encode(whole, tokenizer, max_length, side="left")
    own, full = _answer_tokens(given, offered, tokenizer, max_length)
    kept = np.diff(of_rows)
    full_rows = np.flatnonzero(own >= kept)
    if len(full_rows):
        row = int(there[full_rows[0]]) // answers
        raise ValueError(
            f"split {split}: an answer of row {row} has {own[full_rows[0]]} tokens, the backbone takes {max_length} "
            "with its prompt; raise the backbone's max_length, or leave such rows out"
        )
    lengths, prompts, sizes = np.zeros((3, len(offered) * answers), dtype=np.int64)
    lengths[there], prompts[there] = kept, kept - own
    sizes[there] = [len(answer.encode()) for texts in offered for answer in texts]
    truncated = len(np.unique(there[full > kept] // answers))
    return tokens, np.concatenate([[0], np.cumsum(lengths)]), prompts, sizes, truncated


def _answer_tokens(
    given: Sequence[str], offered: Sequence[Sequence[str]], tokenizer: Any, max_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of each answer, and of it with its prompt, nothing cut but the beginning of a very long prompt."""
    own, full = [], []
    for start in range(0, len(given), sentences.BATCH):
        some = slice(start, start + sentences.BATCH)
        prompts = [sentences.enough(text, tokenizer, max_length, "left") for text in given[some]]
        whole = [choices.followed(text, answer) for text, texts in zip(prompts, offered[some]) for answer in texts]
        of_prompts, of_whole = (tokenizer(texts, verbose=False)["input_ids"] for texts in (prompts, whole))
        repeated = [tokens for tokens, texts in zip(of_prompts, offered[some]) for _ in texts]
        own += [len(row) - _shared(row, before) for row, before in zip(of_whole, repeated)]
        full += [len(row) for row in of_whole]
    return np.array(own, dtype=np.int64), np.array(full, dtype=np.int64)


def _shared(row: Sequence[int], before: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    return next((at for at, (one, other) in enumerate(zip(row, before)) if one != other), min(len(row), len(before)))
