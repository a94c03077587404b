"""The input's benchmark compares like with like: both ways give the model the same numbers, in the same order."""

import io
import json

import numpy as np
import torch
from PIL import Image

from bench import input as bench_input
from bench import settings
from bench.goals import Goal


def test_photographs_are_files_of_a_camera_s_size_and_alike_for_a_seed():
    file = bench_input.photograph(3)
    image = Image.open(io.BytesIO(file))
    assert (image.format, image.size, image.mode) == ("JPEG", (500, 375), "RGB")
    assert 30_000 < len(file) < 120_000
    assert file == bench_input.photograph(3) != bench_input.photograph(4)


def test_prepared_images_are_what_the_processor_makes(tmp_path):
    files = [bench_input.photograph(seed) for seed in range(4)]
    ways = bench_input.of_images(files, 224, tmp_path)
    chosen = np.array([2, 0, 3])
    prepared, again = (ways[way](chosen)["pixel_values"] for way in ("prepared", "pil"))
    assert prepared.shape == again.shape == (3, 3, 224, 224)
    torch.testing.assert_close(prepared, again, rtol=0, atol=1e-5)
    quick = ways["torchvision"](chosen)["pixel_values"]
    assert (prepared - quick).abs().mean() < 0.01  # its bicubic rounds otherwise
    assert ways["uint8"](chosen).dtype == torch.uint8


def test_prepared_tokens_are_what_the_tokenizer_makes(tmp_path):
    ways = bench_input.of_texts(bench_input.written(8), bench_input.tokenizer_folder(), tmp_path)
    chosen = np.array([5, 1, 6])
    prepared, again = ways["prepared"](chosen), ways["tokenizer"](chosen)
    for name in ("input_ids", "attention_mask"):
        assert torch.equal(prepared[name], again[name])


def test_a_result_has_every_way_and_feeds_table_and_goal(monkeypatch):
    monkeypatch.delenv("FROD_MIRROR", raising=False)
    setting = settings.TINY
    record = bench_input.measure(setting)
    json.dumps(record)
    assert list(record["sources"]) == ["photographs", "sentences"]
    methods = record["sources"]["photographs"]["methods"]
    assert all(len(row["seconds"]) == setting.rounds for row in methods.values())
    ratios = {"torchvision": {"median": 0.02}, "pil": {"median": 0.04}}
    methods["prepared"]["ratio_to"] = ratios
    assert Goal(kind="input", where={"device": "cpu"}, what="photographs", limit=0.05).measured(record) == 0.04
    assert Goal(kind="input", where={"device": "cpu"}, what="mnist uint8", limit=0.05).measured(record) is None


def test_the_table_says_how_far_a_step_is_from_starving():
    ratio = {"median": 0.1, "least": 0.05, "most": 0.2}
    methods = {"prepared": {"median": 0.5, "ratio_to": {"pil": ratio}}, "pil": {"median": 5.0}}
    record = {
        "setting": settings.CLIP_CPU.record(),
        "batches": 10,
        "sources": {"photographs": {"what": "files", "examples": 640, "methods": methods}},
        "machine": {"cores": 2, "load_average_after": [0, 0, 0]},
    }
    step = {"setting": settings.CLIP_CPU.record(), "methods": {"full_ft": {"median": 6.4}}}
    lines = bench_input.lines(record, [step])
    assert lines[-1] == "Full fine-tuning takes 10.0 examples/s, prepared arrays give 128 times that."
    assert any("decoded again, PIL" in line and "10.0× (5.0–20.0)" in line for line in lines)
