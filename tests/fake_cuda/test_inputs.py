"""Examples come to the device with their batch, are normalised there, and a step and its predictions stay on it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from micro_models import HEADS, adapted, examples
from without_numbers import APART, places

import frod
from frod.config import Training
from frod.training import loop as training
from frod.training import predict as predicting
from frod.training.loop import Trainer
from frod.training.order import Budget
from frod.training.predict import move, predict
from frod.training.processes import Processes

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
MODELS = pytest.mark.parametrize("name", list(HEADS))


@MODELS
def test_a_batch_is_made_on_the_device_or_moved_to_it(cuda, name):
    chosen = np.arange(4)
    for batch in (examples(name).batch(chosen, cuda), move(examples(name).batch(chosen), cuda)):
        assert places(batch.values()) == {"cuda"}
        wanted = {"pixel_values", "labels"} if name == "vit" else {"input_ids", "attention_mask", "labels"}
        assert set(batch) == wanted and all(len(values) == 4 for values in batch.values())


def test_a_mean_on_the_processor_is_found(cuda, monkeypatch):
    make = torch.tensor
    monkeypatch.setattr(torch, "tensor", lambda data, device=None: make(data))
    with pytest.raises(RuntimeError, match=APART):
        examples("vit").batch(np.arange(4), cuda)


def predictions(name, device):
    chosen = np.arange(6)
    return predict(adapted(name).to(device), examples(name), chosen, split="validation", batch_size=4, device=device)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@MODELS
def test_predictions_come_from_the_device(cuda, name, half):
    with torch.autocast("cuda", torch.bfloat16, enabled=half):
        table = predictions(name, cuda)
    assert table["example_id"].tolist() == list(range(6)) and len(table["scores"][0]) == 3


def all_but(kept):
    return lambda batch, device: {key: values if key == kept else values.to(device) for key, values in batch.items()}


@MODELS
def test_an_input_on_the_processor_is_found(cuda, monkeypatch, name):
    """One of a batch is enough."""
    monkeypatch.setattr(predicting, "move", all_but("pixel_values" if name == "vit" else "input_ids"))
    with pytest.raises(RuntimeError, match=APART):
        predictions(name, cuda)


BUDGET = {"steps": 1, "steps_per_epoch": 1, "batch_size": 4, "accumulation": 2, "epochs": 1.0}
BUDGET |= {"train_examples": 6, "examples": 4, "order_sha256": ""}


class OnDevice(Processes):
    """One process, with the GPU that torch does not find."""

    device = torch.device("cuda", 0)


def trainer(monkeypatch, name, device, plan="auto"):
    """One that sends no gradient back: autograd's engine wants a driver."""

    def backward(loss):
        assert loss.device == device and loss.requires_grad
        for parameter in made.trained:
            parameter.grad = torch.zeros_like(parameter)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    here = adapted(name, plan=plan).to(device)
    made = Trainer(
        model=here,
        groups=frod.parameter_groups(here, lr_scale=0.1, lr_rotation=0.1, lr_head=0.1),
        data=examples(name),
        chosen=np.arange(6),
        batches=[np.arange(4)],
        budget=Budget(**BUDGET),
        training=Training(batch_size=4, accumulation=2),
        regression=False,
        autocast=lambda: torch.autocast("cuda", torch.bfloat16),
        validate=lambda model: 0.0,
        checkpoint=Path(),
        checkpoint_seconds=1e9,
        fingerprint="",
        processes=OnDevice(),
    )
    return made


@pytest.mark.parametrize("plan", ["materialised", "factored", "input_side"])
@MODELS
def test_a_step_of_the_training_stays_on_the_device(cuda, monkeypatch, name, plan):
    made = trainer(monkeypatch, name, cuda, plan)
    with made.autocast():
        square = torch.ones(2, 2, device=cuda)
        assert (square @ square).dtype == torch.bfloat16
    made.model.train()
    made._step(0)
    ((_, loss, norm),) = made.pending
    assert places([loss, norm]) == {"cuda"}
    moments = [value for state in made.optimiser.state.values() for value in state.values()]
    assert moments and places(moments) == {"cuda"}
    made._flush()
    assert made.history[0]["loss"] == 0.0, "read, and made up"


def test_labels_on_the_processor_are_found(cuda, monkeypatch):
    monkeypatch.setattr(training, "move", all_but("labels"))
    made = trainer(monkeypatch, "llama", cuda)
    with pytest.raises(RuntimeError, match=APART):
        made._step(0)
