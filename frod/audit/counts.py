"""Numbers that a run trained, counted in its adapter file.

The file holds more than what trains: persistent buffers (VeRA's and RandLoRA's projections, a norm's running means; of
FRoD those that training changed) and given patterns of FRoD. Which tensors train is read off the model: built on the
meta device, with names, shapes and no numbers, and adapted by the run's own method.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frod.audit.findings import NOTHING, Findings
from frod.audit.runs import AGAIN
from frod.audit.study import Study
from frod.config import Method, Run
from frod.provenance.artefacts import read_header
from frod.provenance.run_keys import RunKey

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a method trains of a model, by the names in the adapter file."""

    body: frozenset[str]
    head: frozenset[str]
    saved: frozenset[str]
    """Buffers that the file holds besides."""
    modules: tuple[str, ...]
    """Of the head."""
    base: int
    """Numbers of the frozen model without its head."""
    may: frozenset[str] = frozenset()
    """Buffers that the file of FRoD holds where training has changed them."""


def count(shapes: Shapes, trained: Trained) -> dict[str, int]:
    """Count the trained numbers in the head and outside it, as the record does."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    body, head = (sum(size for name, size in sizes.items() if name in of) for of in (trained.body, trained.head))
    return {"adapter": body, "head": head, "total": body + head}


def check_counts(study: Study, key: RunKey, findings: Findings) -> None:
    """Hold the record's counts against the adapter file, and the file's tensors against what the method trains."""
    folder, run = study.folder(key), study.runs[key]
    path = folder / "adapter.safetensors"
    record = study.records.get(key)
    if not path.is_file() or record is None:
        return
    with findings.guard(path, "the number of trained parameters"):
        shapes, metadata = read_header(path, remedy=AGAIN)
        trained = trained_of(study, key)
        known = trained.body | trained.head | trained.saved
        given = {name for name in shapes if name.startswith("pattern.")} if run.adapter.kind == "frod" else set()
        for names, expected, found in (
            (known - set(shapes), "there", NOTHING),
            (set(shapes) - known - trained.may - given, NOTHING, "there"),
        ):
            if names:
                what = f"tensor {min(names)}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
                findings.add(path, what, expected, found, remedy=AGAIN)
        record_path = folder / "record.json"
        numbers = count(shapes, trained)
        counted = {"trainable": numbers, "base": trained.base}
        stated = {name: record["parameters"].get(name) for name in counted}
        findings.equal(record_path, "parameters, by adapter.safetensors", counted, stated, remedy=AGAIN)
        if matched := _matched(study, key):
            where, reached = "parameters.matched.reached", matched.get("reached")
            findings.equal(record_path, where, numbers["adapter"], reached, remedy=AGAIN)
        findings.checked["parameter counts"] += 1
        if run.adapter.kind == "frod":
            open_bases, told = degenerate(study.basis_manifest(run)), record["parameters"].get("degenerate", [])
            findings.equal(record_path, "parameters.degenerate, by the basis", open_bases, told, remedy=AGAIN)
            _check_adapter(study, run, path, json.loads(metadata.get("frod", "{}")), trained, findings)


def _check_adapter(
    study: Study, run: Run, path: Path, settings: Mapping[str, Any], trained: Trained, findings: Findings
) -> None:
    """FRoD's file says which basis, model, seed, sparse rate and frozen group it is of."""
    from frod.training.seeds import stream

    basis = study.basis_manifest(run)
    expected = {
        "basis_digest": basis["digest"],
        "model_hash": basis["model_hash"],
        "sparse_rate": run.adapter.sparse_rate,
        "seed": run.adapter.places_drawn_by(stream(run.seed, "adapter")),
        "freeze": run.adapter.freeze or None,
        "train": list(trained.modules),
    }
    findings.equal(path, "metadata", expected, {name: settings.get(name) for name in expected}, remedy=AGAIN)


