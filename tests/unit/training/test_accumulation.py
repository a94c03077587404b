"""FRoD in the loop, with gradient accumulation: a step forms each weight and projects each gradient once, and its
gradients are those of the whole batch."""

from collections import Counter

import numpy as np
import pytest
import torch

import frod
from frod.config import Training
from frod.method.linear import FrodLinear
from frod.training.loop import Trainer
from frod.training.order import plan
from frod.training.processes import Processes

EXAMPLES = 36  # in batches of 16: the last of the epoch has 4


class Points:
    """A split as frod.tasks.arrays gives it."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.labels = rng.integers(0, 2, EXAMPLES)
        self.points = rng.normal(size=(EXAMPLES, 8)).astype(np.float32)

    def batch(self, indices):
        return {
            "pixel_values": torch.from_numpy(self.points[indices]),
            "labels": torch.from_numpy(self.labels[indices]),
        }


def adapted():
    torch.manual_seed(0)
    model = torch.nn.Sequential()
    for name, layer in {"first": (8, 16), "second": (16, 12), "head": (12, 2)}.items():
        model.add_module(name, torch.nn.Linear(*layer))
    basis = frod.extract_basis(model, ["first", "second"], progress=False)
    return frod.attach(model, basis, sparse_rate=0.1, train=["head"])


def trained(folder, accumulation):
    """The model after two epochs, and the steps taken."""
    training = Training(epochs=2, batch_size=16, accumulation=accumulation)
    budget, batches = plan(EXAMPLES, training, seed=0)
    model = adapted()
    trainer = Trainer(
        model=model,
        groups=frod.parameter_groups(model, lr_scale=1e-2, lr_rotation=1e-2, lr_head=1e-2),
        data=Points(),
        chosen=np.arange(EXAMPLES),
        batches=batches,
        budget=budget,
        training=training,
        regression=False,
        accelerator=Processes().accelerator(training),
        validate=lambda model: 0.0,
        checkpoint=folder / f"{accumulation}.pt",
        checkpoint_seconds=1e9,
        fingerprint="f",
    )
    trainer.run()
    return model, len(trainer.history)


@pytest.fixture
def calls(monkeypatch):
    """How often weights are formed and gradients projected, all layers computed by forming their weights."""
    monkeypatch.setattr(FrodLinear, "strategy", lambda self, *size: "materialised")
    counts = Counter()

    def count(name):
        method = getattr(FrodLinear, name)

        def counted(self, *args):
            counts[name] += 1
            return method(self, *args)

        monkeypatch.setattr(FrodLinear, name, counted)

    count("form_weight")
    count("project")
    return counts


@pytest.mark.parametrize("accumulation", [1, 2, 8])
def test_a_step_forms_and_projects_once(tmp_path, calls, accumulation):
    _, steps = trained(tmp_path, accumulation)
    assert steps == 6
    assert calls == {"form_weight": 2 * steps, "project": 2 * steps}


def test_the_gradients_are_those_of_the_whole_batch(tmp_path, calls):
    at_once, _ = trained(tmp_path, 1)
    bit_by_bit, _ = trained(tmp_path, 8)
    start = adapted().state_dict()
    for name, value in at_once.state_dict().items():
        torch.testing.assert_close(bit_by_bit.state_dict()[name], value, rtol=1e-3, atol=1e-5)
        assert torch.equal(value, start[name]) == ("base" in name), name
