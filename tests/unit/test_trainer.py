"""transformers' Trainer and TRL's SFTTrainer as they are: FRoD's rates hold, runs resume to the same weights, and
precision, accumulation, compilation and checkpointing change no more than they do otherwise; the page's code runs."""

import re
from pathlib import Path

import pytest
import torch

import frod
from frod.method.state import frod_layers

PAGE = Path(__file__).parents[2] / "docs/trainer.md"
SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 0}
RATES = {"lr_scale": 5e-2, "lr_rotation": 2e-2, "lr_head": 1e-2}
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}u {{ m.content }} {% else %}"
    "a {% generation %}{{ m.content }} eos{% endgeneration %} {% endif %}{% endfor %}"
)
CHAT = [
    {"messages": [{"role": "user", "content": f"w{i} w{i + 1}"}, {"role": "assistant", "content": f"w{i + 2}"}]}
    for i in range(12)
]


def classifier():
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    # Micro-batches of other sizes would draw other dropout.
    config = BertConfig(**SIZES, vocab_size=10, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return BertForSequenceClassification(config).eval()


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SIZES, vocab_size=32, bos_token_id=1, eos_token_id=1, num_key_value_heads=1)
    return LlamaForCausalLM(config).eval()


def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["pad", "eos", "u", "a", "unk", *(f"w{i}" for i in range(16))]
    whole = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="unk"))
    whole.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=whole, pad_token="pad", eos_token="eos", unk_token="unk")
    made.chat_template = TEMPLATE
    return made


def adapted(model, train=("classifier",)):
    return frod.attach(model, frod.extract_basis(model, progress=False), sparse_rate=0.1, train=list(train))


def examples():
    tokens = torch.randint(1, 10, (24, 5), generator=torch.Generator().manual_seed(2))
    return [{"input_ids": row, "labels": torch.tensor(i % 2)} for i, row in enumerate(tokens)]


def trainer(model, folder, **options):
    from transformers import Trainer, TrainingArguments

    fixed = {"max_steps": 4, "save_steps": 2, "per_device_train_batch_size": 4, "use_cpu": True, "logging_steps": 1}
    arguments = TrainingArguments(output_dir=str(folder), **fixed | {"report_to": [], "disable_tqdm": True} | options)
    optimiser = torch.optim.AdamW(frod.parameter_groups(model, **RATES))
    run = Trainer(model, arguments, train_dataset=examples(), eval_dataset=examples(), optimizers=(optimiser, None))
    run.model_accepts_loss_kwargs = False  # BERT's takes them and does not heed them: micro-batches would be summed
    return run


def trained(model):
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def losses(run):
    return [float(entry["loss"]) for entry in run.state.log_history if "loss" in entry]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_every_group_has_its_rate_and_the_trainer_s_schedule(tmp_path):
    run = trainer(adapted(classifier()), tmp_path, lr_scheduler_type="linear", max_steps=2, save_strategy="no")
    seen = []
    step = run.optimizer.step
    run.optimizer.step = lambda *args: seen.append([g["lr"] for g in run.optimizer.param_groups]) or step(*args)
    run.train()
    assert [group["name"] for group in run.optimizer.param_groups] == ["scale", "rotation", "head"]
    assert seen == [pytest.approx(list(RATES.values())), pytest.approx([rate / 2 for rate in RATES.values()])]
    assert [group["weight_decay"] for group in run.optimizer.param_groups] == [0, 0, 0]


