"""Numbers that a run trained, counted in its adapter file.

The file holds more than what trains: persistent buffers (VeRA's and RandLoRA's projections, a norm's running means; of
FRoD those that training changed). Which tensors train, and of which shapes, is read off the model: built on the meta
device, with names, shapes and no numbers, and adapted by the run's own method. The file is held against that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from frod.audit.findings import NOTHING, Findings
from frod.audit.runs import AGAIN
from frod.audit.study import Study
from frod.config import Method, Run
from frod.provenance.artefacts import read_header
from frod.provenance.run_keys import RunKey
from frod.tasks import arrays

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a method trains of a model, by the names in the adapter file."""

    body: Shapes
    head: frozenset[str]
    """Its shapes are the task's: see `head_of`."""
    saved: frozenset[str]
    """Buffers that the file holds besides."""
    modules: tuple[str, ...]
    """Of the head."""
    base: int
    """Numbers of the frozen model without its head."""
    may: frozenset[str] = frozenset()
    """Buffers that the file of FRoD holds where training has changed them."""
    matched: Mapping[str, Any] | None = None
    """Of a method whose size is matched to another's, what a record says of that."""


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
        trained = trained_of(study, run)
        _check_tensors(path, shapes, trained, head_of(study, run), findings)
        record_path = folder / "record.json"
        numbers = count(shapes, trained)
        counted = {"trainable": numbers, "base": trained.base}
        stated = {name: record["parameters"].get(name) for name in counted}
        findings.equal(record_path, "parameters, by adapter.safetensors", counted, stated, remedy=AGAIN)
        told = record["parameters"].get("matched")
        findings.equal(record_path, "parameters.matched, by the model", trained.matched, told, remedy=AGAIN)
        findings.checked["parameter counts"] += 1
        if run.adapter.kind == "frod":
            open_bases, told = degenerate(study.basis_manifest(run)), record["parameters"].get("degenerate", [])
            findings.equal(record_path, "parameters.degenerate, by the basis", open_bases, told, remedy=AGAIN)
            _check_adapter(study, run, path, json.loads(metadata.get("frod", "{}")), trained, findings)


def _check_tensors(path: Path, shapes: Shapes, trained: Trained, head: Shapes, findings: Findings) -> None:
    """The file has the tensors that the method trains and saves, no others, and in the shapes that they train in."""
    known = trained.body.keys() | trained.head | trained.saved
    for names, expected, found in (
        (known - shapes.keys(), "there", NOTHING),
        (shapes.keys() - known - trained.may, NOTHING, "there"),
    ):
        if names:
            findings.add(path, f"tensor {_first(names)}", expected, found, remedy=AGAIN)
    wanted = trained.body | head
    if others := {name for name in wanted.keys() & shapes.keys() if wanted[name] != shapes[name]}:
        sides = wanted[min(others)], shapes[min(others)]
        findings.add(path, f"shape of tensor {_first(others)}, by the model", *sides, remedy=AGAIN)


def _first(names: Collection[str]) -> str:
    return min(names) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


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


def trained_of(study: Study, run: Run) -> Trained:
    """What a run or a trial trains; worked out once for each backbone and method."""
    causal, like = _classes(study, run) is None, run.matched or run.adapter
    methods = [method.model_dump_json(exclude={"label"}) for method in (run.adapter, like)]
    made_of = (run.backbone, *methods, json.dumps(run.targets), causal)
    if made_of not in study.trained:
        layers = None
        if like.kind == "frod":
            categories = study.basis_manifest(run.model_copy(update={"adapter": like}))["categories"].values()
            layers = [name for category in categories for name in category["layers"]]
        study.trained[made_of] = trained_by(
            study.model(run.backbone), run.adapter, run.targets, layers, like=run.matched, causal=causal
        )
    return study.trained[made_of]


def head_of(study: Study, run: Run) -> Shapes:
    """Shapes of what trains of a run's head, by the names in its adapter file; the task says how many outputs it has.

    Of a language model's own head nothing trains.
    """
    classes = _classes(study, run)
    if classes is None:
        return {}
    made_of = (run.backbone, classes)
    if made_of not in study.trained:
        study.trained[made_of] = head_by(study.model(run.backbone), classes)
    prefix = "head." if run.adapter.kind == "frod" else ""
    return {f"{prefix}{name}": shape for name, shape in study.trained[made_of].items()}


def _classes(study: Study, run: Run) -> int | None:
    return arrays.head_of(study.manifest(run.task, run.backbone))["num_classes"]


