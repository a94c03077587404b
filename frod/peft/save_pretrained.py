"""A FRoD checkpoint of peft's on disk: how `save_pretrained` names what is in it."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from frod.method.saving import usual_mode
from frod.peft.layers import category_of_name

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"
OF_MODEL = "base_model.model."
OF_CATEGORY = "base_model.frod_"


@dataclass(frozen=True, kw_only=True)
class PeftCheckpoint:
    """What a checkpoint holds: per layer lambda (n,) and S (k,), per category V (n, n) and places (2, k) of S.

    `heads` are the tensors that trained in full (`modules_to_save`), by their names in the model.
    """

    path: Path
    config: dict[str, Any]
    scale: dict[str, Tensor]
    rotation: dict[str, Tensor]
    V: dict[str, Tensor]
    places: dict[str, Tensor]
    heads: dict[str, Tensor]


def write(
    directory: str | os.PathLike[str], config: Any, tensors: Mapping[str, Tensor], architecture: Mapping[str, str]
) -> None:
    """Write both files, each whole or not at all; `config` is a `peft.FrodConfig`."""
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".") as made:
        save_file(dict(tensors), Path(made, TENSORS), metadata={"format": "pt"})
        config.save_pretrained(made, auto_mapping_dict=dict(architecture))
        usual_mode(Path(made, TENSORS))
        for name in (TENSORS, CONFIG):
            Path(made, name).replace(target / name)


def read(directory: str | os.PathLike[str]) -> PeftCheckpoint:
    """Read a checkpoint, refusing what cannot be taken over; the reason and the remedy are in the ValueError."""
    path = Path(directory)
    for name in (CONFIG, TENSORS):
        if not (path / name).is_file():
            raise ValueError(
                f"directory={str(path)!r} holds no {name}: not a checkpoint of peft's, or not safetensors."
            )
    config = json.loads((path / CONFIG).read_text())
    remedy = "Load it with peft, call merge_and_unload() and exchange the whole model."
    for key, wanted in {"peft_type": "FROD", "save_projection": True, "bias": "none"}.items():
        if config.get(key) != wanted:
            raise ValueError(f"{path / CONFIG}: {key} is {config.get(key)!r}, not {wanted!r}. {remedy}")
    with safe_open(path / TENSORS, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    def taken(prefix: str, suffix: str = "") -> dict[str, Tensor]:
        keys = [key for key in tensors if key.startswith(prefix) and key.endswith(suffix)]
        return {key.removeprefix(prefix).removesuffix(suffix): tensors.pop(key) for key in keys}

    scale, rotation = taken(OF_MODEL, ".frod_lambda_l"), taken(OF_MODEL, ".frod_lambda_s_values")
    V, places = taken(f"{OF_CATEGORY}V."), taken(f"{OF_CATEGORY}s_indices.")
    taken(f"{OF_CATEGORY}s_size.")
    heads = taken(OF_MODEL)
    categories = {category_of_name(layer) for layer in scale}
    if tensors or not scale or scale.keys() != rotation.keys() or not categories <= V.keys() & places.keys():
        raise ValueError(f"{path / TENSORS} is not as peft writes it; left over or incomplete: {sorted(tensors)[:4]}.")
    return PeftCheckpoint(path=path, config=config, scale=scale, rotation=rotation, V=V, places=places, heads=heads)
