"""Arrays that are not what the raw data give are found, wherever these come from, though the manifest fits."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "tasks"))

from small_sources import REVISION, WordTokenizer, entry, sentences, write
from test_own_tasks import pictures, spec, table

from frod import backbones
from frod.audit import raw
from frod.audit.digests import Digests
from frod.audit.findings import Findings
from frod.files import sha256, write_json
from frod.provenance import artefacts
from frod.tasks import arrays, registry
from frod.tasks.prepare import prepare
from frod.tasks.registry import TaskSpec

IMAGES = {"kind": "images", "mean": [0.3], "std": [0.4]}
IMAGES |= {"size": [8, 8], "channels": 1, "resize": None, "interpolation": "bilinear"}
GSM8K = {"what": "hub openai/gsm8k, main", "revision": "740312add88f781978c0658806c59bc2815b9866"}
ROWS = {"metamath": 395_000, "train": 7473, "test": 1319}
TEXT = {"kind": "text", "max_length": 8, "pad_token_id": 7}


def of_mirror(folder):
    there = folder / "mirror/datasets/someone/texts/plain"
    write(there, sentences(60))
    write(there, sentences(12), "validation-00000-of-00001.parquet")
    return TaskSpec.model_validate(entry())


def of_table(folder):
    table(folder / "mine.csv")
    return spec(folder / "mine.csv")


def of_images(folder):
    pictures(folder / "pictures", count=12)
    return spec(folder / "pictures", kind="images", columns={}, classes=["cat", "dog"])


SOURCES = {
    "mirror": of_mirror,
    "table": of_table,
    "images": of_images,
    "package": lambda folder: registry.load()["digits"],
    "generator": lambda folder: registry.load()["sums"],
}


class Place:
    """A prepared task, and as much of a study as its audit looks at."""

    def __init__(self, folder, task, protocol="audited"):
        self.task, self.folder = task, folder / "tasks/mine/model"
        facts, settings = IMAGES if task.kind == "images" else TEXT, {"seed": 0, "protocol": protocol}
        out = {"backbone": "model", "out": self.folder, "mirror": folder / "mirror"}
        prepare("mine", task, input_facts=facts, tokenizer=WordTokenizer(), **out, **settings)
        self.params = SimpleNamespace(
            split=SimpleNamespace(seed=0), protocol=protocol, paths=SimpleNamespace(mirror=str(folder / "mirror"))
        )

    def lines(self):
        own = {"mine": self.task.model_dump(mode="json", by_alias=True)}
        study = SimpleNamespace(
            workflow=SimpleNamespace(
                name="s", params=self.params, suite=SimpleNamespace(tasks=own), pairs=lambda: [("mine", "model")]
            ),
            tasks=self.folder.parents[1],
            digests=Digests(),
            model=lambda backbone: self.folder,
            manifest=lambda *names: arrays.load_manifest(self.folder),
            split=lambda task, backbone, split: arrays.load_split(self.folder, split),
        )
        self.findings = Findings()
        raw.check(study, self.findings)
        return [line.line().removeprefix(f"{self.folder}/") for line in self.findings.found]

    def write(self, name, values):
        """Arrays altered, and their manifest made to fit."""
        np.save(self.folder / name, values)
        self.say({})

    def say(self, facts):
        manifest = arrays.load_manifest(self.folder, verify=False) | facts
        for split in manifest["splits"].values():
            split["files"] = {name: sha256(self.folder / name) for name in split["files"]}
        write_json(self.folder / "manifest.json", artefacts.with_digest(manifest))


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("FROD_MIRROR", raising=False)
    monkeypatch.setattr(backbones, "tokenizer", lambda folder: WordTokenizer())


@pytest.fixture(params=SOURCES)
def place(request, tmp_path):
    return Place(tmp_path, SOURCES[request.param](tmp_path))


def test_what_was_prepared_is_what_the_raw_data_give(place, capfd):
    assert place.lines() == [] and capfd.readouterr().err == ""
    of_files = isinstance(place.task.source, registry.Local) and place.task.kind == "images"
    assert set(place.findings.unchecked) == ({"inputs"} if of_files else set())
    rows = sum(split["rows"] for split in arrays.load_manifest(place.folder)["splits"].values())
    assert place.findings.checked["labels by the raw data"] == rows
    assert place.findings.checked["inputs by the raw data"] == (0 if of_files else rows)


def test_an_altered_label_is_found_and_so_is_an_altered_draw(place):
    for kind in ("labels", "ids"):
        values = np.load(place.folder / f"test.{kind}.npy")
        place.write(f"test.{kind}.npy", np.concatenate([values[:-1], values[values != values[-1]][:1]]))
        (line,) = place.lines() or [""]
        assert line.startswith(f"test.{kind}.npy: row {len(values) - 1} (1 differ), by the raw data: expected ")
        place.write(f"test.{kind}.npy", values)
    assert place.lines() == []


def test_altered_inputs_are_found_where_they_are_encoded_again(place):
    name = "test.images.npy" if place.task.kind == "images" else "test.tokens.npy"
    place.write(name, np.load(place.folder / name)[::-1])
    lines = place.lines()
    if "inputs" in place.findings.unchecked:
        assert lines == [] and place.findings.unchecked["inputs"].endswith(": mine")
    else:
        assert [line.partition(": sha256: expected")[0] for line in lines] == [
            f"{name}: differs from the raw data, encoded again"
        ]


def test_what_a_manifest_says_of_its_task_is_the_registrys(place):
    place.say({"licence": "another", "duplicates": {"left_out": 3, "shared": {}}})
    lines = place.lines()
    assert any(line.startswith("manifest.json: by the registry.licence: expected ") for line in lines)
    assert any(
        line.startswith("manifest.json: by the raw data.duplicates.left_out: expected 0, found 3") for line in lines
    )


def test_the_released_protocol_has_its_own_draw(tmp_path):
    place = Place(tmp_path, of_mirror(tmp_path), protocol="released")
    assert place.lines() == [] and place.findings.checked["raw data sets"] == 1


def test_data_that_are_not_at_hand_are_said(tmp_path):
    place = Place(tmp_path, of_mirror(tmp_path))
    (tmp_path / "mirror").rename(tmp_path / "elsewhere")
    assert place.lines() == [] and place.findings.unchecked == {"raw data": "no mirror has someone/texts: mine"}


def merged(below, above):
    return below | {
        key: merged(below[key], value) if isinstance(value, dict) else value for key, value in above.items()
    }


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"metrics": ["f1", "accuracy"]}, "by the registry.metrics[0]: expected accuracy, found f1"),
        ({"licence": "CC0-1.0"}, "by the registry.licence: expected none, found CC0-1.0"),
        ({"class_names": ["yes", "no"]}, "by the registry.class_names[0]: expected no, found yes"),
        ({"source": {"what": "hub other/set, plain"}}, "by the registry.what: expected hub someone/texts, plain, "),
        ({"source": {"revision": "f" * 40}}, f"by the registry.revision: expected {REVISION}, found {'f' * 40}"),
        ({"source": {"rows": {"train": 60, "validation": 11}}}, "source.rows, by the registry.validation: expected 12"),
        ({"splits": {"test": {"rows": 11}}}, "rows of splits, by the registry.test: expected 12, found 11"),
        ({"duplicates": {"left_out": 2}}, "rows of splits, by the registry.train: expected 49, found 51"),
    ],
)
def test_what_the_registry_says_is_held_without_the_data(tmp_path, facts, line):
    place = Place(tmp_path, of_mirror(tmp_path))
    (tmp_path / "mirror").rename(tmp_path / "elsewhere")
    place.say(merged(arrays.load_manifest(place.folder), facts))
    assert any(one.startswith(f"manifest.json: {line}") for one in place.lines()), place.lines()
    assert place.findings.unchecked == {"raw data": "no mirror has someone/texts: mine"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, None),
        ({"read": ".*"}, "by the registry.read: expected "),
        ({"max_new_tokens": 9999}, "by the registry.max_new_tokens: expected 300, found 9999"),
        ({"metrics": ["accuracy"]}, "by the registry.metrics[0]: expected exact_match, found accuracy"),
        (
            {"splits": {"train": {"rows": 395_000}, "validation": {"rows": 50}, "test": {"rows": 1300}}},
            "rows of splits",
        ),
    ],
)
def test_how_answers_are_read_is_held_where_no_mirror_has_the_data(changes, line):
    """Of GSM8K, whose manifest is as the registry's entry reads."""
    spec = registry.load()["metamath_gsm8k"]
    metamath = {"what": "hub meta-math/MetaMathQA, default", "revision": None}
    manifest = {
        "task": "metamath_gsm8k", "title": spec.title, "kind": "generation", "problem": "generation",
        "synthetic": False, "licence": "MIT", "num_classes": 1, "class_names": [], "range": None,
        "metrics": ["exact_match"], "read": spec.read, "max_new_tokens": 300, "duplicates": {"left_out": 0},
        "source": GSM8K | {"rows": ROWS, "elsewhere": {"metamath": metamath}},
        "splits": {"train": {"rows": 395_000}, "validation": {"rows": 50}, "test": {"rows": 1319}},
    }  # fmt: skip
    findings = Findings()
    raw._check_task(Path("metamath_gsm8k/model/manifest.json"), spec, manifest | changes, "audited", findings)
    lines = [one.line().removeprefix("metamath_gsm8k/model/manifest.json: ") for one in findings.found]
    assert [one.startswith(line) for one in lines] == [True] if line else lines == []


def test_an_altered_table_is_named_and_not_read(tmp_path):
    place = Place(tmp_path, of_table(tmp_path))
    text = (tmp_path / "mine.csv").read_text()
    (tmp_path / "mine.csv").write_text(text.replace("text 3,good", "text 3,bad"))
    (line,) = place.lines()
    assert line.startswith(f"{tmp_path}/mine.csv: sha256 (in {place.folder}/manifest.json)")


def test_another_version_of_a_package_is_no_excuse_for_the_same_data(tmp_path):
    """Of another version labels may be others, which is said; that the task is another is a finding all the same."""
    place = Place(tmp_path, registry.load()["digits"])
    source = arrays.load_manifest(place.folder)["source"]
    place.say({"source": source | {"revision": "0.1"}})
    assert place.lines() == [] and place.findings.unchecked == {}
    labels = np.load(place.folder / "test.labels.npy")
    place.write("test.labels.npy", (labels + 1) % 10)
    assert place.lines() == [] and "is of version 0.1 by the manifest" in place.findings.unchecked["raw data"]
    place.say({"metrics": ["f1"]})
    assert [line.partition(": expected")[0] for line in place.lines()] == ["manifest.json: by the registry.metrics[0]"]
