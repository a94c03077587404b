"""Sentences, single or in pairs, to tokens, so that tokenising happens once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

BATCH = 1000  # texts tokenised at a time: the fast tokenizers want many, memory wants an end
LONG = 100  # characters for each token that is kept: of a longer text a part will do


def encode(
    texts: Sequence[Any], tokenizer: Any, max_length: int, *, side: Literal["left", "right"] = "right"
) -> tuple[np.ndarray, np.ndarray, int]:
    """Tokenise with the backbone's own special tokens, cut at `max_length`.

    Parameters
    ----------
    texts : sequence of str, or of pairs of str
    tokenizer : transformers tokenizer
    max_length : int
        In tokens, special ones included.
    side : "left" or "right"
        Where a text that is too long is cut. Special tokens stay. A question is cut on the left: a causal model answers
        at its end.

    Returns
    -------
    tokens : int32 array of shape (all tokens,)
    offsets : int64 array of shape (examples + 1,); example i is tokens[offsets[i]:offsets[i + 1]]
    truncated : int, examples that were cut
    """
    pieces: list[np.ndarray] = []
    truncated = 0
    for start in range(0, len(texts), BATCH):
        batch = [enough(text, tokenizer, max_length, side) for text in texts[start : start + BATCH]]
        parts = [list(part) for part in zip(*batch)] if isinstance(batch[0], tuple) else [batch]
        with _cutting(tokenizer, side):
            cut = tokenizer(*parts, add_special_tokens=True, truncation=True, max_length=max_length)["input_ids"]
        full = [row for row, tokens in enumerate(cut) if len(tokens) == max_length]
        if full:  # only these may have been cut
            whole = tokenizer(*[[part[row] for row in full] for part in parts], verbose=False)["input_ids"]
            truncated += sum(len(tokens) > max_length for tokens in whole)
        pieces += [np.asarray(tokens, dtype=np.int32) for tokens in cut]
    offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty):
        raise ValueError(f"the tokenizer makes no token of {len(empty)} texts, such as number {int(empty[0])}")
    return np.concatenate(pieces), offsets, truncated


def enough(text: Any, tokenizer: Any, max_length: int, side: str) -> Any:
    """Return a text, or of a very long one the part that has all tokens which are kept: 10 MB take 20 s and 1.3 GB.

    The part has to have twice as many tokens as are kept, so that where it ends, inside a word perhaps, is cut off.
    """
    if isinstance(text, tuple):
        return tuple(enough(part, tokenizer, max_length, side) for part in text)
    if len(text) <= LONG * max_length:
        return text
    part = text[: LONG * max_length] if side == "right" else text[-LONG * max_length :]
    (tokens,) = tokenizer([part], verbose=False)["input_ids"]
    return part if len(tokens) > 2 * max_length else text


@contextmanager
def _cutting(tokenizer: Any, side: str) -> Iterator[None]:
    """Have the tokenizer cut on one side, and give it back as it was."""
    before = tokenizer.truncation_side
    tokenizer.truncation_side = side
    try:
        yield
    finally:
        tokenizer.truncation_side = before
