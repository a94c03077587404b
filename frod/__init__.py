"""FRoD: fine-tuning in few parameters through a shared basis.

The public names are resolved on first use, so that ``import frod`` (and a command's ``--help``) loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Basis": "frod.method.basis",
    "accumulating": "frod.method.accumulation",
    "attach": "frod.method.attach",
    "basis_from_peft": "frod.peft.interchange",
    "combine": "frod.method.combining",
    "count_parameters": "frod.method.counting",
    "disabled": "frod.method.state",
    "extract_basis": "frod.method.extraction",
    "from_peft": "frod.peft.interchange",
    "load_adapter": "frod.method.checkpoint",
    "load_pretrained": "frod.pretrained",
    "merge": "frod.method.merge",
    "model_hash": "frod.method.identity",
    "parameter_groups": "frod.method.groups",
    "predict_parameters": "frod.method.counting",
    "print_trainable_parameters": "frod.method.counting",
    "save_adapter": "frod.method.checkpoint",
    "save_pretrained": "frod.pretrained",
    "set_adapter": "frod.method.state",
    "summary": "frod.method.counting",
    "to_peft": "frod.peft.interchange",
    "unmerge": "frod.method.merge",
}

if TYPE_CHECKING:
    from frod.method.accumulation import accumulating
    from frod.method.attach import attach
    from frod.method.basis import Basis
    from frod.method.checkpoint import load_adapter, save_adapter
    from frod.method.combining import combine
    from frod.method.counting import count_parameters, predict_parameters, print_trainable_parameters, summary
    from frod.method.extraction import extract_basis
    from frod.method.groups import parameter_groups
    from frod.method.identity import model_hash
    from frod.method.merge import merge, unmerge
    from frod.method.state import disabled, set_adapter
    from frod.peft.interchange import basis_from_peft, from_peft, to_peft
    from frod.pretrained import load_pretrained, save_pretrained

__all__ = [
    "Basis",
    "accumulating",
    "attach",
    "basis_from_peft",
    "combine",
    "count_parameters",
    "disabled",
    "extract_basis",
    "from_peft",
    "load_adapter",
    "load_pretrained",
    "merge",
    "model_hash",
    "parameter_groups",
    "predict_parameters",
    "print_trainable_parameters",
    "save_adapter",
    "save_pretrained",
    "set_adapter",
    "summary",
    "to_peft",
    "unmerge",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'frod' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOMES, *(name for name in globals() if name.startswith("__"))])