def degenerate(manifest: Mapping[str, Any]) -> list[str]:
    """Kinds of layers of which any rotation would be a basis, as `frod.Basis.degenerate` names them."""
    kinds = manifest["categories"].items()
    return [name for name, kind in kinds if kind.get("degenerate") and len(kind["layers"]) > 1]


def _matched(study: Study, key: RunKey) -> Mapping[str, Any]:
    """What a run's record says of the method that its size was matched to."""
    return (study.records[key]["parameters"].get("matched") or {}) if study.runs[key].matched else {}


def trained_of(study: Study, key: RunKey) -> Trained:
    """What a run trains; worked out once for each backbone and method."""
    run, size = study.runs[key], _matched(study, key).get("value")
    adapter = run.adapter
    if size is not None:
        adapter = adapter.model_copy(update={"arguments": adapter.arguments | {adapter.size_argument: size}})
    made_of = (run.backbone, adapter.model_dump_json(exclude={"label"}), json.dumps(run.targets))
    if made_of not in study.trained:
        layers = None
        if adapter.kind == "frod":
            categories = study.basis_manifest(run)["categories"].values()
            layers = [name for category in categories for name in category["layers"]]
        study.trained[made_of] = trained_by(study.model(run.backbone), adapter, run.targets, layers)
    return study.trained[made_of]


def trained_by(
    model_folder: Path, adapter: Method, targets: list[str] | None, layers: Collection[str] | None = None
) -> Trained:
    """What a method trains of a model, from the model's config.json alone.

    Parameters
    ----------
    model_folder : Path
        data/models/BACKBONE.
    adapter : Method
        At its size, where that is matched to another method's.
    targets : list of str or None
        Layers to adapt; None: the architecture's.
    layers : collection of str, optional
        Those in the basis, by canonical name: weights of zeros are left out of it, and a config.json does not tell.
    """
    import torch

    from frod import backbones
    from frod.backbones.loading import describe, empty
    from frod.method.heads import within
    from frod.training import methods
    from frod.training.methods.trained import trained_state

    source = describe(model_folder)
    model = empty(model_folder, source["library"], source["inputs"]["kind"])
    head = backbones.head_modules(model)
    base = sum(p.numel() for name, p in model.named_parameters() if not within(name, *head))
    may: set[str] = set()
    if adapter.kind == "frod":
        body, inside, saved = _frod_names(model, adapter, targets, head, layers)
        parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        may = {f"buffer.{name}" for name in model.state_dict() if name not in parameters and not within(name, *head)}
    else:
        with torch.device("meta"):  # PiSSA's decomposition, too, is of shapes only
            methods.of_kind(adapter.kind).apply(model, adapter, targets=targets, head=head, basis=None, seed=0)
        training = {name for name, p in model.named_parameters() if p.requires_grad}
        inside = {name for name in training if within(name, *head)}
        body, saved = training - inside, set(trained_state(model)) - training
    return Trained(
        body=frozenset(body),
        head=frozenset(inside),
        saved=frozenset(saved),
        modules=tuple(head),
        base=base,
        may=frozenset(may),
    )


def _frod_names(
    model: Any, adapter: Method, targets: list[str] | None, head: list[str], in_basis: Collection[str] | None
) -> tuple[set[str], set[str], set[str]]:
    """Names in FRoD's own format: adapter.LAYER.scale and .rotation but for the frozen one, head.NAME."""
    from frod.method.state import GROUPS
    from frod.method.targets import canonical_names, find

    layers = canonical_names(name for category in find(model, targets).values() for name in category).values()
    adapted = [name for name in layers if in_basis is None or name in in_basis]
    body = {f"adapter.{name}.{part}" for name in adapted for part in GROUPS if part not in adapter.freeze}
    inside, saved = set(), set()
    for module in head:
        part = model.get_submodule(module)
        parameters = {name for name, _ in part.named_parameters()}
        inside |= {f"head.{module}.{name}" for name in parameters}
        saved |= {f"head.{module}.{name}" for name in part.state_dict() if name not in parameters}
    return body, inside, saved
