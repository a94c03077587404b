"""Names from suites, data and mirrors do not lead out of the folders that they are meant for, in reading or writing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from frod import files
from frod.backbones import registry as backbones
from frod.config.schema import inside, validate
from frod.hub import mirror
from frod.tasks import registry as tasks
from frod.tasks.prepare import prepare

OUTSIDE = ["..", "../x", "a/../../x", "/etc/passwd", "~/x", "a\\..\\x", ""]
TASK = {
    "title": "t",
    "kind": "images",
    "licence": "x",
    "source": {"path": "pictures"},
    "classes": 2,
    "train": {"from": "train"},
    "validation": {"from": "train", "rows": 2},
    "test": {"from": "test"},
    "metrics": ["accuracy"],
}
TABLE = TASK | {"kind": "sentences", "columns": {"text": ["text"]}}
MODEL = {"title": "t", "library": "transformers", "licence": "x", "max_length": 8}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_that_leads_out_is_none(name):
    with pytest.raises(ValueError, match="it should be a path below its folder"):
        inside(name)


@pytest.mark.parametrize("name", ["a", "a/b.parquet", "..a/b..", "data/*-of-*.parquet", "ARC-Challenge"])
def test_a_path_below_is_taken(name):
    assert inside(name) == name


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    ("field", "entry"),
    [
        ("train.from", lambda name: TASK | {"train": {"from": name}}),
        ("test.from", lambda name: TASK | {"test": {"from": name}}),
        ("released", lambda name: TASK | {"released": name}),
        ("more_tests.own.from", lambda name: TASK | {"more_tests": {"own": {"from": name}}}),
        ("rows", lambda name: TASK | {"rows": {name: {"rows": 2}}}),
        ("source.config", lambda name: TABLE | {"source": {"hub": "a/b", "config": name}}),
        ("source.files", lambda name: TABLE | {"source": {"hub": "a/b", "files": {"train": name}}}),
    ],
)
def test_no_split_or_file_of_a_task_leads_out(field, entry, name):
    with pytest.raises(ValueError, match=rf"own\.yaml: {field}.*it should be a path below its folder"):
        validate(tasks.TaskSpec, entry(name), "own.yaml")


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    "source",
    [
        lambda name: {"hub": "a/b", "files": [name]},
        lambda name: {"package": "pip", "folder": name, "files": ["a"]},
        lambda name: {"package": "pip", "folder": "pip", "files": [name]},
    ],
)
def test_no_file_of_a_model_leads_out(source, name):
    with pytest.raises(ValueError, match=r"own\.yaml: source\..*it should be a path below its folder"):
        validate(backbones.BackboneSpec, MODEL | {"source": source(name)}, "own.yaml")


@pytest.mark.parametrize("name", ["../..", "..", "a/..", "a/b/c", "/etc", "a/b@main", "a/b\n", "./a", "a/.b", "a b/c"])
def test_a_repository_has_an_owner_and_a_name(name):
    for kind, entry in ((tasks.TaskSpec, TABLE), (backbones.BackboneSpec, MODEL)):
        with pytest.raises(ValueError, match=r"source\.hub: String should match pattern"):
            validate(kind, entry | {"source": {"hub": name}}, "own.yaml")


@pytest.mark.parametrize("name", ["a/b", "../b", "B", "a" * 65, "a\n", "", "a-b", ".a", "a\0"])
def test_a_name_of_a_test_split_is_a_name(name):
    with pytest.raises(ValueError, match="more_tests"):
        validate(tasks.TaskSpec, TASK | {"more_tests": {name: {"from": "test"}}}, "own.yaml")


def test_files_and_classes_with_hostile_names_stay_where_they_are(tmp_path, monkeypatch):
    """Names of images and of their folders are read, kept as text, and never part of a path that is written."""
    monkeypatch.chdir(tmp_path)
    classes = ["$(touch owned)", "<script>alert(1)</script>".replace("/", "\u2215")]
    names = [
        "a.png",
        "-rf.png",
        "$(touch owned).png",
        "x; touch owned.png",
        "line\nbreak.png",
        "q'\"`.png",
        "é" * 60 + ".png",
    ]
    for split in ("train", "test"):
        for name in classes:
            (tmp_path / "pictures" / split / name).mkdir(parents=True)
            for place, file in enumerate(names):
                Image.fromarray(np.full((4, 4), 9 * place, np.uint8)).save(tmp_path / "pictures" / split / name / file)
    facts = {"kind": "images", "size": [4, 4], "channels": 1, "resize": None, "interpolation": "bilinear"}
    before = {path for path in tmp_path.rglob("*")}
    manifest = prepare(
        "own",
        validate(tasks.TaskSpec, TASK | {"validation": {"from": "train", "rows": 4}}, "own.yaml"),
        backbone="vit",
        input_facts=facts | {"mean": [0.5], "std": [0.5]},
        out=tmp_path / "out",
        seed=0,
    )
    assert manifest["class_names"] == sorted(classes)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path not in before}
    parts = {
        f"out/{split}.{kind}.npy" for split in ("train", "validation", "test") for kind in ("images", "labels", "ids")
    }
    assert written == {"out", "out/manifest.json"} | parts


def test_a_mirrors_record_cannot_have_files_outside_of_it_removed(tmp_path):
    """`frod fetch` removes what an older commit had: by the names of mirror.json, which may come from elsewhere."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "precious").write_text("x")
    facts = {"sha256": "0" * 64, "bytes": 1}
    for repository, name in (
        ("datasets/a/b", "../../../../precious"),
        ("../x", "precious"),
        ("datasets/a/b", "/etc/x"),
    ):
        content = {"repositories": {repository: {"revision": "0" * 40, "files": {name: facts}}}}
        (tmp_path / "mirror" / "mirror.json").write_text(json.dumps(content))
        need = mirror.Repository("datasets", "a/b", None, ("*",))
        with pytest.raises(ValueError, match=r"mirror\.json: is not what `frod fetch` writes"):
            mirror.plan(tmp_path / "mirror", need)
    assert (tmp_path / "precious").exists()


def test_a_hub_cannot_have_files_written_outside_of_the_mirror(monkeypatch, tmp_path):
    import huggingface_hub

    def repo_info(self, *args, **kwargs):
        file = SimpleNamespace(rfilename="../../evil.parquet", size=1, lfs=None)
        return SimpleNamespace(siblings=[file], sha="0" * 40)

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", repo_info)
    with pytest.raises(ValueError, match=r"data set a/b: the name of a file is '\.\./\.\./evil\.parquet'"):
        mirror.plan(tmp_path, mirror.Repository("datasets", "a/b", None, ("*",)))


def test_a_link_in_an_outputs_place_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("x")
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out.json").symlink_to(tmp_path / "elsewhere" / "precious")
    with files.whole_directory(tmp_path / "out") as folder:
        (folder / "new").write_text("y")
    files.write_json(tmp_path / "out.json", {})
    assert (tmp_path / "elsewhere" / "precious").read_text() == "x"
    assert not (tmp_path / "out").is_symlink() and (tmp_path / "out" / "new").read_text() == "y"
    assert not (tmp_path / "out.json").is_symlink()
