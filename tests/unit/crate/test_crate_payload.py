"""A crate holds no secret and no file that is not the one recorded; and one error names all that is wrong."""

import hashlib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from by_hand import write_suite

from frod.backbones import registry as backbones
from frod.config import load
from frod.crate import build, origins, payload
from frod.crate.jobs import Jobs
from frod.pipeline.metadata import Metadata
from frod.tasks import registry as tasks


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a suite, in which nothing has run; as working directory."""
    monkeypatch.chdir(tmp_path)
    write_suite()
    return tmp_path


def files_of(**paths):
    """An empty payload; `paths` are those of params.yaml."""
    return payload.Payload(load({"suite": "one", "paths": paths}))


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_every_missing_and_altered_file_is_named_in_one_error(project):
    Path("metrics.json").write_text("{}")
    files = files_of()
    files.add("metrics.json", sha256(b"{ }"), by="record.json")
    files.add("record.json")
    files.add("adapter.safetensors", "0" * 64, by="record.json", data=True)
    with pytest.raises(ValueError) as error:
        files.known()
    lines = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["adapter.safetensors", "metrics.json", "record.json"]
    assert "is not there" in lines[0] and "is not there" in lines[2]
    assert f"sha256 is {sha256(b'{}')}, record.json says {sha256(b'{ }')}" in lines[1]


def test_two_files_that_say_other_hashes_of_one_are_found_without_reading_it(project):
    Path("adapter.safetensors").write_bytes(b"weights")
    files = files_of()
    for by, digest in (("a", "0" * 64), ("b", "1" * 64)):
        files.add("adapter.safetensors", digest, by=by, data=True)
    with pytest.raises(ValueError, match=r"adapter\.safetensors: sha256 is 0{64}, b says 1{64}"):
        files.known()


def test_large_files_are_named_by_the_recorded_hash_or_held_where_asked_for(project):
    Path("adapter.safetensors").write_bytes(b"weights")
    digest = sha256(b"weights")
    for with_data in (False, True):
        files = payload.Payload(load({"suite": "one"}), with_data=with_data)
        files.add("adapter.safetensors", digest, by="record.json", data=True)
        (known,) = files.known().values()
        assert (known.held, known.sha256, known.size) == (with_data, digest, 7)


def test_folders_elsewhere_have_their_usual_names_and_other_places_none(project):
    assert files_of(data="cache/data").name("cache/data/models/a.json") == "data/models/a.json"
    files = files_of(results="/scratch/runs", data="../data")
    assert files.name("/scratch/runs/one/a.json") == "results/one/a.json"
    assert files.name("../data/models/a.json") == "data/models/a.json"
    assert files.name("reports/one/index.html") == "reports/one/index.html"
    with pytest.raises(ValueError, match="/etc/passwd lies neither"):
        files.name("/etc/passwd")


def test_a_file_of_which_nobody_knows_how_it_was_made_is_an_error(project):
    """Snakemake has no record of it, or one that says so, as of files that were brought from elsewhere."""
    workflow = load({"suite": "one"})
    jobs = Jobs(workflow, payload.Payload(workflow), {"backbone": {}, "task": {}})
    for known in (False, True):
        if known:
            Metadata(project).mark_unknown("reports/one/report.json", "copied", 1.0)
        with pytest.raises(
            ValueError,
            match=r"reports/one/report\.json: Snakemake has no record .*; run `snakemake --config suite=one`",
        ):
            jobs.read(Path("reports/one/report.json"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("record.json", '{"tracking": {"uri": "https://ada:lovelace@example.org/"}}'),
        ("record.json", '{"api_key": "x"}'),
        ("page.html", "<p>hf_" + "a" * 30 + "</p>"),
        ("notes.txt", "one\nthe value-of-a-variable\n"),
    ],
)
def test_secrets_stop_the_export_and_are_not_repeated(project, monkeypatch, name, content):
    monkeypatch.setenv("MY_TOKEN", "value-of-a-variable")
    Path(name).write_text(content)
    files = files_of()
    files.add(name)
    with pytest.raises(ValueError, match=f"{name}: .*secret") as error:
        files.known()
    for secret in ("lovelace", "hf_aaa", "value-of-a-variable"):
        assert secret not in str(error.value)


def test_settings_other_than_those_of_the_run_are_replaced_by_those(project):
    Path("params.yaml").write_text("suite: other\ntracking: {uri: 'https://ada:lovelace@example.org/'}\n")
    files = files_of()
    build.add_params(files, {"suite": "one"})
    known = files.known()["params.yaml"]
    assert yaml.safe_load(known.text) == {"suite": "one"}
    assert known.sha256 == sha256(known.text.encode()) and known.size == len(known.text)
    Path("params.yaml").write_text("suite: one # a comment\n")
    files = files_of()
    build.add_params(files, {"suite": "one"})
    assert files.known()["params.yaml"].sha256 == sha256(b"suite: one # a comment\n")


def test_only_a_crate_is_replaced(project):
    build.check_target(project / "new")
    (project / "empty").mkdir()
    build.check_target(project / "empty")
    (project / "crate").mkdir()
    (project / "crate" / "ro-crate-metadata.json").write_text("{}")
    build.check_target(project / "crate")
    build.check_target(project / "new.zip")
    for name, member in (("crate.zip", "ro-crate-metadata.json"), ("photographs.zip", "one.jpg")):
        with zipfile.ZipFile(name, "w") as packed:
            packed.writestr(member, "{}")
    build.check_target(Path("crate.zip"))
    Path("notes.zip").write_text("no archive")
    for taken in ("workflow", "notes.zip", "photographs.zip", "workflow/suites/one.yaml", "crate.zip/within"):
        with pytest.raises(ValueError, match=taken):
            build.check_target(Path(taken))


def test_sources_have_licence_and_address():
    known = backbones.load()
    identifier, about = origins.source("backbone", "clip_vit_b32", known["clip_vit_b32"], "c" * 40)
    assert identifier == "#source/backbone/clip_vit_b32"
    assert about["url"] == f"https://huggingface.co/openai/clip-vit-base-patch32/tree/{'c' * 40}"
    assert about["license"] == "not stated"
    _, about = origins.source("task", "digits", tasks.load()["digits"], "1.9.1")
    assert about["identifier"] == "pkg:pypi/scikit-learn@1.9.1"
    assert about["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    own = SimpleNamespace(title="Mine", licence="my own", source=SimpleNamespace(path=Path("/home/me/mine.csv")))
    assert "/home" not in str(origins.source("task", "mine", own, None))


@pytest.mark.parametrize("name", ["Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0", "CC-BY-SA-4.0", "Unicode-3.0"])
def test_a_licence_with_a_name_of_spdx_is_an_address(name):
    assert origins.licence(name)[0] == {"@id": f"https://spdx.org/licenses/{name}"}


@pytest.mark.parametrize("name", ["not stated", "unknown", "Llama 2 Community License"])
def test_another_licence_is_its_text(name):
    assert origins.licence(name) == (name, None)
