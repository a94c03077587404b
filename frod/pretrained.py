"""An adapter as a folder of its own, as the Hub has them: adapter, basis, the model's configuration and a card.

    README.md              the card; one that is there already stays
    adapter.safetensors    what was trained, and on what: hashes of basis and weights, places of S or their seed
    basis.safetensors      the basis, with manifest.json; by its hash alone with with_basis=False
    config.json            of a transformers model: which class, and how many labels

The configuration is transformers' own, so that no format of ours says how a model is built.
"""

import copy
import json
import os
from pathlib import Path
from typing import Any, cast

from torch import nn

from frod.files import write_text
from frod.method.basis import Basis
from frod.method.checkpoint import ADAPTER, load_adapter, save_adapter
from frod.method.counting import summary
from frod.method.wrappers import unwrapped

CARD = "README.md"
CONFIG = "config.json"
TEMPLATE = """\
---
{base}library_name: frod
tags:
- frod
---

# FRoD adapter{of}

```text
{summary}
```

```python
import frod

model = frod.load_pretrained({argument}, "this folder")
```

The frozen weights have to be those it was trained on; their hash is in `adapter.safetensors`, and loading compares it.
"""


def save_pretrained(model: nn.Module, folder: str | os.PathLike[str], *, with_basis: bool = True) -> None:
    """Write the adapter in use, and all that `load_pretrained` needs but the frozen weights, into a folder.

    Without the basis, which is larger than the adapter, the folder names it by its hash, and it has to be given on
    loading. A README.md that is in the folder already stays as it is. What each process of a sharded model has to do,
    `save_adapter` says.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    save_adapter(model, target if with_basis else target / ADAPTER, with_basis=with_basis)
    inner = unwrapped(model)
    config: Any = getattr(inner, "config", None)
    if hasattr(config, "save_pretrained") and hasattr(inner, "save_pretrained"):
        config = copy.deepcopy(config)
        config.architectures = [type(inner).__name__]
        config.dtype = cast(Any, inner).dtype
        config.save_pretrained(target)
    if not (target / CARD).exists():
        write_text(target / CARD, _card(inner))


def _card(model: nn.Module) -> str:
    name = getattr(getattr(model, "config", None), "_name_or_path", "")
    name = "" if Path(name).exists() else name  # a folder of this machine means nothing elsewhere
    return TEMPLATE.format(
        base=f"base_model: {json.dumps(name)}\n" if name else "",
        of=f" of {name}" if name else "",
        summary=summary(model),
        argument=json.dumps(name) if name else "model",
    )


def load_pretrained(
    base: nn.Module | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    basis: Basis | None = None,
    name: str = "default",
) -> nn.Module:
    """Put the adapter of a folder on the pretrained model; the outputs are those of the model that was saved.

    Parameters
    ----------
    base : nn.Module, or str or path-like
        The pretrained model, which is changed in place; or where transformers finds it: a name of the Hub, or a folder.
        By a name it is built as the adapter's `config.json` says, in the class and dtype in which it was trained.
    folder : path-like
        Of `save_pretrained`.
    basis : Basis, optional
        By default the one in the folder; see `load_adapter`.
    name : str
        What to call the adapter on this model.

    Raises
    ------
    ValueError
        If the folder holds no adapter, or one of another model, basis or shape: both sides are named.
    """
    if not (Path(folder) / ADAPTER).is_file():
        raise ValueError(f"folder={str(folder)!r} holds no {ADAPTER}: not one of frod.save_pretrained.")
    model = base if isinstance(base, nn.Module) else _from_transformers(str(base), Path(folder))
    return load_adapter(model, folder, basis, name=name)


def _from_transformers(base: str, folder: Path) -> nn.Module:
    if not (folder / CONFIG).is_file():
        raise ValueError(
            f"base={base!r} is a name, and {folder} holds no {CONFIG}: the adapter is of no model of transformers. "
            "Give the model itself."
        )
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    kind = (config.architectures or [""])[0]
    built = getattr(transformers, kind, None)
    if not (isinstance(built, type) and issubclass(built, transformers.PreTrainedModel)):
        raise ValueError(f"{folder / CONFIG}: {kind!r} is no model of transformers. Give the model itself as base.")
    try:
        return cast(nn.Module, built.from_pretrained(base, config=config))
    except OSError as error:
        raise ValueError(f"base={base!r} cannot be loaded by transformers: {str(error).splitlines()[0]}") from error
