"""Answers in writing: loss and decoding held against transformers' own, one example at a time and without padding."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import frod
from frod import backbones
from frod.backbones import shipped
from frod.config import Training
from frod.evaluation.loss import loss
from frod.tasks import arrays
from frod.training.best import BestEpoch
from frod.training.loop import Trainer
from frod.training.order import plan
from frod.training.predict import as_table, predict
from frod.training.writing import Writing, answer_losses

LLAMA = shipped.FOLDER / "micro_llama"
WRITING = dict(read="= ([0-9]+)", max_new_tokens=6, end=0, pad=0)
TEXTS = [("3 + 4 + 5 =", "3 + 4 = 7 7 + 5 = 12"), ("9 =", "9"), ("8 + 8 =", "= 16"), ("2 + 7 =", "9")]


@pytest.fixture
def model():
    """The micro Llama with its own head; in evaluation."""
    return backbones.load(LLAMA, num_classes=None, seed=0)


@pytest.fixture
def writing():
    return Writing(tokenizer=backbones.tokenizer(LLAMA), **WRITING)


@pytest.fixture
def data():
    """TEXTS as a split of a generation."""
    tokenizer = backbones.tokenizer(LLAMA)
    given = [tokenizer(prompt)["input_ids"] for prompt, _ in TEXTS]
    whole = [[*tokenizer(f"{prompt} {answer}")["input_ids"], 0] for prompt, answer in TEXTS]
    stored = {
        "tokens": np.concatenate(whole),
        "offsets": np.cumsum([0, *map(len, whole)]),
        "prompts": np.array([len(one) for one in given]),
    }
    labels = np.array(["12", "9", "16", "9"])
    return arrays.Split(name="test", labels=labels, ids=np.arange(4) + 7, arrays=stored, inputs={"pad_token_id": 0})


def own_loss(model, data, row):
    """transformers' own loss of one example, whose labels leave the prompt out: mean over the answer's tokens."""
    at, end = data.arrays["offsets"][row : row + 2]
    tokens = torch.from_numpy(data.arrays["tokens"][at:end])[None]
    labels = tokens.clone()
    labels[:, : data.arrays["prompts"][row]] = -100
    return model(input_ids=tokens, labels=labels).loss


@pytest.mark.parametrize("adapted", [False, True])
def test_batches_are_decoded_as_transformers_decodes_one(model, writing, data, adapted):
    """Padded on the left and side by side, with FRoD's W' too; after the end there is nothing."""
    if adapted:
        basis = frod.extract_basis(model)
        frod.attach(model, basis, sparse_rate=0.1, seed=0, train=[])
        for name, parameter in model.named_parameters():
            if name.endswith(("scale", "rotation")):
                torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(1))
        model.eval()
    found = writing.decode(model, data.prompts(np.arange(4)))
    for row, (prompt, _) in enumerate(TEXTS):
        alone = writing.tokenizer(prompt, return_tensors="pt")
        expected = model.generate(**alone, max_new_tokens=6, do_sample=False, eos_token_id=0, use_cache=False)
        new = expected[0, alone["input_ids"].shape[1] :].tolist()
        new = new[: new.index(0)] if 0 in new else new
        assert found[row].tolist() == new + [0] * (6 - len(new))
    assert found.any(axis=1).all()


def test_what_the_models_files_say_of_decoding_is_not_the_tasks(model, writing, data):
    """Llama 2's own say to sample; others to end early, or not to repeat."""
    expected = writing.decode(model, data.prompts(np.arange(4)))
    own = {"do_sample": True, "temperature": 9.0, "top_p": 0.5, "num_beams": 3, "repetition_penalty": 5.0}
    model.generation_config.update(**own, max_length=9, min_new_tokens=5, no_repeat_ngram_size=1, eos_token_id=50)
    torch.manual_seed(0)
    assert np.array_equal(writing.decode(model, data.prompts(np.arange(4))), expected)


