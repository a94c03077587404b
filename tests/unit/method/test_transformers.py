"""With transformers: generation forms each weight once, and a merged model is saved and loaded without this package."""

import subprocess
import sys

import pytest
import torch
from toy import adapt, disturb, outputs

import frod
from frod.method.linear import FrodLinear

WITHOUT = """
import sys
import torch
from transformers import AutoModelForSequenceClassification
for folder in map(str.strip, sys.stdin):
    model = AutoModelForSequenceClassification.from_pretrained(f"{folder}/merged").eval()
    with torch.no_grad():
        torch.save(model(torch.arange(1, 9).view(2, 4)).logits, f"{folder}/logits")
    assert not [name for name in sys.modules if name.split(".")[0] == "frod"]
    print("saved", flush=True)
"""


@pytest.fixture(scope="module")
def load_without():
    """Loads what was saved in a folder in a process without this package, one for all; the logits that it saves."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WITHOUT], **pipes) as process:

        def load(folder):
            print(folder, file=process.stdin, flush=True)
            assert process.stdout.readline() == "saved\n"
            return torch.load(folder / "logits")

        yield load


@pytest.mark.parametrize(("name", "head"), [("bert", "classifier"), ("gpt2", "score"), ("llama", "score")])
def test_a_merged_model_is_saved_and_loaded_without_this_package(build, load_without, tmp_path, name, head):
    torch.manual_seed(0)
    model = disturb(adapt(build(name, "cpu"), train=[head]))
    expected = outputs(model, torch.arange(1, 9).view(2, 4)).logits
    frod.merge(model).save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(load_without(tmp_path), expected)


def test_generation_forms_each_weight_once_and_again_after_a_change(calls):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = adapt(LlamaForCausalLM(LlamaConfig(vocab_size=20, bos_token_id=1, eos_token_id=None, **sizes)))
    disturb(model).eval()
    prompt = torch.tensor([[1, 5, 7]])

    def generate():
        return model.generate(prompt, max_new_tokens=8, do_sample=False, pad_token_id=0)

    first = generate()
    assert torch.equal(generate(), first)
    layers = [module for module in model.modules() if isinstance(module, FrodLinear)]
    assert calls["form_weight"] == len(layers)
    with torch.no_grad():
        layers[0].scale.mul_(1.5)
    generate()
    assert calls["form_weight"] == len(layers) + 1


def test_what_inference_mode_formed_serves_training_too(make_adapted):
    """In evaluation mode, as for saliency or a frozen dropout: torch refuses tensors of inference mode there."""
    model, _ = make_adapted(plan="materialised", by=0.1)
    x = torch.randn(3, 8)
    with torch.inference_mode():
        expected = model(x)
    y = model(x)
    assert torch.equal(y, expected)
    y.sum().backward()
    with torch.inference_mode():
        assert torch.equal(model(x), expected)
        assert torch.equal(model.train()(x), expected)
