"""Prepared tasks on disk: arrays of fixed-size integers, mapped into memory, and a manifest with their digests."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frod import files
from frod.provenance import artefacts

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "validation", "test")  # every task has these; a benchmark of several tests also test_NAME
MANIFEST = "manifest.json"
IGNORED = -100
"""Label of a token that no loss counts, as torch's cross-entropy has it."""


def write_images(folder: Path, split: str, shape: tuple[int, ...]) -> np.memmap:
    """Return a new uint8 memory map SPLIT.images.npy to fill, of shape (examples, height, width, channels)."""
    path = folder / f"{split}.images.npy"
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # The map has no blocks yet; were the disk full when it is filled, the process would die without a word.
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return images


def write_tokens(folder: Path, split: str, tokens: np.ndarray, offsets: np.ndarray) -> None:
    """Write SPLIT.tokens.npy (int32, all examples end to end) and SPLIT.offsets.npy (int64, where each starts)."""
    np.save(folder / f"{split}.tokens.npy", tokens.astype(np.int32, copy=False))
    np.save(folder / f"{split}.offsets.npy", offsets.astype(np.int64, copy=False))


def write_prompts(folder: Path, split: str, prompts: np.ndarray) -> None:
    """Write SPLIT.prompts.npy (int64): of what a language model writes or scores, how many tokens are the prompt."""
    np.save(folder / f"{split}.prompts.npy", prompts.astype(np.int64, copy=False))


def write_bytes(folder: Path, split: str, sizes: np.ndarray) -> None:
    """Write SPLIT.bytes.npy (int64): of a choice by likelihood, the bytes of each answer."""
    np.save(folder / f"{split}.bytes.npy", sizes)


def write_labels(folder: Path, split: str, labels: np.ndarray, ids: np.ndarray) -> None:
    """Write SPLIT.labels.npy (int64; of a regression float32, of a generation text) and SPLIT.ids.npy (int64)."""
    np.save(folder / f"{split}.labels.npy", labels)
    np.save(folder / f"{split}.ids.npy", ids.astype(np.int64, copy=False))


def write_manifest(folder: Path, manifest: dict[str, Any], rows: dict[str, int]) -> dict[str, Any]:
    """Hash the files in `folder` and write the manifest: what was given, `splits` and its own digest. Returns it.

    rows : examples, by split
    """
    hashes = {path.name: files.sha256(path) for path in sorted(folder.glob("*.npy"))}
    splits = {
        split: {"rows": rows[split], "files": {n: h for n, h in hashes.items() if n.partition(".")[0] == split}}
        for split in rows
    }
    return artefacts.write_manifest(folder / MANIFEST, manifest | {"splits": splits})


def load_manifest(folder: Path, *, verify: bool = True) -> dict[str, Any]:
    """Read a prepared task's manifest; `verify`: hash every file and compare.

    ValueError where the folder is not a prepared task, or a file is missing or not the one that was written.
    """
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} is not a prepared task, it has no {MANIFEST}; prepare it with `frod task`")
    manifest = artefacts.read_manifest(folder / MANIFEST, remedy=_remedy(folder))
    if verify:
        for split in manifest["splits"].values():
            files.verify(folder, split["files"], by=MANIFEST, remedy=_remedy(folder))
    return manifest


