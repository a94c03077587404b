"""Small backbones as folders, and runs on them: widths of 32 and 64 suit every method's defaults."""

import json

import torch
from by_hand import write_source
from safetensors.torch import save_file

from frod.config import Method, Rates, Run, Training
from frod.config.workflow import known_methods
from frod.files import sha256

METHODS = {name: Method(**settings) for name, settings in known_methods().items()}
METHODS["frod"] = Method(kind="frod", sparse_rate=0.05)
MANIFEST = {"num_classes": 3, "problem": "classification"}
SIZES = {"img_size": 8, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 2}
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 50}


def write(architecture, folder):
    """A backbone as `frod backbone` leaves it: config, weights, source.json."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if architecture == "timm":
            import timm

            model = timm.create_model("vit_tiny_patch16_224", num_classes=2, **SIZES)
            save_file(model.state_dict(), folder / "model.safetensors")
            config = {"architecture": "vit_tiny_patch16_224", "model_args": SIZES}
            (folder / "config.json").write_text(json.dumps(config))
        else:
            import transformers as t

            sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 50, "pad_token_id": 0}
            bert = architecture == "bert"
            model = t.BertModel(t.BertConfig(**TEXT)) if bert else t.GPT2Model(t.GPT2Config(**sizes))
            model.save_pretrained(folder)
    files = {path.name: sha256(path) for path in folder.iterdir()}
    if architecture == "timm":
        write_source(folder, "timm", files, kind="images")
    else:
        write_source(folder, "transformers", files, kind="text", max_length=6, pad_token_id=0)


def run(adapter, seed=3, matched=None):
    """A run of a method, of which only what restoring asks for matters."""
    names = {"suite": "s", "task": "t", "backbone": "b", "method": "m", "seed": seed, "protocol": "audited"}
    given = {"adapter": adapter, "matched": matched, "rates": Rates(lr_head=1e-3), "training": Training()}
    return Run(**names, **given, targets=None, split_seed=0)


def logits(model):
    """Outputs for a fixed batch of two."""
    generator = torch.Generator().manual_seed(1)
    if hasattr(model, "pretrained_cfg"):
        return model(torch.randn(2, 3, 8, 8, generator=generator))
    return model(input_ids=torch.randint(1, 50, (2, 6), generator=generator)).logits


def train(model, steps=2):
    """Change what the model trains by a few large steps."""
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):  # LoRA's B is zero at first, so that A moves in the second
        torch.nn.functional.cross_entropy(logits(model), torch.tensor([0, 2])).backward()
        optimiser.step()
        optimiser.zero_grad()