def test_decoding_stops_at_the_end(model, writing, data):
    """Where each next token is the end at once, the text is empty and its answer none."""
    with torch.no_grad():
        model.model.norm.weight.zero_()  # all scores are 0: the first token, which is the end, is the likeliest
    tokens = writing.decode(model, data.prompts(np.arange(4)))
    assert not tokens.any()
    assert writing.answers(writing.texts(tokens)) == [""] * 4


def test_the_loss_of_answers_is_transformers_own(model, data):
    batch = data.batch(np.arange(4))
    labels = batch.pop("labels")
    with torch.no_grad():
        found = answer_losses(backbones.logits(model, batch), labels)
        expected = torch.stack([own_loss(model, data, row) for row in range(4)])
    torch.testing.assert_close(found, expected)


def test_predictions_hold_the_text_and_what_is_read(model, writing, data):
    table = predict(model, data, np.arange(4), split="test", batch_size=3, device=torch.device("cpu"), writing=writing)
    assert table["example_id"].tolist() == [7, 8, 9, 10]
    assert table["label"].tolist() == ["12", "9", "16", "9"]
    for row, text in enumerate(table["text"]):
        alone = {name: tensor for name, tensor in data.prompts(np.array([row])).items()}
        assert text == writing.texts(writing.decode(model, alone))[0]
        assert table["prediction"][row] == (text.rpartition("= ")[2].split(" ")[0] if "= " in text else "")
    with torch.no_grad():
        expected = float(torch.stack([own_loss(model, data, row) for row in range(4)]).mean())
    assert loss(table) == pytest.approx(expected, rel=1e-5)


def test_an_epochs_texts_go_through_a_checkpoint(data, writing):
    """Of the released protocol: the best epoch's table is made again from what was kept."""

    def table_of(scores, texts=None):
        return as_table(data, np.arange(4), scores, split="test", writing=writing, texts=texts)

    best, again = BestEpoch(table_of), BestEpoch(table_of)
    best.offer(0.5, table_of(np.ones((4, 1), np.float32), texts=["= 12", "x", "= 3 = 16", ""]))
    again.restore(best.state())
    assert again.table.equals(best.table)
    assert again.table["prediction"].tolist() == ["12", "", "16", ""]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_steps_gradient_is_that_of_the_mean_over_answer_tokens(model, data, accumulation, tmp_path):
    """Each token counts alike, in whichever micro-batch it lies: held against a loss of all tokens by hand."""
    training = Training(epochs=1, batch_size=4, accumulation=accumulation, schedule="constant", warmup=0.0, clip=None)
    training = training.model_copy(update={"group_by_length": False})
    budget, batches = plan(4, training, 0)
    counts = torch.tensor([len(data.batch(np.array([row]))["labels"][0]) for row in range(4)]) - torch.from_numpy(
        data.arrays["prompts"]
    )
    total = sum(own_loss(model, data, row) * counts[row] for row in range(4)) / counts.sum()
    total.backward()
    expected = model.model.layers[0].mlp.up_proj.weight.grad.clone()
    model.zero_grad()
    seen = {}
    trainer = Trainer(
        model=model,
        groups=[{"name": "body", "lr": 0.0, "weight_decay": 0.0, "params": list(model.parameters())}],
        data=data,
        chosen=np.arange(4),
        batches=batches,
        budget=budget,
        training=training,
        regression=False,
        autocast=lambda: torch.autocast("cpu", enabled=False),
        validate=lambda model: 0.0,
        checkpoint=tmp_path / "checkpoint.pt",
        checkpoint_seconds=1e9,
        fingerprint="",
    )
    step = trainer.optimiser.step
    trainer.optimiser.step = lambda: (
        seen.update(gradient=model.model.layers[0].mlp.up_proj.weight.grad.clone()) or step()
    )
    trainer.run()
    torch.testing.assert_close(seen["gradient"], expected)
    assert trainer.history[0]["loss"] == pytest.approx(float(total.detach()), rel=1e-5)


def test_a_task_of_classes_is_not_written():
    assert Writing.of({"problem": "classification"}, SimpleNamespace()) is None
