"""A suite of one's own, with comments: a task, a model, full fine-tuning and FRoD, a budget, a box of rates."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import yaml

from frod import files
from frod.config import safe_yaml
from frod.config.settings import PUBLISHED
from frod.config.suite import RESERVED
from frod.pipeline.inspect_data import Found

METHODS = ("full_ft", "frod")
MODELS = {"sentences": "minilm", "images": "digit_vit"}
LANGUAGES = {"de": "German", "fi": "Finnish", "tr": "Turkish"}
LICENCES = {"sentences": "Unicode-3.0", "images": "CC-BY-4.0"}  # of the samples
SAMPLE_IMAGES = ("zero", "one", "two")
# Where no suite of workflow/suites has the model: a place to begin, nothing more.
BOX = {
    "full_ft": {"lr": [1e-5, 1e-4], "lr_head": [3e-4, 3e-3]},
    "frod": {"lr_scale": [3e-4, 3e-3], "lr_rotation": [3e-4, 3e-3], "lr_head": [3e-4, 3e-3]},
}


def check_name(name: str) -> None:
    """Raise ValueError where a suite and its task cannot be called so."""
    from frod.tasks import registry

    if not re.fullmatch("[a-z][a-z0-9_]{,63}", name):
        better = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:64]
        such = f", such as {better}" if better else ""
        raise ValueError(f"NAME: is {name!r}; at most 64 small letters, digits and _, beginning with a letter{such}")
    if safe_yaml.from_word(name, "NAME") != name:
        raise ValueError(f"NAME: is {name}, which is no text in YAML; choose another")
    if name in RESERVED | {PUBLISHED} or name in registry.load():
        raise ValueError(f"NAME: {name} is taken, as that of a registered task or a folder; choose another")


def text(name: str, found: Found, *, model: str | None, sample: bool, suites: Path) -> str:
    """Return the file of a suite whose one task has its name; its boxes are those of a suite in the folder `suites`.

    The model is a name of the registry, by default a small one that takes the task's kind. A `sample` is one of
    `write_sample`.
    """
    import jinja2

    model = model or MODELS[found.kind]
    loader = jinja2.PackageLoader("frod.pipeline", ".")
    environment = jinja2.Environment(loader=loader, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["flow"] = _flow
    what = ", ".join(f"{rows:,} of {split}" for split, rows in found.rows.items())
    return environment.get_template("new_suite.yaml.j2").render(
        name=name,
        found=found,
        model=model,
        sample=sample,
        title=json.dumps(name.replace("_", " ").capitalize()),
        description=json.dumps(f"Full fine-tuning and FRoD on {name}: {what}; {len(found.classes)} classes."),
        licence=LICENCES[found.kind] if sample else "not stated",
        box=_box(model, suites),
    )


def write_sample(folder: Path, kind: str) -> Path:
    """Write data to try a suite on, from packages that are installed; return where they are.

    A table of territories' names in three languages (sentences), or three of scikit-learn's digits (images). What is
    there already stays.
    """
    from frod.tasks import packages

    if kind == "sentences":
        file = folder.with_suffix(".csv")
        if not file.exists():
            examples = packages.territory_names(list(LANGUAGES))
            names = list(LANGUAGES.values())
            lines = io.StringIO()
            csv.writer(lines, lineterminator="\n").writerows(
                [("text", "label"), *((text, names[label]) for text, label in zip(examples.inputs, examples.labels))]
            )
            files.write_text(file, lines.getvalue())
        return file
    if not folder.exists():
        from PIL import Image

        examples = packages.digits()
        for place, (image, label) in enumerate(zip(examples.inputs, examples.labels)):
            if label < len(SAMPLE_IMAGES):
                path = folder / SAMPLE_IMAGES[label] / f"{place:04}.png"
                with files.path_for(path) as partial:
                    Image.fromarray(image).save(partial)
    return folder


def _box(model: str, suites: Path) -> dict[str, Any]:
    """Return the boxes of the first suite that has them for this model, smoke before others with wider ones."""
    for file in sorted(suites.glob("*.yaml"), key=lambda file: (file.stem != "smoke", file.name)):
        for experiment in safe_yaml.read(file).get("experiments", []):
            box = experiment.get("box", {})
            # Answers in writing train no head, and so have no rate of one.
            whole = set(METHODS) <= set(box) and all("lr_head" in box[method] for method in METHODS)
            if experiment.get("backbone") == model and whole:
                return {method: box[method] for method in METHODS}
    return BOX


def _flow(value: Any) -> str:
    """A value in YAML, on one line: JSON, with bare keys."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, float):  # 1e-05, as JSON has it, is a text in YAML
        return yaml.safe_dump(value).split()[0]
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
