"""The two models that the workflow trains itself, so that it runs where no weights can be fetched.

A vision transformer learns to tell how far an image is turned (no labels); a small Llama learns to continue generated
text. Both are small enough for one thread and a minute, and repeatable bit for bit for the same number of threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from frod.backbones.loading import quiet
from frod.backbones.registry import Pretrained, Settings

Progress = Callable[[int, int, float], None]
TURNS = 4  # quarters of a circle
WARMUP = 50  # steps in which the learning rate rises
PAD, BEGIN, UNKNOWN = "<pad>", "<s>", "<unk>"


def rotation(source: Pretrained, images: np.ndarray, out: Path, *, seed: int, progress: Progress) -> None:
    """Pre-train a timm vision transformer to tell by how many quarters an image is turned (Gidaris et al., 2018).

    Parameters
    ----------
    images : uint8 array of shape (examples, height, width)
        Resized to the model's input size where they differ.
    out : Path
        Folder for config.json and model.safetensors, in timm's layout.
    """
    import timm
    from safetensors.torch import save_file

    arguments = source.architecture.arguments
    pixels, mean, std = _normalised(images, int(arguments["img_size"]))
    with _seeded(seed):
        model = timm.create_model(source.architecture.name, num_classes=TURNS, **arguments)
        generator = torch.Generator().manual_seed(seed)

        def loss() -> torch.Tensor:
            chosen = torch.randint(len(pixels), (source.settings.batch_size,), generator=generator)
            turns = torch.randint(TURNS, (len(chosen),), generator=generator)
            return torch.nn.functional.cross_entropy(model(_turned(pixels[chosen], turns)), turns)

        _minimise(model, loss, source.settings, progress)
    own: Any = model.pretrained_cfg  # torch calls every attribute of a module a Tensor or a Module
    classifier = own["classifier"]
    weights = {n: w for n, w in model.state_dict().items() if not n.startswith(f"{classifier}.")}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architecture": source.architecture.name,
        "num_classes": 0,
        "num_features": model.num_features,
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [pixels.shape[1], *pixels.shape[2:]],
            "fixed_input_size": True,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": [mean],
            "std": [std],
            "num_classes": 0,
            "classifier": classifier,
            "first_conv": own["first_conv"],
        },
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def next_word(source: Pretrained, lines: list[str], out: Path, *, seed: int, progress: Progress) -> None:
    """Pre-train a Llama, and its tokenizer of whole words, to continue lines of text.

    Parameters
    ----------
    lines : list of str
        Words separated by spaces. Every word of the tasks must occur in them.
    out : Path
        Folder for config.json, model.safetensors and the tokenizer's files, in transformers' layout.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = word_tokenizer(lines, max_length=source.architecture.arguments["max_position_embeddings"])
    encoded = tokenizer(lines, padding=True, return_tensors="pt")
    tokens, mask = encoded["input_ids"], encoded["attention_mask"]
    config = AutoConfig.for_model(
        source.architecture.name,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=None,
        **source.architecture.arguments,
    )
    with _seeded(seed):
        model = AutoModelForCausalLM.from_config(config)
        generator = torch.Generator().manual_seed(seed)

        def loss() -> torch.Tensor:
            chosen = torch.randint(len(tokens), (source.settings.batch_size,), generator=generator)
            longest = int(mask[chosen].sum(1).max())
            batch, present = tokens[chosen, :longest], mask[chosen, :longest]
            labels = batch.masked_fill(present == 0, -100)
            return model(input_ids=batch, attention_mask=present, labels=labels, use_cache=False).loss

        _minimise(model, loss, source.settings, progress)
    with quiet():
        model.save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)


def word_tokenizer(lines: list[str], *, max_length: int) -> Any:
    """Return a tokenizer with one token for each word of `lines`, which begins every text with a mark of its own."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for line in lines for word in line.split()}, key=lambda w: (not w.isdigit(), len(w), w))
    vocabulary = {word: i for i, word in enumerate([PAD, BEGIN, UNKNOWN, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, vocabulary[BEGIN])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        unk_token=UNKNOWN,
        padding_side="right",
        model_max_length=max_length,
    )


def _normalised(images: np.ndarray, size: int) -> tuple[torch.Tensor, float, float]:
    """Return float images of shape (examples, 1, size, size), mean 0 and deviation 1, and what they were shifted by."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float().unsqueeze(1) / 255
    if pixels.shape[-1] != size:
        pixels = torch.nn.functional.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    mean, std = round(float(pixels.mean()), 4), round(float(pixels.std()), 4)
    return (pixels - mean) / std, mean, std


def _turned(pixels: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turn each image by its number of quarters.

    No shifts: the scans touch their upper and lower edge, so that a shift would give the answer away.
    """
    quarters = torch.stack([torch.rot90(pixels, turn, (2, 3)) for turn in range(TURNS)])
    return quarters[turns, torch.arange(len(pixels))]


def _minimise(model: torch.nn.Module, loss: Callable[[], torch.Tensor], settings: Settings, progress: Progress) -> None:
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, betas=(0.9, 0.98), fused=True
    )
    model.train()
    for step in range(settings.steps):
        rate = min(1.0, (step + 1) / WARMUP) * (1 - step / settings.steps)
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * rate
        value = loss()
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        progress(step + 1, settings.steps, float(value.detach()))
    model.eval()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator, which the libraries' initialisation reads, and give it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
