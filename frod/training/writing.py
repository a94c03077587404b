"""How a model answers in writing: greedy decoding with a cache of keys and values, and what is read out of its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from frod.evaluation.generated import read_out
from frod.method.wrappers import unwrapped
from frod.tasks import generation
from frod.tasks.arrays import IGNORED


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What answers of a generation are written and read by.

    read : regular expression, whose last match is the answer
    end, pad : tokens that end a text, and that fill a batch up
    """

    tokenizer: Any
    read: str
    max_new_tokens: int
    end: int
    pad: int

    @classmethod
    def of(cls, manifest: Mapping[str, Any], tokenizer: Any) -> Writing | None:
        """Take it from a prepared task's manifest; None where the task is no generation."""
        if manifest["problem"] != "generation":
            return None
        return cls(
            tokenizer=tokenizer,
            read=manifest["read"],
            max_new_tokens=manifest["max_new_tokens"],
            end=generation.end_of(tokenizer),
            pad=manifest["inputs"]["pad_token_id"],
        )

    def decode(self, model: torch.nn.Module, prompts: dict[str, torch.Tensor], *, sharded: bool = False) -> np.ndarray:
        """Go on with prompts, each next token the likeliest, until the end or `max_new_tokens`.

        Adapters stay beside the weights they adapt; FRoD's W' is formed once for all tokens of an evaluation.

        Parameters
        ----------
        prompts : dict
            input_ids and attention_mask of shape (B, longest), padded on the left.
        sharded : bool
            Whether several processes hold the model together: then none may stop before the others.

        Returns
        -------
        int64 array of shape (B, max_new_tokens)
            Padded after the end, which is left out.
        """
        from transformers import GenerationConfig

        plain: Any = unwrapped(model)
        # In place of the model's own, which would fill in what an argument leaves out: penalties, other ends.
        plain.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=self.end,
            pad_token_id=self.pad,
            use_cache=True,
        )
        written = plain.generate(**prompts, synced_gpus=sharded)
        new = written[:, prompts["input_ids"].shape[1] :].cpu().numpy()
        over = np.cumsum(new == self.end, axis=1) > 0
        out = np.full((len(new), self.max_new_tokens), self.pad, dtype=np.int64)
        out[:, : new.shape[1]] = np.where(over, self.pad, new)
        return out

    def texts(self, tokens: np.ndarray) -> list[str]:
        """Return what `decode` wrote, one text a row."""
        return [self.tokenizer.decode(row[row != self.pad], skip_special_tokens=True) for row in tokens]

    def answers(self, texts: list[str]) -> list[str]:
        """Return what is read out of each text."""
        return [read_out(text, self.read) for text in texts]


def answer_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of each right answer's tokens, given all before them; shape (B,).

    Parameters
    ----------
    logits : float tensor of shape (B, T, vocabulary)
    labels : int64 tensor of shape (B, T)
        Tokens of the answer, else -100.
    """
    labels = labels[:, 1:]
    each = functional.cross_entropy(
        logits[:, :-1].transpose(1, 2).float(), labels, reduction="none", ignore_index=IGNORED
    )
    return each.sum(1) / (labels != IGNORED).sum(1)
