"""Where files come from: the mirror first, the Hub at its commit, a package with its hash; pickles from nowhere."""

import shutil

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from tiny_hub import REVISION, TEXT_FILES, entry

from frod import backbones
from frod.backbones import download, registry
from frod.backbones.registry import BackboneSpec, Package


def spec(kind="llama", **changes):
    return BackboneSpec.model_validate(entry(kind, **changes))


def test_the_mirror_comes_first(monkeypatch, mirror, tmp_path):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the Hub"))
    facts = backbones.materialise("llama", spec(), tmp_path / "llama", mirror=mirror)
    assert set(facts["files"]) == set(TEXT_FILES)
    assert (facts["source"], facts["revision"]) == ("hub someone/llama", None)  # no mirror.json


def test_without_the_mirror_the_hub_is_asked_for_just_these_files(monkeypatch, mirror, tmp_path):
    asked = {}

    def snapshot_download(repo_id, **arguments):
        asked.update(arguments, id=repo_id)
        return str(mirror / "models" / "someone" / "llama")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    backbones.materialise("llama", spec(), tmp_path / "llama")
    where = {"id": "someone/llama", "repo_type": "model", "revision": REVISION}
    assert asked == where | {"allow_patterns": TEXT_FILES}


def test_offline_says_what_to_do_and_leaves_nothing(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise LocalEntryNotFoundError("no copy here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ValueError, match=r"someone/llama.*`frod fetch --suite SUITE --out DIR`.*FROD_MIRROR=DIR"):
        backbones.materialise("llama", spec(), tmp_path / "llama")
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_without_one_file_is_named(mirror, tmp_path):
    incomplete = spec(source={"hub": f"someone/llama@{REVISION}", "files": [*TEXT_FILES, "generation.txt"]})
    with pytest.raises(ValueError, match=r"has no generation\.txt; the copy is not whole"):
        backbones.materialise("llama", incomplete, tmp_path / "llama", mirror=mirror)


def test_weights_in_pickle_are_not_read(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"no safetensors, only .*; a pickle may run code and is not read"):
        backbones.materialise("mine", spec(source={"path": str(folder)}), tmp_path / "out")


def test_a_local_folder_leaves_pickles_and_code_behind(mirror, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(mirror / "models" / "someone" / "llama", folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling_mine.py").write_text("raise SystemExit")
    facts = backbones.materialise("mine", spec(source={"path": str(folder)}), tmp_path / "out")
    assert set(TEXT_FILES) <= set(facts["files"])
    assert not {"pytorch_model.bin", "modeling_mine.py"} & set(facts["files"])
    assert str(tmp_path) not in str(facts)  # no machine's paths


def test_minilm_is_the_hubs_own_file(tmp_path):
    facts = backbones.materialise("minilm", registry.load()["minilm"], tmp_path / "minilm")
    assert facts["files"]["model.safetensors"].startswith("53aa51172d142c89")
    assert facts["inputs"] == {"kind": "text", "max_length": 128, "pad_token_id": 0}


def test_a_package_of_other_weights_is_refused_with_both_hashes(tmp_path):
    source = registry.load()["minilm"].source
    other = Package(**(source.model_dump() | {"files": ["config.json", "model.safetensors"]}))
    other.sha256["model.safetensors"] = "0" * 64
    with pytest.raises(ValueError, match=r"sha256 is 53aa5117\w+, the registry says 0{64}"):
        download.package("minilm", other, tmp_path)


def test_a_package_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(ValueError, match="package no-such-thing, which is not installed"):
        download.package("mine", Package(package="no-such-thing", folder="x", files=["config.json"]), tmp_path)
