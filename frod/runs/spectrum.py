"""The spectrum of what fine-tuning changed: singular values of W' - W of each target layer, in float64.

A layer is what FRoD adapts: of a fused qkv the query, key and value rows are layers of their own, for every method, so
that methods and architectures can be compared. W is the weight in the backbone's files, whatever a method made of it
when it started (PiSSA takes its adapter off it); W' is what the finished run multiplies by.

Shapes: m out_features, n in_features.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import frod
from frod import backbones
from frod.method.identity import weight_of
from frod.method.linear import FrodLinear
from frod.method.products import SharedBasis
from frod.method.shards import Stored, bind
from frod.method.targets import FusedSlice, Targets, find, get
from frod.provenance import records
from frod.runs import restore, sharpness
from frod.runs.finished_run import Finished
from frod.tasks import arrays

if TYPE_CHECKING:
    import pyarrow


def schema() -> pyarrow.Schema:
    """Columns of spectrum.parquet, one row per seed and layer; of a seed that changes no target layer, no row."""
    import pyarrow

    return pyarrow.schema(
        [
            ("seed", pyarrow.int64()),
            ("layer", pyarrow.string()),
            ("category", pyarrow.string()),
            ("out_features", pyarrow.int64()),
            ("in_features", pyarrow.int64()),
            ("singular_values", pyarrow.list_(pyarrow.float64())),
            ("weight_norm", pyarrow.float64()),
        ]
    )


def of_runs(runs: Sequence[Finished]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of spectrum.parquet and of sharpness.parquet, of runs of one backbone and task.

    Their models are restored one after the other. A linear probe changes no target layer and has no spectrum; a run
    that diverged, whose weights are no numbers, has no row in either.

    Raises
    ------
    ValueError
        Inputs or outputs of a run are not those that its record names.
    """
    before: dict[str, dict[str, Stored]] = {}
    layers: list[dict[str, Any]] = []
    losses: list[dict[str, Any]] = []
    for finished in runs:
        finished.check_inputs()
        records.verify_outputs(finished.path, finished.facts)
        run, folder = finished.run, finished.backbone
        if finished.facts["undefined"]:
            print(f"{run.key}: no layers", flush=True)
            continue
        before = before or originals(backbones.skeleton(folder), run.targets, folder)
        basis = frod.Basis.load(finished.basis) if finished.basis else None
        model = restore.start(run, folder, arrays.load_manifest(finished.task, verify=False), basis)
        restore.load_trained(model, finished.path.parent / "adapter.safetensors", run.adapter.kind, basis)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        changed = [{"seed": run.seed} | row for row in rows(model, run.adapter.kind, before)]
        print(f"{run.key}: {len(changed)} layers", flush=True)
        layers += changed
        losses += sharpness.rows(model, run, arrays.load_split(finished.task, "validation"), before)
    return layers, losses


def originals(plain: nn.Module, targets: Targets, checkpoint: Path) -> dict[str, dict[str, Stored]]:
    """Find the target layers of a model without adapters, and where their weights lie in the backbone's folder.

    Returns
    -------
    dict of str to dict of str to Stored
        Category -> name of the layer -> its weight in the files, read again at each use.
    """
    found = find(plain, targets)
    stored = bind({name: target for layers in found.values() for name, target in layers.items()}, checkpoint)
    return {category: {name: stored[name] for name in layers} for category, layers in found.items()}


@torch.no_grad()
def rows(model: nn.Module, kind: str, before: Mapping[str, Mapping[str, Stored]]) -> Iterator[dict[str, Any]]:
    """Yield a row of spectrum.parquet, but for the seed, per target layer: one weight in memory at a time.

    Parameters
    ----------
    model : nn.Module
        Restored; computed is where it lies.
    kind : str
        Of its method (config.Method.kind). A linear probe has no rows: it leaves the target layers alone.
    before : mapping
        Of `originals`.
    """
    if kind == "linear_probe":
        return
    trained = {"frod": _frod, "peft": _peft, "full_ft": _full}[kind]
    for category, layers in before.items():
        for name, stored in layers.items():
            if kind == "frod" and not isinstance(get(model, name), FrodLinear):
                continue  # weights of zeros, which FRoD leaves alone
            after = trained(model, name, stored)
            W = stored.weight.to(after)
            values = torch.linalg.svdvals(after - W)
            yield {
                "layer": name,
                "category": category,
                "out_features": W.shape[0],
                "in_features": W.shape[1],
                "singular_values": values.tolist(),
                "weight_norm": float(torch.linalg.matrix_norm(W)),
            }


def _full(model: nn.Module, name: str, stored: Stored) -> Tensor:
    return weight_of(get(model, name)).double()


def _frod(model: nn.Module, name: str, stored: Stored) -> Tensor:
    """W' as the method forms it, by a twin of the layer in float64 on the numbers that the run had."""
    layer = get(model, name)
    assert isinstance(layer, FrodLinear)
    W = weight_of(layer.base).double()
    plain = nn.Linear(W.shape[1], W.shape[0], bias=False, device="meta")
    plain.weight = nn.Parameter(W, requires_grad=False)
    shared = SharedBasis(layer.shared.Vt.T.double(), layer.shared.V_inv_t.double())
    twin = FrodLinear(plain, shared, category=layer.category, lambda_0=layer.lambda_0, solve=layer.solve)
    twin.add_adapter("trained", layer.adapter.pattern)
    twin.scale.copy_(layer.scale)
    twin.rotation.copy_(layer.rotation)
    return twin.form_weight()


def _peft(model: nn.Module, name: str, stored: Stored) -> Tensor:
    """W' by the method's own merge, on a copy of the layer in float64; of a fused layer the rows of the role."""
    part = stored.target if isinstance(stored.target, FusedSlice) else None
    layer: Any = copy.deepcopy(model.get_submodule(name.rpartition(".")[0] if part else name)).double()
    layer.merge()
    merged = weight_of(layer.get_base_layer())
    return merged[part.rows] if part else merged
