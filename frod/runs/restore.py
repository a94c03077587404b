"""The model of a finished run from its files: exactly the one that training left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.config import Run

if TYPE_CHECKING:
    from torch import nn

    import frod


def start(run: Run, backbone: Path, manifest: Mapping[str, Any], basis: frod.Basis | None) -> nn.Module:
    """Return the model as the run's training found it: pretrained weights, the run's head, adapters at their start.

    Parameters
    ----------
    run : Run
    backbone : Path
        Folder of the weights.
    manifest : mapping
        The task's; it says which head the model has.
    basis : frod.Basis or None
        Needed by kind frod only.
    """
    from frod import backbones
    from frod.tasks import arrays
    from frod.training import methods
    from frod.training.methods import size
    from frod.training.seeds import stream

    model = backbones.load(backbone, **arrays.head_of(manifest), seed=stream(run.seed, "head"))
    adapter = size.match(model, run.adapter, run.matched, run.targets).adapter if run.matched else run.adapter
    methods.of_kind(adapter.kind).apply(
        model,
        adapter,
        targets=run.targets,
        head=backbones.head_modules(model),
        basis=basis,
        seed=stream(run.seed, "adapter"),
    )
    return model


def load_trained(model: nn.Module, adapter: Path, kind: str, basis: frod.Basis | None) -> nn.Module:
    """Put what was trained into a model of `start`, in place.

    Raises
    ------
    ValueError
        The file holds more than the model trains, or less, or was trained on another basis or with other settings.
    """
    if kind == "frod":
        import frod

        return frod.load_adapter(model, adapter, basis)
    from safetensors.torch import load_file

    from frod.training.methods.trained import trained_state

    stored, here = load_file(adapter), trained_state(model)
    forms = [{name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in side.items()} for side in (stored, here)]
    unlike = sorted(name for name in stored.keys() | here.keys() if forms[0].get(name) != forms[1].get(name))
    if unlike:
        there, wanted = (side.get(unlike[0], "missing") for side in forms)
        raise ValueError(
            f"{adapter}: not what this model trains: {len(unlike)} tensors differ, first {unlike[0]!r}, "
            f"{there} in the file, {wanted} in the model"
        )
    model.load_state_dict(stored, strict=False)  # the frozen ones are not in it
    return model
