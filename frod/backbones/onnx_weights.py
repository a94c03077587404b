"""Weights out of an ONNX file, as the folder that a model of transformers is loaded from.

An export of torch keeps the names of most weights. A linear layer's loses its own: it becomes the second input of a
MatMul, transposed, and the layer is told by the name of that node, /backbone/encoder/layer.0/mlp/fc1/MatMul.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.backbones.registry import Onnx

if TYPE_CHECKING:
    import numpy as np

NODE = "/MatMul"


def convert(file: Path, source: Onnx, out: Path) -> None:
    """Write model.safetensors, config.json and preprocessor_config.json of the part of a graph that `source` names.

    Weights keep their dtype. ValueError where the file lacks a weight that `source` names.
    """
    from safetensors.numpy import save_file

    save_file(_weights(file, source), out / "model.safetensors", metadata={"format": "pt"})
    config = {"model_type": source.architecture.name, **source.architecture.arguments}
    for name, content in (("config.json", config), ("preprocessor_config.json", source.preprocessor)):
        (out / name).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _weights(file: Path, source: Onnx) -> dict[str, np.ndarray]:
    """Weights by the module's names, below `source.part`."""
    import numpy as np

    graph, array = _read(file)
    stored = {one.name: one for one in graph.initializer}
    found = {name: array(one) for name, one in stored.items()}
    for node in graph.node:
        if node.op_type == "MatMul" and node.name.endswith(NODE) and node.input[1] in stored:
            module = node.name.removesuffix(NODE).strip("/").replace("/", ".")
            found[f"{module}.weight"] = np.ascontiguousarray(found[node.input[1]].T)
    weights = {name.removeprefix(source.part): one for name, one in found.items() if name.startswith(source.part)}
    for name, pieces in source.joined.items():
        if lost := [piece for piece in pieces if piece not in found]:
            raise ValueError(f"{file}: has no {lost[0]}, of which {name} is made; is it another export?")
        weights[name] = np.concatenate([found[piece] for piece in pieces], axis=1)
    return weights


def _read(file: Path) -> tuple[Any, Any]:
    """The graph, and what makes an array of one of its tensors. What an external file would hold is not looked for."""
    import onnx

    return onnx.load(file, load_external_data=False).graph, onnx.numpy_helper.to_array
