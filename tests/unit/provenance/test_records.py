"""A record is complete or refused, and holds nothing secret."""

import json
import subprocess
import sys

import by_hand
import pytest

from frod.provenance import records


@pytest.fixture
def record():
    return by_hand.record() | {"environment": records.environment(), "outputs": {"metrics.json": "c" * 64}}


def test_round_trip(record, tmp_path):
    records.write_record(tmp_path / "record.json", record)
    assert records.read_record(tmp_path / "record.json") == record


def test_every_required_key_is_required(record, tmp_path):
    for section, keys in records.REQUIRED.items():
        for key in keys:
            broken = {**record, section: {name: value for name, value in record[section].items() if name != key}}
            with pytest.raises(ValueError, match=rf"{section}\.{key}: missing"):
                records.write_record(tmp_path / "record.json", broken)
        with pytest.raises(ValueError, match=f"{section}: expected a table"):
            records.check_record({name: value for name, value in record.items() if name != section})
    with pytest.raises(ValueError, match="started: expected a time"):
        records.check_record({**record, "started": 12.5})
    with pytest.raises(ValueError, match="64 hexadecimal"):
        records.check_record({**record, "outputs": {"metrics.json": "latest"}})
    assert not (tmp_path / "record.json").exists()


@pytest.mark.parametrize("content", ['{"run": ', "[1, 2]", "{}", '{"run": NaN}', '{"run": -Infinity}'])
def test_a_damaged_record_is_refused(tmp_path, content):
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(ValueError, match=r"record\.json"):
        records.read_record(tmp_path / "record.json")


def test_secrets_are_removed_and_the_rest_is_kept(record, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "opensesame-123")
    record["spec"] |= {
        "tracking": "postgresql://user:hunter2@db.example/mlflow?x=1",
        "tracking_token_only": "https://s3cr3tvalue@host.example/path",
        "note": "ran with opensesame-123 set",
        "hub": "hf_ABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
        "nested": [{"password": "hunter2", "api_key": "hunter2"}],
        "pad_token_id": 0,
        "tokens": "query,key",
        "address": "https://example.org/a@b",
    }
    records.write_record(tmp_path / "record.json", record)
    text = (tmp_path / "record.json").read_text()
    for secret in ("hunter2", "s3cr3tvalue", "opensesame", "hf_ABC"):
        assert secret not in text
    spec = json.loads(text)["spec"]
    assert spec["tracking"] == "postgresql://db.example/mlflow?x=1"
    assert spec["pad_token_id"] == 0 and spec["tokens"] == "query,key"
    assert spec["address"] == "https://example.org/a@b"


def test_environment_without_and_with_torch():
    script = (
        "import sys, json; from frod.provenance import records; light = records.environment();"
        "assert 'torch' not in sys.modules; import torch; torch.set_num_threads(1);"
        "torch.use_deterministic_algorithms(True); print(json.dumps([light, records.environment()]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    light, full = json.loads(done.stdout)
    assert light["threads"] is None and light["processor"] and light["packages"]["torch"]
    assert light["python"] == ".".join(map(str, sys.version_info[:3]))
    assert full["threads"] == 1 and full["deterministic"]["algorithms"] is True
