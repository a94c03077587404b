"""Entries of tasks and models, and the JSON that commands take: each is taken whole, or refused in clear lines."""

import json
from pathlib import Path

import pytest
import yaml
from generators import altered, examples, is_clear, refusal, torn
from hypothesis import given
from hypothesis import strategies as st

from frod.backbones import registry as backbones
from frod.config import Extraction, Run
from frod.config import load as load_suite
from frod.config.safe_yaml import checked
from frod.config.schema import from_json, validate
from frod.tasks import registry as tasks

ROOT = Path(__file__).parents[2]
REGISTRIES = {
    tasks.TaskSpec: yaml.safe_load(tasks.REGISTRY.read_text()),
    backbones.BackboneSpec: yaml.safe_load(backbones.REGISTRY.read_text()),
}
RUN = load_suite(yaml.safe_load((ROOT / "params.yaml").read_text()), ROOT).trials[0].run.resolved()
SPECS = {
    "run": (Run, RUN),
    "task": (tasks.Named, {"name": "mnist", "task": REGISTRIES[tasks.TaskSpec]["mnist"]}),
    "backbone": (
        backbones.Named,
        {"name": "digit_vit", "backbone": REGISTRIES[backbones.BackboneSpec]["digit_vit"], "task": {}, "seed": 0},
    ),
    "basis": (Extraction, {"kind": "shared", "ridge": 1e-3, "dtype": "float64", "targets": ["query", "value"]}),
}


@pytest.mark.parametrize("kind", REGISTRIES, ids=lambda kind: kind.__name__)
@examples(100)
@given(data=st.data())
def test_an_entry_with_faults(kind, data):
    registry = REGISTRIES[kind]
    entry = data.draw(altered(registry[data.draw(st.sampled_from(sorted(registry)))], words=list(kind.model_fields)))
    found, message = refusal(lambda: validate(kind, checked({"it": entry}, "own.yaml")["it"], "own.yaml", "it"))
    if message is None:
        again = validate(kind, json.loads(json.dumps(found.model_dump(mode="json", by_alias=True))), "again")
        assert again == found, "an entry is not itself again after its way to a command"
    else:
        assert is_clear(message, ["own.yaml: "]), message


@pytest.mark.parametrize("name", SPECS)
@examples(50)
@given(data=st.data())
def test_a_commands_json_with_faults(name, data):
    kind, spec = SPECS[name]
    values = data.draw(altered(spec, words=list(kind.model_fields)))
    try:
        text = json.dumps(values, skipkeys=True, default=str)
    except RecursionError:
        return
    text = data.draw(st.just(text) | torn(text))
    found, message = refusal(lambda: from_json(kind, text, "--spec"))
    assert isinstance(found, kind) if message is None else is_clear(message, ["--spec: "]), message