OPTIONS = {
    "plain": {},
    "bf16": {"bf16": True},
    "accumulation": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    "compiled": {"torch_compile": True, "torch_compile_backend": "aot_eager"},
    "checkpointing": {"gradient_checkpointing": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_run_resumes_to_the_same_weights_and_trains_as_a_plain_one(tmp_path, options):
    whole, resumed, plain = (adapted(classifier()) for _ in range(3))
    run = trainer(whole, tmp_path / "whole", **options)
    run.train()
    checkpoint = tmp_path / "whole/checkpoint-2"
    trainer(resumed, tmp_path / "resumed", **options).train(resume_from_checkpoint=str(checkpoint))
    assert same(trained(resumed), trained(whole))
    start = trained(adapted(classifier()))
    assert all(not torch.equal(tensor, start[name]) for name, tensor in trained(whole).items())
    reference = trainer(plain, tmp_path / "plain")
    reference.train()
    assert all(p.dtype == torch.float32 for p in whole.parameters())
    assert losses(run) == pytest.approx(losses(reference), rel=0.02 if "bf16" in options else 1e-3)
    if "bf16" in options:
        assert not same(trained(whole), trained(plain))
    elif "gradient_accumulation_steps" not in options:  # AdamW makes much of the rounding of gradients that are tiny
        for name, tensor in trained(whole).items():
            torch.testing.assert_close(tensor, trained(plain)[name], rtol=0, atol=1e-4)


def test_the_best_checkpoint_comes_back_and_save_model_writes_the_fine_tuned_model(tmp_path):
    model = adapted(classifier())
    options = {"eval_strategy": "steps", "eval_steps": 1, "save_steps": 1, "load_best_model_at_end": True}
    # The greatest loss is taken for the best, which is not that of the last step.
    run = trainer(model, tmp_path, **options, metric_for_best_model="loss", greater_is_better=True)
    for group in run.optimizer.param_groups:
        group["lr"] *= 40
    run.train()
    assert not run.state.best_model_checkpoint.endswith("checkpoint-4")
    assert run.evaluate()["eval_loss"] == pytest.approx(run.state.best_metric, abs=0)
    run.save_model(str(tmp_path / "saved"))
    ids = torch.arange(1, 9).view(2, 4)
    with torch.no_grad():
        expected = model.eval()(ids).logits
        assert torch.equal(type(model).from_pretrained(tmp_path / "saved")(ids).logits, expected)


def sft(model, folder, **options):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    fixed = {
        "max_steps": 4,
        "save_steps": 2,
        "per_device_train_batch_size": 4,
        "use_cpu": True,
        "bf16": False,
        "logging_steps": 1,
    }
    fixed |= {"report_to": [], "disable_tqdm": True, "assistant_only_loss": True}
    optimiser = torch.optim.AdamW(frod.parameter_groups(model, lr_scale=5e-2, lr_rotation=2e-2))
    return SFTTrainer(
        model,
        SFTConfig(output_dir=str(folder), **fixed | options),
        train_dataset=Dataset.from_list(CHAT),
        processing_class=tokenizer(),
        optimizers=(optimiser, None),
    )


@pytest.mark.parametrize("options", [{}, {"bf16": True}], ids=["float32", "bf16"])
def test_sft_on_a_chat_template_trains_only_the_adapter_and_resumes(tmp_path, options):
    model, resumed = adapted(llama(), []), adapted(llama(), [])
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    run = sft(model, tmp_path / "whole", **options)
    labels = run.data_collator([run.train_dataset[0]])["labels"]
    assert (labels != -100).sum() == 2  # the answer and its end
    run.train()
    assert losses(run)[-1] < losses(run)[0]
    assert all(torch.equal(p, frozen[name]) for name, p in model.named_parameters() if name in frozen)
    start = trained(adapted(llama(), []))
    assert all(not torch.equal(tensor, start[name]) for name, tensor in trained(model).items())
    sft(resumed, tmp_path / "resumed", **options).train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-2"))
    assert same(trained(resumed), trained(model))
    run.save_model(str(tmp_path / "saved"))
    saved = type(model).from_pretrained(tmp_path / "saved").state_dict()
    assert same(saved, frod.merge(model).state_dict())


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    """Each block with what it presumes: a classifier or a language model, and data."""
    from datasets import Dataset

    monkeypatch.chdir(tmp_path)
    classify, chat, *more = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert not more
    given = {"model": classifier(), "train": examples(), "validation": examples()}
    exec(compile(classify, str(PAGE), "exec"), given)
    assert given["trainer"].state.global_step > 0
    assert frod.summary(frod.load_pretrained(classifier(), "adapter")) == frod.summary(given["model"])
    given = {"model": llama(), "tokenizer": tokenizer(), "conversations": Dataset.from_list(CHAT)}
    exec(compile(chat, str(PAGE), "exec"), given)
    assert given["trainer"].state.global_step > 0
    assert any(not torch.equal(layer.scale, layer.lambda_0) for _, layer in frod_layers(given["model"]))
