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
        The task's; of it `num_classes` and `problem`.
    basis : frod.Basis or None
        Needed by kind frod only.
    """
    from frod import backbones, tuners
    from frod.training.seeds import stream
    from frod.tuners import size

    model = backbones.load(
        backbone,
        num_classes=manifest["num_classes"],
        problem=manifest["problem"],
        seed=stream(run.seed, "head"),
    )
    matched = run.matched is not None
    tuner = size.match(model, run.tuner, run.matched, run.targets).tuner if matched else run.tuner
    tuners.of_kind(tuner.kind).apply(
        model,
        tuner,
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

    from frod.tuners.trained import trained_state

    stored, here = load_file(adapter), trained_state(model)
    if stored.keys() != here.keys():
        raise ValueError(
            f"{adapter}: not what this model trains: only in the file {sorted(stored.keys() - here.keys())[:4]}, "
            f"only in the model {sorted(here.keys() - stored.keys())[:4]}"
        )
    unlike = [
        name for name in stored if (stored[name].shape, stored[name].dtype) != (here[name].shape, here[name].dtype)
    ]
    if unlike:
        raise ValueError(
            f"{adapter}: {unlike[0]!r} is {stored[unlike[0]].dtype} {tuple(stored[unlike[0]].shape)}, in the model "
            f"{here[unlike[0]].dtype} {tuple(here[unlike[0]].shape)}"
        )
    model.load_state_dict(stored, strict=False)  # the frozen ones are not in it
    return model