def head_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the head that a prepared task is learnt with, as arguments of `frod.backbones.load`."""
    if manifest["problem"] == "generation" or "scoring" in manifest:
        return {"num_classes": None}  # a language model's own
    return {name: manifest[name] for name in ("num_classes", "problem")}


def load_split(folder: Path, name: str, *, verify: bool = True) -> Split:
    """Open one split; its arrays are mapped, not read, and (`verify`) hashed once. ValueError as in load_manifest."""
    manifest = load_manifest(folder, verify=False)
    if name not in manifest["splits"]:
        raise ValueError(f"{folder} has no split {name!r}; it has {', '.join(manifest['splits'])}")
    split = manifest["splits"][name]
    if verify:
        files.verify(folder, split["files"], by=MANIFEST, remedy=_remedy(folder))
    arrays = {
        file.removeprefix(f"{name}.").removesuffix(".npy"): np.load(folder / file, mmap_mode="r", allow_pickle=False)
        for file in split["files"]
    }
    labels, ids = np.array(arrays.pop("labels")), np.array(arrays.pop("ids"))
    if len(labels) != split["rows"] or len(ids) != split["rows"]:
        raise ValueError(
            f"{folder}: {name} has {len(labels)} labels and {len(ids)} ids, the manifest says {split['rows']}"
        )
    kind = Scored if "bytes" in arrays else Split
    return kind(name=name, labels=labels, ids=ids, arrays=arrays, inputs=manifest["inputs"])


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split, in batches as a model takes them.

    labels : int64 array of shape (examples,); of a regression float32, of a generation the answers, as text
    ids : int64 array of shape (examples,), the row in the source
    """

    name: str
    labels: np.ndarray
    ids: np.ndarray
    arrays: dict[str, np.ndarray]
    """images, or tokens and offsets, of a generation also prompts; memory maps."""
    inputs: dict[str, Any]
    """The manifest's: mean, std, size; or max_length, pad_token_id."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, int64 array of shape (examples,); 1 for images, which are all alike."""
        if "images" in self.arrays:
            return np.ones(len(self), dtype=np.int64)
        return np.diff(self.arrays["offsets"])

    def answer_tokens(self, indices: np.ndarray) -> int:
        """Tokens of the answers of these examples of a generation, the ends included."""
        return int(self.lengths[indices].sum() - self.arrays["prompts"][indices].sum())

    def prompts(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """Return the prompts of these examples of a generation, to be gone on with.

        input_ids and attention_mask, int64 of shape (B, longest), padded on the left.
        """
        import torch

        starts, lengths = np.asarray(self.arrays["offsets"][indices]), np.asarray(self.arrays["prompts"][indices])
        ids = np.full((len(indices), lengths.max(initial=0)), self.inputs["pad_token_id"], dtype=np.int64)
        present = np.arange(ids.shape[1]) >= ids.shape[1] - lengths[:, None]
        ids[present] = np.concatenate([self.arrays["tokens"][at : at + n] for at, n in zip(starts, lengths)])
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(present.astype(np.int64))}

    def batch(self, indices: np.ndarray, device: torch.device | str | None = None) -> dict[str, torch.Tensor]:
        """Return the examples at `indices`, on `device`.

        Returns
        -------
        dict
            images: pixel_values, float32 of shape (B, channels, height, width), normalised (on the device: a quarter
            of the bytes is copied); text: input_ids and attention_mask, int64 of shape (B, longest), padded on the
            right; and labels of shape (B,), of a generation (B, longest): the answer's tokens, else -100.
        """
        import torch

        indices = np.asarray(indices)
        inputs = self._pixels(indices, device) if "images" in self.arrays else self._tokens(indices, device)
        if "prompts" in self.arrays:
            given = torch.from_numpy(np.asarray(self.arrays["prompts"][indices])).to(device)
            places = torch.arange(inputs["input_ids"].shape[1], device=device)
            of_answer = (places >= given[:, None]) & (inputs["attention_mask"] == 1)
            return inputs | {"labels": inputs["input_ids"].where(of_answer, IGNORED)}
        return inputs | {"labels": torch.from_numpy(self.labels[indices]).to(device)}

    def _pixels(self, indices: np.ndarray, device: torch.device | str | None) -> dict[str, torch.Tensor]:
        import torch

        pixels = torch.from_numpy(self.arrays["images"][indices]).to(device).permute(0, 3, 1, 2)
        if pixels.device.type == "cpu":
            # From numpy, which asks for huge pages: else the page faults of each new batch cost more than all the rest.
            values = torch.from_numpy(np.empty(pixels.shape, dtype=np.float32))
        else:
            values = torch.empty(pixels.shape, device=pixels.device)
        mean, std = (
            torch.tensor(self.inputs[name], device=pixels.device).view(1, -1, 1, 1) for name in ("mean", "std")
        )
        return {"pixel_values": values.copy_(pixels).div_(255).sub_(mean).div_(std)}

    def _tokens(self, indices: np.ndarray, device: torch.device | str | None) -> dict[str, torch.Tensor]:
        import torch

        starts = np.asarray(self.arrays["offsets"][indices])
        lengths = self.arrays["offsets"][indices + 1] - starts
        places = np.arange(lengths.max(initial=0))
        present = places < lengths[:, None]
        ids = np.full(present.shape, self.inputs["pad_token_id"], dtype=np.int64)
        ids[present] = self.arrays["tokens"][(starts[:, None] + places)[present]]
        mask = torch.from_numpy(present.astype(np.int64))
        return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": mask.to(device)}


class Scored(Split):
    """One split of a choice by likelihood: a row of tokens, prompt and answer, for each answer of each question.

    All questions have the same number of rows; where one has fewer answers, its last rows are empty.
    """

    @property
    def bytes(self) -> np.ndarray:
        """Bytes of each answer, int64 array of shape (examples, answers); 0 where there is none."""
        return np.asarray(self.arrays["bytes"]).reshape(len(self), -1)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each question with its longest answer, int64 array of shape (examples,)."""
        return super().lengths.reshape(len(self), -1).max(axis=1)

    def answer_tokens(self, indices: np.ndarray) -> int:
        """Tokens of the right answers of these questions."""
        rows = self._rows(indices, self.labels[indices])
        return int((super().lengths[rows] - self.arrays["prompts"][rows]).sum())

    def batch(self, indices: np.ndarray, device: torch.device | str | None = None) -> dict[str, torch.Tensor]:
        """Return the questions at `indices` with their right answers; see `answer`."""
        return self.answer(indices, self.labels[indices], device)

    def answer(
        self, indices: np.ndarray, number: int | np.ndarray, device: torch.device | str | None = None
    ) -> dict[str, torch.Tensor]:
        """Return the questions at `indices`, each with its answer of this number, or with its first where it has none.

        Returns
        -------
        dict
            input_ids, attention_mask and labels, int64 of shape (B, longest), as of a generation's `batch`.
        """
        return super().batch(self._rows(indices, number), device)

    def _rows(self, indices: np.ndarray, number: int | np.ndarray) -> np.ndarray:
        there = self.bytes[indices, number] > 0
        return np.asarray(indices) * self.bytes.shape[1] + np.where(there, number, 0)


def _remedy(folder: Path) -> str:
    return f"delete the folder {folder} and run again, which prepares the task again"