def head_by(model_folder: Path, num_classes: int) -> Shapes:
    """Shapes of a head of so many outputs, by name in the model, from the model's config.json alone."""
    import torch

    from frod import backbones
    from frod.backbones.loading import create_timm, describe, library_class
    from frod.method.heads import within

    source = describe(model_folder)
    with torch.device("meta"):
        if source["library"] == "timm":
            model = create_timm(model_folder, num_classes)
        else:
            from transformers import AutoConfig

            config = AutoConfig.from_pretrained(
                model_folder, num_labels=num_classes, local_files_only=True, trust_remote_code=False
            )
            model = library_class(source["inputs"]["kind"]).from_config(config, dtype=torch.float32)
    head = backbones.head_modules(model)
    return {name: tuple(p.shape) for name, p in model.named_parameters() if within(name, *head)}


def trained_by(
    model_folder: Path,
    adapter: Method,
    targets: list[str] | None,
    layers: Collection[str] | None = None,
    *,
    like: Method | None = None,
    causal: bool = False,
) -> Trained:
    """What a method trains of a model, from the model's config.json alone.

    Parameters
    ----------
    model_folder : Path
        data/models/BACKBONE.
    adapter : Method
    targets : list of str or None
        Layers to adapt; None: the architecture's.
    layers : collection of str, optional
        Those in the basis, by canonical name: weights of zeros are left out of it, and a config.json does not tell.
    like : Method, optional
        Of kind frod: the method that the adapter's size is matched to.
    causal : bool
        Whether the model has a language model's own head.
    """
    import torch

    from frod import backbones
    from frod.backbones.loading import describe, empty
    from frod.method.heads import within
    from frod.training import methods
    from frod.training.methods import size
    from frod.training.methods.trained import trained_state

    source = describe(model_folder)
    build = partial(empty, model_folder, source["library"], "causal" if causal else source["inputs"]["kind"])
    match = None if like is None else size.match(_with_zeros(build(), targets, layers), adapter, like, targets)
    adapter = match.adapter if match else adapter
    model = build()
    head = backbones.head_modules(model)
    base = sum(p.numel() for name, p in model.named_parameters() if not within(name, *head))
    body: Shapes
    may: set[str] = set()
    if adapter.kind == "frod":
        body, inside, saved = _frod_names(model, adapter, targets, head, layers)
        parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        may = {f"buffer.{name}" for name in model.state_dict() if name not in parameters and not within(name, *head)}
    else:
        with torch.device("meta"):  # PiSSA's decomposition, too, is of shapes only
            methods.of_kind(adapter.kind).apply(model, adapter, targets=targets, head=head, basis=None, seed=0)
        training = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
        inside = {name for name in training if within(name, *head)}
        body = {name: shape for name, shape in training.items() if name not in inside}
        saved = trained_state(model).keys() - training.keys()
    return Trained(
        body=body,
        head=frozenset(inside),
        saved=frozenset(saved),
        modules=tuple(head),
        base=base,
        may=frozenset(may),
        matched=None if match is None else match.facts(sum(map(math.prod, body.values()))),
    )


def _with_zeros(model: Any, targets: list[str] | None, in_basis: Collection[str] | None) -> Any:
    """The model, where the layers that the basis leaves out have weights of zeros: no size is matched to those."""
    import torch

    from frod.method.targets import FusedSlice, canonical_names, find

    found = {name: target for category in find(model, targets).values() for name, target in category.items()}
    for name, canonical in canonical_names(found).items():
        if in_basis is not None and canonical not in in_basis:
            target: Any = found[name]
            layer = target.layer if isinstance(target, FusedSlice) else target
            if layer.weight.is_meta:
                layer.weight = torch.nn.Parameter(torch.ones(layer.weight.shape))
            target.weight.data.zero_()
    return model


def _frod_names(
    model: Any, adapter: Method, targets: list[str] | None, head: list[str], in_basis: Collection[str] | None
) -> tuple[Shapes, set[str], set[str]]:
    """Names in FRoD's own format: adapter.LAYER.scale and .rotation but for the frozen one, head.NAME."""
    from frod.method.pattern import entries
    from frod.method.state import GROUPS
    from frod.method.targets import canonical_names, find, in_features

    assert adapter.sparse_rate is not None, "of kind frod"
    found = {name: target for category in find(model, targets).values() for name, target in category.items()}
    body: Shapes = {}
    for name, canonical in canonical_names(found).items():
        if in_basis is None or canonical in in_basis:
            n = in_features(found[name])
            numbers = dict(zip(GROUPS, (n, entries(n, adapter.sparse_rate))))
            body |= {f"adapter.{canonical}.{part}": (numbers[part],) for part in GROUPS if part not in adapter.freeze}
    inside, saved = set(), set()
    for module in head:
        part = model.get_submodule(module)
        parameters = {name for name, _ in part.named_parameters()}
        inside |= {f"head.{module}.{name}" for name in parameters}
        saved |= {f"head.{module}.{name}" for name in part.state_dict() if name not in parameters}
    return body, inside, saved
