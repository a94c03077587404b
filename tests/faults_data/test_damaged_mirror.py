"""A file of a mirror that is not the one `frod fetch` brought is refused as it is read, not by `fetch --check` only."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_data import CLASSES, entry, prepared
from safetensors.numpy import save

from frod.backbones import download
from frod.backbones.registry import Hub
from frod.tasks.prepare import opened

ID, COMMIT = "someone/texts", "a" * 40


def table(first="text 0"):
    texts = [first, *(f"text {i}" for i in range(1, 20))]
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": texts, "label": [CLASSES[i % 2] for i in range(20)]}), out)
    return out.getvalue().to_pybytes()


def fill(mirror, files):
    """A mirror as `frod fetch` leaves it, of files by KIND/ID/NAME."""
    repositories = {}
    for name, content in files.items():
        repository, short = "/".join(name.split("/")[:3]), "/".join(name.split("/")[3:])
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_bytes(content)
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        repositories.setdefault(repository, {"revision": COMMIT, "files": {}})["files"][short] = facts
    (mirror / "mirror.json").write_text(json.dumps({"repositories": repositories}))


@pytest.fixture
def mirror(tmp_path):
    files = {f"datasets/{ID}/plain/all-00000-of-00001.parquet": table()}
    files |= {"models/someone/net/config.json": b"{}"}
    files |= {"models/someone/net/model.safetensors": save({"w": pa.array([1.0, 2.0]).to_numpy()})}
    fill(tmp_path / "mirror", files)
    return tmp_path / "mirror"


TASK = entry("unused", source={"hub": f"{ID}@{COMMIT}", "config": "plain"}, rows={"all": {"rows": 20}})
NET = Hub(hub=f"someone/net@{COMMIT}", files=["config.json", "model.safetensors"])


def read(mirror):
    with opened(TASK, seed=0, mirror=mirror) as source:
        return source.splits["all"].inputs[0]


def test_whole_files_are_read(mirror, tmp_path):
    assert read(mirror) == "text 0"
    (tmp_path / "out").mkdir()
    assert download.from_hub("net", NET, tmp_path / "out", mirror=mirror) == COMMIT


@pytest.mark.parametrize(
    "damage",
    [lambda content: table("text x"), lambda content: content[:-9], lambda content: b""],
    ids=["another sound table", "cut short", "emptied"],
)
def test_another_table_than_the_mirrors_is_refused(mirror, damage):
    path = mirror / "datasets" / ID / "plain" / "all-00000-of-00001.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        ValueError, match=rf"{path}: sha256 is \w+, mirror.json says .*; run `frod fetch` on the mirror"
    ):
        read(mirror)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_another_weight_than_the_mirrors_is_refused(mirror, tmp_path, name):
    path = mirror / "models" / "someone" / "net" / name
    content = path.read_bytes()
    path.write_bytes(b'{"a": 1}' if name == "config.json" else content[:-1] + bytes([content[-1] ^ 1]))
    (tmp_path / "out").mkdir()
    with pytest.raises(
        ValueError, match=rf"{path}: sha256 is \w+, mirror.json says .*; run `frod fetch` on the mirror"
    ):
        download.from_hub("net", NET, tmp_path / "out", mirror=mirror)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"repositories": {"a": {"files": {"b": {}}}}}'])
def test_a_damaged_record_is_refused(mirror, content):
    (mirror / "mirror.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"mirror\.json: is not what `frod fetch` writes .*; delete it, and run `frod"):
        read(mirror)


def test_without_a_record_what_is_there_is_taken(mirror, tmp_path):
    """A mirror that was laid out by hand; its tasks' rows are counted all the same."""
    (mirror / "mirror.json").unlink()
    path = mirror / "datasets" / ID / "plain" / "all-00000-of-00001.parquet"
    path.write_bytes(table("text x"))
    assert read(mirror) == "text x"
    assert prepared(entry(path), tmp_path)["source"]["rows"] == {"all": 20}
