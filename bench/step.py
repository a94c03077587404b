"""Time one training step of each method side by side: `python bench/step.py --layers 12 --batch 64`.

The model has the shape of CLIP ViT-B/32's vision tower (random weights; 50 tokens of width 768) and a head of 196
classes. All models are built first and take turns, step by step, in one process, so that what else the machine does
meets all of them alike; the first round is not counted. A step is forward, backward and AdamW, in float32. Medians and
ratios to full fine-tuning are printed and written to bench/results/step-cpu.json.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


class Classifier(nn.Module):
    """The vision tower, its pooled output, and a linear head."""

    def __init__(self, layers: int, classes: int) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModel

        super().__init__()
        torch.manual_seed(0)
        self.encoder = CLIPVisionModel(CLIPVisionConfig(num_hidden_layers=layers))
        self.head = nn.Linear(768, classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class scores (B, classes) of images (B, 3, 224, 224)."""
        return self.head(self.encoder(pixels).pooler_output)


def with_frod(model: Classifier, plan: str) -> None:
    """Ours, at sparse rate 0.01."""
    import frod

    basis = frod.extract_basis(model, TARGETS, progress=False)
    frod.attach(model, basis, sparse_rate=0.01, plan=plan, train=["head"])


def with_peft(model: Classifier, kind: str) -> None:
    """A peft method by the name of its configuration."""
    import peft

    settings: dict[str, dict[str, Any]] = {
        "LoraConfig": {"r": 8},
        "FrodConfig": {"sparse_rate": 0.01, "progressbar": False},
    }
    config = getattr(peft, kind)(target_modules=TARGETS, **settings[kind])
    model.encoder = peft.get_peft_model(model.encoder, config)


METHODS: dict[str, Callable[[Classifier], None]] = {
    "full_ft": lambda model: None,
    "frod": lambda model: with_frod(model, "auto"),
    "frod_materialised": lambda model: with_frod(model, "materialised"),
    "frod_factored": lambda model: with_frod(model, "factored"),
    "lora": lambda model: with_peft(model, "LoraConfig"),
    "peft_frod": lambda model: with_peft(model, "FrodConfig"),
}


def step_of(model: Classifier, batch: int, classes: int) -> Callable[[], None]:
    """One training step of a model, on a fixed batch."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(batch, 3, 224, 224, generator=generator)
    labels = torch.randint(classes, (batch,), generator=generator)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(pixels), labels).backward()
        optimiser.step()

    return step


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Build all models, let them take turns, return times per method in seconds."""
    rows: dict[str, dict[str, Any]] = {}
    steps: dict[str, Callable[[], None]] = {}
    for name in arguments.methods:
        model = Classifier(arguments.layers, arguments.classes).train()
        started = time.perf_counter()
        METHODS[name](model)
        setup = time.perf_counter() - started
        steps[name] = step_of(model, arguments.batch, arguments.classes)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        rows[name] = {"setup_seconds": setup, "trained": trained, "seconds": []}
    for repeat in range(arguments.repeats + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if repeat:  # the first is a warm-up
                rows[name]["seconds"].append(time.perf_counter() - started)
    for row in rows.values():
        row["median"] = statistics.median(row["seconds"])
    reference = rows.get("full_ft", next(iter(rows.values())))
    for row in rows.values():
        # Ratios are taken round by round before the median: a slow spell of the machine then cancels.
        row["ratio"] = statistics.median(a / b for a, b in zip(row["seconds"], reference["seconds"], strict=True))
    return rows


def show(rows: dict[str, dict[str, Any]]) -> None:
    """Print the table."""
    print(f"{'method':<20}{'trained':>12}{'set-up s':>10}{'step s':>10}{'min s':>10}{'ratio':>8}")
    for name, row in rows.items():
        print(
            f"{name:<20}{row['trained']:>12,}{row['setup_seconds']:>10.1f}{row['median']:>10.3f}"
            f"{min(row['seconds']):>10.3f}{row['ratio']:>8.2f}"
        )


def write(path: Path, arguments: argparse.Namespace, rows: dict[str, dict[str, Any]]) -> None:
    """Write the result under a temporary name and rename it."""
    result = {
        "what": "seconds of one training step, interleaved; ratio to the first method, median over rounds",
        "settings": {k: v for k, v in vars(arguments).items() if k != "out"},
        "environment": {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "processor": platform.processor() or platform.machine(),
            "load_average": os.getloadavg(),
        },
        "methods": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    temporary.replace(path)


def main() -> None:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--classes", type=int, default=196)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["full_ft", "frod", "lora", "peft_frod"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "step-cpu.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = measure(arguments)
    show(rows)
    write(arguments.out, arguments, rows)


if __name__ == "__main__":
    main()
