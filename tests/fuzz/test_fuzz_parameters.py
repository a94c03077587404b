"""Whatever stands in params.yaml or a suite, there is a whole plan or one clear error that names file and field."""

import functools
import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from generators import altered, examples, is_clear, refusal, torn
from hypothesis import given
from hypothesis import strategies as st

from frod.backbones import registry as backbones
from frod.cli import main
from frod.config import Run, safe_yaml
from frod.pipeline.load import load_workflow
from frod.tasks import registry as tasks

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text()
SUITES = {name: (ROOT / "workflow" / "suites" / f"{name}.yaml").read_text() for name in ("smoke", "nlu", "paper")}
SUITES["own_model"] = Path(__file__).with_name("own_model.yaml").read_text()
WORDS = set(re.findall(r"\w+", "".join(SUITES.values()) + PARAMS))
KEY = re.compile(r"[a-z0-9_]+(/released)?(/[a-z0-9_]+){3}/seed-[0-9]+")


@pytest.fixture(scope="module", autouse=True)
def _registries_read_once():
    """Reading the registries takes most of the time, and they do not change."""
    with pytest.MonkeyPatch.context() as patch:
        for registry in (backbones, tasks):
            patch.setattr(registry, "load", functools.cache(registry.load))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "workflow" / "suites").mkdir(parents=True)
    for suite in (ROOT / "workflow" / "suites").glob("*.yaml"):
        (folder / "workflow" / "suites" / suite.name).write_text(suite.read_text())
    return folder


def check_plan(found):
    """Names fit folders, each run is itself again after its way through a command line, and all have what they need."""
    workflow, known_backbones, known_tasks = found
    assert workflow.runs or workflow.skipped
    for run in [*workflow.runs[:3], *(trial.run for trial in workflow.trials[:3])]:
        assert KEY.fullmatch(run.key)
        assert Run.of(plain_json(run.resolved())).resolved() == run.resolved()
        assert run.backbone in known_backbones and run.task in known_tasks


def plain_json(value):
    import json

    return json.dumps(value, allow_nan=False)


def check(call, sources):
    found, message = refusal(call)
    if message is None:
        check_plan(found)
    else:
        assert is_clear(message, sources), message


@examples(100)
@given(altered(yaml.safe_load(PARAMS), words=WORDS))
def test_parameters_with_faults(root, params):
    check(lambda: load_workflow(params, root), ["params.yaml: ", "suite smoke", str(root)])


@pytest.mark.parametrize("name", SUITES)
@examples(60)
@given(data=st.data())
def test_a_suite_with_faults(root, name, data):
    suite = data.draw(altered(yaml.safe_load(SUITES[name]), words=WORDS))
    path = root / "workflow" / "suites" / "fuzzed.yaml"
    try:
        path.write_text(yaml.safe_dump(suite, sort_keys=False, allow_unicode=True))
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError):  # no YAML says it
        return
    protocol = data.draw(st.sampled_from(["audited", "released"]))
    check(lambda: load_workflow({"suite": "fuzzed", "protocol": protocol}, root), [str(path), "suite fuzzed"])


@examples(100)
@given(torn(SUITES["own_model"]))
def test_a_torn_suite(root, text):
    path = root / "workflow" / "suites" / "torn.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    check(lambda: load_workflow({"suite": "torn"}, root), [str(path), "suite torn"])


@examples(40)
@given(torn(PARAMS) | st.binary(max_size=80))
def test_the_command_line_on_a_torn_file(root, content):
    """As the user sees it: what is wrong ends in exit status 1 and a line on stderr, and in no traceback."""
    path = root / "torn-params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch, open(os.devnull, "w") as nowhere:
        said = Said()
        patch.setattr(sys, "argv", ["frod", "params", str(path)])
        patch.setattr(sys, "stdout", nowhere)
        patch.setattr(sys, "stderr", said)
        try:
            main.main()
        except SystemExit as end:
            assert end.code in (0, 1), said
            text = "".join(said)
            assert "Traceback" not in text, text
            assert end.code == 0 or is_clear(
                text.removeprefix("error: ").rstrip("\n"), [str(path), "params.yaml", str(root), "suite"]
            ), text


class Said(list):
    """A stream that keeps what is written."""

    write = list.append

    def flush(self):
        pass


@examples(50)
@given(altered(yaml.safe_load(SUITES["own_model"])))
def test_what_is_read_is_what_was_written(suite):
    """A document that is taken means what PyYAML's own safe loader says it means."""
    try:
        text = yaml.safe_dump(suite, allow_unicode=True)
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError):
        return
    found, message = refusal(lambda: safe_yaml.from_yaml(text, "file"))
    assert found == yaml.safe_load(text) if message is None else is_clear(message, ["file: "])
