"""A small BERT, a task of sentences of unlike length, and runs on them, for test_processes.py and what it starts."""

import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import torch
from process_ends import SECONDS, wait_until_gone
from safetensors.torch import load_file

import frod
from frod.config import Method, Rates, Run, Training
from frod.provenance import artefacts
from frod.tasks import arrays
from frod.training.processes import SINGLE_PROCESS
from frod.training.seeds import stream

WIDTHS = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 40,
}
CLASSES, SEED = 3, 3
ROWS = {"train": 53, "validation": 21, "test": 33}  # batches of 8: the last of an epoch has 5, and evaluation's 1
TUNERS = {
    "full_ft": (Method(kind="full_ft"), Rates(lr=1e-2, lr_head=3e-2)),
    "frod": (Method(kind="frod", sparse_rate=0.05), Rates(lr_scale=5e-2, lr_rotation=5e-2, lr_head=3e-2)),
    "lora": (Method(kind="peft", config="LoraConfig", arguments={"r": 2}), Rates(lr=3e-2, lr_head=3e-2)),
}


def make(folder, dropout=0.0):
    """Write backbone, task and basis."""
    backbone, task = folder / "backbone", folder / "task"
    for path in (backbone, task):
        path.mkdir(parents=True)
    _backbone(backbone, dropout)
    rng, rows = np.random.default_rng(0), {}
    for split, count in ROWS.items():
        labels = rng.integers(0, CLASSES, count)
        lengths = rng.integers(3, 13, count)
        words = [rng.choice([4 + label, rng.integers(7, 40)], n - 1) for n, label in zip(lengths, labels)]
        tokens = [np.r_[1, sentence] for sentence in words]
        arrays.write_tokens(task, split, np.concatenate(tokens), np.r_[0, np.cumsum(lengths)])
        arrays.write_labels(task, split, labels.astype(np.int64), np.arange(count))
        rows[split] = count
    facts = {"num_classes": CLASSES, "problem": "classification", "metrics": ["accuracy"]}
    arrays.write_manifest(task, facts | {"inputs": {"kind": "text", "max_length": 16, "pad_token_id": 0}}, rows)
    frod.extract_basis(load(folder), None, progress=False).save(folder / "basis")


def _backbone(folder, dropout):
    import transformers

    torch.manual_seed(0)
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    config = transformers.BertConfig(**WIDTHS, **rates, initializer_range=0.2)
    transformers.BertModel(config).save_pretrained(folder)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    inputs = {"kind": "text", "max_length": 16, "pad_token_id": 0}
    source = {"library": "transformers", "inputs": inputs, "files": files}
    (folder / "source.json").write_text(json.dumps(source | {artefacts.DIGEST: artefacts.digest(source)}))


def load(folder):
    from frod import backbones

    return backbones.load(folder / "backbone", num_classes=CLASSES, seed=stream(SEED, "head"))


def run(method, **training):
    adapter, rates = TUNERS[method]
    return Run(
        suite="s",
        task="t",
        backbone="b",
        method=method,
        seed=SEED,
        protocol="audited",
        adapter=adapter,
        matched=None,
        rates=rates,
        targets=None,
        training=Training(**({"epochs": 3, "batch_size": 8} | training)),
        split_seed=0,
    )


def cases():
    """Runs that one process and several are compared on; micro-batches of one example leave a process without any."""
    return {
        "full_ft": run("full_ft"),
        "frod": run("frod"),
        "lora": run("lora"),
        "frod-accumulated": run("frod", accumulation=4, group_by_length=False),
        "frod-bfloat16": run("frod", precision="bfloat16"),
    }


def long_run():
    """A run that is interrupted: 42 steps."""
    return run("frod", epochs=6)


def train(folder, one, out, processes=SINGLE_PROCESS, on_step=lambda model, step: None, seconds=1e9):
    """One training as `frod train` does it, its results left in `out`; the model and what came of it."""
    from frod import backbones
    from frod.training.methods import trained
    from frod.training.run import train as stage

    out.mkdir(exist_ok=True)  # another process may have made it
    model = load(folder)
    outcome = stage(
        one,
        model,
        {split: arrays.load_split(folder / "task", split) for split in ROWS},
        head=backbones.head_modules(model),
        basis=frod.Basis.load(folder / "basis") if one.adapter.kind == "frod" else None,
        metric_names=["accuracy"],
        regression=False,
        checkpoint=out / "checkpoint.pt",
        checkpoint_seconds=seconds,
        fingerprint="f",
        processes=processes,
        on_step=lambda step: on_step(model, step),
    )
    trained.save(model, out / "adapter.safetensors", one.adapter.kind)
    if processes.is_main:
        outcome.history.to_parquet(out / "history.parquet")
        outcome.predictions.to_parquet(out / "predictions.parquet")
    return model, outcome


def adapter(out):
    return load_file(out / "adapter.safetensors")


class Command:
    """`frod train` with two processes on what `make` made in a folder: on this machine, or one on each of two."""

    def __init__(self, folder, one, strategy, machines=(([], {}),)):
        self.folder, self.one, self.strategy, self.machines = folder, one, strategy, machines

    def start(self, out, seconds):
        """A launcher on each machine; the first prints."""
        inputs = [f"--{name}={self.folder / name}" for name in ("backbone", "task", "basis")]
        spec = json.dumps(self.one.resolved())
        several = ["--processes=2", f"--nodes={len(self.machines)}", "--threads=2"]
        several += ["--sharded"] if self.strategy == "sharded" else []
        command = [sys.executable, "-m", "frod", "train", f"--spec={spec}", *inputs, f"--out={out}", *several]
        return [
            subprocess.Popen(
                [*prefix, *command, f"--checkpoint-seconds={seconds}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | environment,
            )
            for prefix, environment in self.machines
        ]

    def finish(self, out):
        """Train to the end; return what was said."""
        launchers = self.start(out, 1e9)
        said = [launcher.communicate(timeout=SECONDS) for launcher in launchers]
        assert [launcher.returncode for launcher in launchers] == [0] * len(launchers), said
        return said[0][0]

    def kill(self, out, victim, checkpoints):
        """Kill -9 a machine's launcher, or the worker of a rank, once there are so many checkpoints.

        Return what was said up to there, and the errors of each machine, when all have ended.
        """
        launchers = self.start(out, 1e-9)
        lines = []
        while sum(line.startswith("checkpoint") for line in lines) < checkpoints:
            lines.append(launchers[0].stdout.readline())
            assert lines[-1], [launcher.communicate() for launcher in launchers]
        workers = [worker for launcher in launchers for worker in psutil.Process(launcher.pid).children()]
        assert len(workers) == 2
        processes = {f"launcher {i}": launcher.pid for i, launcher in enumerate(launchers)}
        processes |= {f"worker {worker.environ()['RANK']}": worker.pid for worker in workers}
        os.kill(processes[victim], signal.SIGKILL)
        wait_until_gone(workers)
        errors = [launcher.communicate(timeout=SECONDS)[1] for launcher in launchers]
        assert all(launcher.returncode != 0 for launcher in launchers)
        return lines, errors
