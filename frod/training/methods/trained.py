"""What a model trains: marking it, grouping it for the optimiser, saving it. Shared by all methods."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.method.heads import within

if TYPE_CHECKING:
    from torch import Tensor, nn

    from frod.config import Rates


def train_only_head(model: nn.Module, head: list[str], also: Set[str] = frozenset()) -> None:
    """Freeze everything but the head's modules and the parameters named."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(within(name, *head) or name in also)


def body_and_head(model: nn.Module, rates: Rates, head: list[str], weight_decay: float) -> list[dict[str, Any]]:
    """Return AdamW's groups `body` and `head` of the parameters that are trained; an empty group is left out."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"name": "body", "lr": rates.lr, "params": [p for name, p in trained if not within(name, *head)]},
        {"name": "head", "lr": rates.lr_head, "params": [p for name, p in trained if within(name, *head)]},
    ]
    return [group | {"weight_decay": weight_decay} for group in groups if group["params"]]


def count(model: nn.Module, head: list[str]) -> dict[str, int]:
    """Count the trained numbers, in the head and outside it (adapter; for full fine-tuning the whole body)."""
    sizes = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    in_the_head = sum(size for name, size in sizes.items() if within(name, *head))
    total = sum(sizes.values())
    return {"adapter": total - in_the_head, "head": in_the_head, "total": total}


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Return what training changes, by name: trained parameters and persistent buffers; not the frozen weights.

    What layers share (VeRA's and RandLoRA's projections) is there once, under its first name: loading it there, with
    `strict=False`, loads it for all. What PiSSA took off the frozen weights is not there: `apply` takes it off again.
    """
    frozen = {id(p) for p in model.parameters() if not p.requires_grad}
    once: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in frozen:
            once.setdefault(id(tensor), (name, tensor.detach()))
    return dict(once.values())


def save(model: nn.Module, path: Path, kind: str) -> None:
    """Write what was trained as safetensors; FRoD in its own adapter format, which names basis and pattern.

    Of several processes all have to call this; the first one writes.
    """
    from torch import distributed

    from frod import files
    from frod.method.wrappers import full_tensor, is_distributed

    first = not distributed.is_initialized() or distributed.get_rank() == 0
    if kind == "frod":
        import frod

        if first:
            with files.path_for(path) as partial:
                frod.save_adapter(model, partial)
        elif is_distributed(model):  # in pieces: then all take part, and the first one writes
            frod.save_adapter(model, path)
        return
    from safetensors.torch import save_file

    tensors = {name: full_tensor(t).cpu().contiguous().clone() for name, t in trained_state(model).items()}
    if first:
        with files.path_for(path) as partial:
            save_file(tensors, partial)
