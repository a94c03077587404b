"""The loop: a resumed training equals an undisturbed one bit for bit; a loss that is not finite stops it."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

import frod
from frod.config import Method, Rates, Run, Training
from frod.method.linear import FrodLinear
from frod.training.run import train

FROZEN_SEED = 7
RATES = {"full_ft": ("lr", "lr_head"), "linear_probe": ("lr_head",), "frod": ("lr_scale", "lr_rotation", "lr_head")}


class Examples:
    """A split as frod.tasks.arrays gives it: two classes of points, 8 numbers each."""

    def __init__(self, rows, seed):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 2, rows)
        self.points = (rng.normal(size=(rows, 8)) + self.labels[:, None]).astype(np.float32)
        self.ids = np.arange(rows)
        self.lengths = np.ones(rows, dtype=np.int64)
        self.arrays = {"points": self.points}

    def __len__(self):
        return len(self.labels)

    def batch(self, indices):
        return {
            "pixel_values": torch.from_numpy(self.points[indices]),
            "labels": torch.from_numpy(self.labels[indices]),
        }


def named(*layers):
    net = torch.nn.Sequential()
    for name, layer in layers:
        net.add_module(name, layer)
    return net


def model(dropout=0.2):
    torch.manual_seed(FROZEN_SEED)
    return named(
        ("body", torch.nn.Linear(8, 16)), ("drop", torch.nn.Dropout(dropout)), ("head", torch.nn.Linear(16, 2))
    )


def run(kind="full_ft", lr=1e-2, protocol="audited", **training):
    return Run(
        suite="s",
        task="t",
        backbone="b",
        method="m",
        seed=3,
        protocol=protocol,
        adapter=Method(kind=kind, sparse_rate=0.1 if kind == "frod" else None),
        matched=None,
        rates=Rates(**dict.fromkeys(RATES[kind], lr)),
        targets=None,
        training=Training(**({"epochs": 4, "batch_size": 16} | training)),
        split_seed=0,
    )


def go(folder, one, net=None, on_step=lambda step: None, seconds=1e-9, fingerprint="f", tests=("test",)):
    folder.mkdir(exist_ok=True)
    net = net or model()
    splits = {name: Examples(rows, seed) for seed, (name, rows) in enumerate([("train", 100), ("validation", 40)])}
    outcome = train(
        one,
        net,
        splits | {name: Examples(60, 9) for name in tests},
        head=["head"],
        basis=frod.extract_basis(net, ["body"], progress=False) if one.adapter.kind == "frod" else None,
        metric_names=["accuracy"],
        regression=False,
        checkpoint=folder / "checkpoint.pt",
        checkpoint_seconds=seconds,
        fingerprint=fingerprint,
        on_step=on_step,
    )
    return net, outcome


class Killed(Exception):
    pass


def stop_after(step):
    def on_step(done):
        if done == step:
            raise Killed

    return on_step


def test_it_learns(tmp_path):
    _, outcome = go(tmp_path, run())
    test = outcome.predictions[outcome.predictions["split"] == "test"]
    assert (test["label"] == test["prediction"]).mean() > 0.8
    assert len(outcome.history) == outcome.budget["steps"] == 28
    assert outcome.history["validation_accuracy"].notna().sum() == 4


@pytest.mark.parametrize("step", [1, 9, 17])
def test_a_killed_training_goes_on_to_the_same_result(tmp_path, step):
    """Dropout is on: the generators' states must come back too."""
    whole, undisturbed = go(tmp_path / "whole", run(), seconds=1e9)
    with pytest.raises(Killed):
        go(tmp_path / "cut", run(), on_step=stop_after(step))
    resumed, outcome = go(tmp_path / "cut", run())
    assert outcome.resumed_from == step
    assert outcome.evaluations == undisturbed.evaluations == {"validation": 4, "test": 1}
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    timeless = ["step", "epoch", "loss", "grad_norm", "examples", "validation_accuracy", "lr_body", "lr_head"]
    pd.testing.assert_frame_equal(undisturbed.history[timeless], outcome.history[timeless], check_exact=True)
    pd.testing.assert_frame_equal(undisturbed.predictions, outcome.predictions, check_exact=True)


@pytest.mark.parametrize(
    ("fingerprint", "cut", "said"), [("another", None, "other parameters"), ("f", -200, "damaged checkpoint")]
)
def test_a_checkpoint_that_does_not_serve_is_not_used(tmp_path, capsys, fingerprint, cut, said):
    with pytest.raises(Killed):
        go(tmp_path, run(), on_step=stop_after(5))
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:cut])
    _, outcome = go(tmp_path, run(), fingerprint=fingerprint)
    assert outcome.resumed_from == 0
    assert said in capsys.readouterr().err


def test_a_loss_that_is_not_finite_names_step_and_rates(tmp_path):
    net = model()
    with torch.no_grad():
        net.body.weight[0, 0] = torch.inf
    _, outcome = go(tmp_path, run(), net=net)
    assert re.search(r"step 1 of 28: loss nan.*lr_body.*Lower this method's rates", outcome.undefined)
    assert len(outcome.history) == 1


