"""How far the trainings are, from the last line of their logs: those that run, and no others."""

import os

from frod.pipeline.running import running


def test_a_line_for_each_training_that_runs(tmp_path):
    said = {
        "train/smoke/digits/vit/frod/seed-0": "epoch 1\nstep 10/200  loss 2.2207  about 35 s left\n",
        "trial/smoke/digits/vit/lora/tune/trial-1-seed-100": "step 7/90  loss 1.0  about 3 s left\n",
        "train/smoke/digits/vit/lora/seed-0": "step 200/200  loss 0.1  about 0 s left\n",  # it writes its files
        "train/smoke/digits/vit/lora/seed-1": "error: no\n",
        "train/smoke/digits/vit/lora/seed-2": "",
        "train/smoke/digits/vit/lora/seed-3": "step 10/200  loss 2.0  about 9 s left\n",  # killed long ago
        "task/digits/vit": "step 1/2\n",
    }
    for name, text in said.items():
        path = tmp_path / f"{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (100, 100) if name.endswith("seed-3") else (300, 300))
    assert list(running(tmp_path, 200)) == [
        "train/smoke/digits/vit/frod/seed-0: step 10/200  loss 2.2207  about 35 s left",
        "trial/smoke/digits/vit/lora/tune/trial-1-seed-100: step 7/90  loss 1.0  about 3 s left",
    ]


def test_only_the_end_of_a_long_log_is_read(tmp_path):
    path = tmp_path / "train" / "one.log"
    path.parent.mkdir()
    path.write_text("é" * 1001 + "\nstep 1/9  loss 1.0\n")
    assert list(running(tmp_path, 0)) == ["train/one: step 1/9  loss 1.0"]
