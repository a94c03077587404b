"""The weights of the target layers, read from safetensors files one at a time: a large model need not be loaded."""

import json
import os
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import cast

from safetensors import SafetensorError, safe_open
from torch import Tensor

from frod.method.quantised import is_quantised
from frod.method.targets import FusedSlice, Target, canonical_names, is_conv1d

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, eq=False)
class Stored:
    """A target whose weight lies in a file, under `key`; the layer, on the meta device or not, says shape and dtype."""

    target: Target
    path: Path
    key: str

    @property
    def weight(self) -> Tensor:
        """W (m, n), read at every call, in the dtype the model has it in."""
        try:
            with safe_open(self.path, framework="pt") as file:
                if isinstance(self.target, FusedSlice):
                    whole = file.get_slice(self.key)
                    shape, weight = tuple(whole.get_shape()), whole[self.target.rows]
                    expected = tuple(self.target.layer.weight.shape)
                else:
                    weight = file.get_tensor(self.key)
                    shape, expected = tuple(weight.shape), tuple(cast(Tensor, self.target.weight).shape)
        except SafetensorError as error:
            raise _damaged(self.path, error) from None
        if shape != expected:
            raise ValueError(f"{self.path}: {self.key!r} has the shape {shape}, in the model it is {expected}.")
        weight = weight.to(cast(Tensor, self.target.weight).dtype)
        return weight.T if is_conv1d(self.target) else weight


def bind(found: dict[str, Target], checkpoint: str | os.PathLike[str]) -> dict[str, Stored]:
    """Find each target's weight in a checkpoint folder.

    A model with a head names its layers `bert.encoder...` where the folder of the bare encoder has `encoder...`, or the
    other way round. So names have to agree from the block list on, and the one that agrees the furthest is taken.
    ValueError if a weight is not in the files or not to be told from another.
    """
    files = _files(Path(checkpoint))
    canonical = canonical_names(found)
    result: dict[str, Stored] = {}
    for name, target in found.items():
        if is_quantised(target):
            raise ValueError(
                f"layer {name!r} is quantised; its weight is not that of the files. Leave out checkpoint=."
            )
        whole, tail = name, canonical[name]
        if isinstance(target, FusedSlice):
            whole, tail = whole.rpartition(".")[0], tail.rpartition(".")[0]
        keys = [key for key in files if f".{key}".endswith(f".{tail}.weight")]
        shared = {key: _shared_end(key, f"{whole}.weight") for key in keys}
        keys = [key for key in keys if shared[key] == max(shared.values())]
        if len(keys) != 1:
            where = f"may be any of {keys[:4]}" if keys else "is in none of its files"
            raise ValueError(f"{checkpoint}: the weight of {name!r} {where}. Is it the model's own checkpoint?")
        result[name] = Stored(target, files[keys[0]], keys[0])
    return result


def _shared_end(one: str, other: str) -> int:
    """How many dotted components two names have in common at their ends."""
    pairs = zip(reversed(one.split(".")), reversed(other.split(".")))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read: {error}. It was changed or cut short; fetch it again.")


def _files(folder: Path) -> dict[str, Path]:
    """Name of each tensor -> the file it lies in."""
    if (folder / INDEX).is_file():
        try:
            names = json.loads((folder / INDEX).read_text("utf-8"))["weight_map"]
            return {key: folder / file for key, file in names.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(folder / INDEX, error) from None
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                found |= dict.fromkeys(file.keys(), path)
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from None
    if not found:
        raise ValueError(f"checkpoint={str(folder)!r} holds no safetensors file with weights.")
    return found