@pytest.mark.parametrize(("seconds", "killed_at"), [(1e9, None), (1e-9, None), (1e-9, 5)])
def test_a_training_that_diverges_is_a_result_whenever_it_is_noticed(tmp_path, seconds, killed_at):
    """Losses are read at checkpoints and every ten steps; history ends with the first bad one all the same."""
    net = bad_from_step_13()
    if killed_at:
        with pytest.raises(Killed):
            go(tmp_path, run(), net=net, on_step=stop_after(killed_at), seconds=seconds)
        net = bad_from_step_13(seen=killed_at)
    net, outcome = go(tmp_path, run(), net=net, seconds=seconds)
    assert outcome.undefined.startswith("diverged: step 13 of 28: loss nan")
    assert list(outcome.history["step"]) == list(range(1, 14))
    assert outcome.history["loss"].isna().tolist() == [False] * 12 + [True]
    assert list(outcome.predictions) == ["split", "example_id", "label", "prediction", "scores"]
    assert len(outcome.predictions) == 0
    assert outcome.evaluations["test"] == 0
    assert all(parameter.isnan().all() for parameter in net.parameters())


class TurnsBad(torch.nn.Module):
    """Stands for a training whose numbers overflow in its 13th step."""

    def __init__(self, seen=0):
        super().__init__()
        self.seen = seen

    def forward(self, x):
        self.seen += self.training
        return x * torch.nan if self.training and self.seen >= 13 else x


def bad_from_step_13(seen=0):
    return named(("bad", TurnsBad(seen)), *model().named_children())


class Overflow(torch.nn.Module):
    """Stands for weights that an epoch's last step blew up: no loss has shown it yet."""

    def forward(self, x):
        return x if self.training else x / 0


def test_scores_that_are_not_finite_after_finite_losses_are_a_divergence(tmp_path):
    net = model()
    net.add_module("overflow", Overflow())
    _, outcome = go(tmp_path, run(), net=net)
    assert "scores on validation are not finite" in outcome.undefined
    assert len(outcome.history) == 7
    assert outcome.history["loss"].notna().all()


@pytest.mark.parametrize(("kind", "accumulation"), [("full_ft", 4), ("frod", 8)])
def test_accumulation_gives_the_gradient_of_the_whole_batch(tmp_path, kind, accumulation):
    """Also where micro-batches are of unlike size: the last batch of an epoch has 4 examples, the others 16."""
    at_once, bit_by_bit = (
        go(tmp_path / str(parts), run(kind, accumulation=parts), net=model(dropout=0.0), seconds=1e9)[0]
        for parts in (1, accumulation)
    )
    for name, value in at_once.state_dict().items():
        torch.testing.assert_close(bit_by_bit.state_dict()[name], value, rtol=1e-3, atol=1e-5)
    if kind == "frod":
        assert torch.equal(at_once.body.base.weight, model().body.weight)
        assert at_once.body.rotation.all() and not torch.equal(at_once.body.scale, at_once.body.lambda_0)


@pytest.mark.parametrize("accumulation", [1, 2, 8])
def test_a_step_of_frod_forms_and_projects_once(tmp_path, monkeypatch, accumulation):
    calls = Counter()
    for name in ("form_weight", "project"):
        method = getattr(FrodLinear, name)
        monkeypatch.setattr(FrodLinear, name, lambda *args, n=name, method=method: calls.update([n]) or method(*args))
    monkeypatch.setattr(FrodLinear, "strategy", lambda self, *size: "materialised")
    _, outcome = go(tmp_path, run("frod", accumulation=accumulation), seconds=1e9, tests=())
    assert calls == {"form_weight": 28 + 4, "project": 28}  # and in four epochs' evaluation
    assert len(outcome.history) == 28


def test_the_linear_probe_leaves_the_body_as_it_was(tmp_path):
    before = {name: value.clone() for name, value in model().state_dict().items()}
    net, outcome = go(tmp_path, run("linear_probe"))
    assert torch.equal(before["body.weight"], net.state_dict()["body.weight"])
    assert not torch.equal(before["head.weight"], net.state_dict()["head.weight"])
    assert outcome.parameters == {"trainable": {"adapter": 0, "head": 34, "total": 34}, "base": 144}


def test_test_is_read_once(tmp_path):
    _, outcome = go(tmp_path, run(epochs=3))
    assert outcome.evaluations == {"validation": 3, "test": 1}


def test_methods_of_one_seed_see_the_same_examples(tmp_path):
    digests = {go(tmp_path / kind, run(kind))[1].budget["order_sha256"] for kind in RATES}
    assert len(digests) == 1


def test_the_released_protocol_keeps_the_epoch_that_is_best_on_test_also_when_killed(tmp_path):
    one = run(protocol="released", epochs=6, lr=0.3)
    _, outcome = go(tmp_path / "whole", one, seconds=1e9)
    values = outcome.history["test_accuracy"].dropna().tolist()
    assert len(values) == 6
    assert outcome.evaluations == {"test": 6}  # after each epoch; the last is the end
    assert outcome.best_epoch == 1 + int(np.argmax(values))
    tables = dict(list(outcome.predictions.groupby("split")))
    assert set(tables) == {"test", "test_best_epoch"}  # validation is not looked at
    right = {split: (table["label"] == table["prediction"]).mean() for split, table in tables.items()}
    assert right == {"test": values[-1], "test_best_epoch": max(values)}
    with pytest.raises(Killed):
        go(tmp_path / "cut", one, on_step=stop_after(7 * (outcome.best_epoch + 1)))
    _, resumed = go(tmp_path / "cut", one)
    assert resumed.best_epoch == outcome.best_epoch and resumed.evaluations == outcome.evaluations
    pd.testing.assert_frame_equal(outcome.predictions, resumed.predictions, check_exact=True)


def test_a_trial_predicts_no_test(tmp_path):
    _, outcome = go(tmp_path, run(), tests=())
    assert set(outcome.predictions["split"]) == {"validation"}
