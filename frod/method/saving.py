"""Write a safetensors file whole or not at all, and readable by whom the umask says."""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write under a temporary name next to `path` and rename; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata=metadata)
        usual_mode(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def usual_mode(path: Path) -> None:
    """Give a file the mode that a plain `open` would have: safetensors keeps all others from reading it."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
