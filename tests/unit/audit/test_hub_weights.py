"""Weights that are said to be the Hub's are held against a mirror's record of their commit; else it is said."""

from types import SimpleNamespace

import pytest

from frod.audit import data
from frod.audit.findings import Findings
from frod.backbones import registry
from frod.files import write_json

CLIP = registry.load()["clip_vit_b32"]
NAMES = ("config.json", "model.safetensors", "preprocessor_config.json")
FILES = {name: f"{number:064x}" for number, name in enumerate(NAMES)}
OTHERS = FILES | {"model.safetensors": "f" * 64}
ANOTHER = "0" * 40


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("FROD_MIRROR", raising=False)


def audited(folder, *, backbone="clip_vit_b32", spec=CLIP, recorded=None, **said):
    """Lines, and what was not checked, of a source.json that says this; `recorded`: commit of the mirror's files."""
    facts = {"name": backbone, "title": spec.title, "library": spec.library, "licence": spec.licence, "files": FILES}
    facts |= {"source": "hub openai/clip-vit-base-patch32", "revision": CLIP.source.revision} | said
    write_json(folder / backbone / "source.json", facts)
    if recorded:
        files = {name: {"sha256": digest, "bytes": 1} for name, digest in FILES.items()}
        entry = {"revision": recorded, "files": files}
        write_json(folder / "mirror.json", {"repositories": {"models/openai/clip-vit-base-patch32": entry}})
    params = SimpleNamespace(split=SimpleNamespace(seed=0), paths=SimpleNamespace(mirror=str(folder)))
    own = {} if spec is CLIP else {backbone: spec.model_dump(mode="json")}
    study = SimpleNamespace(
        workflow=SimpleNamespace(
            name="s", params=params, suite=SimpleNamespace(backbones=own), backbones=lambda: [backbone], pairs=list
        ),
        bases={},
        model=lambda name: folder / name,
        digests=SimpleNamespace(compare=lambda *of, **by: True),
    )
    findings = Findings()
    data.check(study, findings)
    lines = [one.line().removeprefix(f"{folder}/{backbone}/").partition(": expected")[0] for one in findings.found]
    return lines, findings.unchecked


HELD = ([], {})
UNHELD = ([], {"weights of the Hub": "nothing here holds them against it: clip_vit_b32"})


def test_the_mirror_s_own_are_held(tmp_path):
    assert audited(tmp_path, recorded=CLIP.source.revision) == HELD
    assert audited(tmp_path, revision=None) == HELD  # of a mirror that had no record then


@pytest.mark.parametrize("revision", [None, CLIP.source.revision])
def test_others_are_a_finding_whatever_they_are_said_to_be(tmp_path, revision):
    lines, _ = audited(tmp_path, recorded=CLIP.source.revision, files=OTHERS, revision=revision)
    assert lines == ["model.safetensors: sha256 (by the mirror's mirror.json)"]


@pytest.mark.parametrize("revision", [None, CLIP.source.revision])
@pytest.mark.parametrize("recorded", [None, ANOTHER])
def test_what_no_record_tells_is_said(tmp_path, revision, recorded):
    assert audited(tmp_path, files=OTHERS, revision=revision, recorded=recorded) == UNHELD


@pytest.mark.parametrize("fetched", [FILES, {}])
def test_files_that_were_rewritten_are_said_to_be_unheld(tmp_path, fetched):
    assert audited(tmp_path, recorded=CLIP.source.revision, files=OTHERS, fetched=fetched) == UNHELD


def test_weights_of_one_s_own_are_not_the_hub_s(tmp_path):
    spec = registry.BackboneSpec.model_validate(CLIP.model_dump() | {"source": {"path": "weights"}})
    facts = {"source": "path weights", "revision": None, "files": OTHERS}
    assert audited(tmp_path, backbone="mine", spec=spec, **facts) == HELD
