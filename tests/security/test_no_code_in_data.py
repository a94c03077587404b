"""No file that this project reads can bring code along: nothing unpickles, evaluates or imports what a file says.

First by the text of every module, then with files that would leave a mark if they were run.
"""

import ast
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from frod.backbones import loading
from frod.backbones import registry as backbones
from frod.backbones.folder import materialise
from frod.tasks import arrays
from frod.tasks import split_files as task_files
from frod.tasks.registry import TaskSpec
from frod.training import checkpoints
from frod.training.processes import Processes

ROOT = Path(__file__).parents[2]
MODULES = [*sorted((ROOT / "frod").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
ERRORS = {"UnpicklingError", "PicklingError"}
"""All that may be taken from pickle: what torch.load ends with."""
FORBIDDEN = {"cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle", "code"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile", "os.system"}
METHODS = {
    "read_pickle", "to_pickle", "unsafe_load", "full_load", "unsafe_load_all", "full_load_all", "popen", "getoutput",
    "getstatusoutput", "from_string",
}  # fmt: skip


def name_of(node):
    """Dotted name of what is called; of yaml.load "yaml.load"."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def faults(path):
    """Every place of a module that could run what a file says."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            taken = {name.partition(".")[0] for name in names} & FORBIDDEN
            if taken:
                yield f"line {node.lineno}: imports {taken}"
        elif isinstance(node, ast.Attribute) and name_of(node).startswith("pickle.") and node.attr not in ERRORS:
            yield f"line {node.lineno}: {name_of(node)}"
        elif isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {fault}" for fault in _faults_of(node))


def _faults_of(call):
    name, given = name_of(call.func), {keyword.arg: keyword.value for keyword in call.keywords}

    def says(argument, value):
        return isinstance(given.get(argument), ast.Constant) and given[argument].value is value

    if name in CALLS or (name.rpartition(".")[2] in METHODS and "." in name):
        yield f"calls {name}"
    if name == "torch.load" and not says("weights_only", True):
        yield "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and "allow_pickle" in given and not says("allow_pickle", False):
        yield "numpy.load with pickles"
    if name == "yaml.load" and name_of(given.get("Loader", call)) != "_Loader":
        yield "yaml.load with a loader that is none of ours"
    if "trust_remote_code" in given and not says("trust_remote_code", False):
        yield "trust_remote_code"
    if "shell" in given and not says("shell", False):
        yield "a shell"


@pytest.mark.parametrize("path", [ROOT / "frod", ROOT / "bench"], ids=lambda path: path.name)
def test_no_module_runs_what_a_file_says(path):
    found = {str(module.relative_to(ROOT)): list(faults(module)) for module in MODULES if path in module.parents}
    assert len(found) > 10
    assert not {name: what for name, what in found.items() if what}


def test_no_rule_does():
    for path in RULES:
        text = path.read_text()
        assert not {word for word in ("pickle", "eval(", "exec(", "yaml.load", "os.system") if word in text}, path


class Mark:
    """What touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def mark(tmp_path):
    """A file that is there once something has run; nothing may have at the end of a test."""
    path = tmp_path / "something-has-run"
    yield path
    assert not path.exists()


def test_the_mark_is_one(tmp_path):
    pickle.loads(pickle.dumps(Mark(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("form", ["torch", "torch before 1.6", "pickle"])
def test_a_checkpoint_that_is_a_program_is_refused_and_the_run_starts_anew(tmp_path, mark, capsys, form):
    path, state = tmp_path / "checkpoint.pt", {"fingerprint": "f", "random": {"cpu": [Mark(mark)]}}
    if form == "pickle":
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "torch")
    assert checkpoints.load(path, "f", Processes()) is None
    assert "damaged checkpoint, starting again" in capsys.readouterr().err


def test_an_array_of_objects_is_refused(tmp_path, mark):
    task = tmp_path / "task"
    task.mkdir()
    arrays.write_labels(task, "test", np.zeros(1, np.int64), np.zeros(1, np.int64))
    np.save(task / "test.tokens.npy", np.array([Mark(mark)], dtype=object), allow_pickle=True)
    arrays.write_manifest(task, {"inputs": {}}, {"test": 1})
    with pytest.raises(ValueError, match="Python objects in dtype"):
        arrays.load_split(task, "test")


def bert(folder, **config):
    """A tiny model of transformers' own, with code next to it and a config that may name it."""
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    with torch.random.fork_rng():
        BertModel(BertConfig(vocab_size=4, **sizes)).save_pretrained(folder)
    Tokenizer(WordLevel({word: place for place, word in enumerate(["[PAD]", "[UNK]", "a", "b"])}, "[UNK]")).save(
        str(folder / "tokenizer.json")
    )
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))


def spec(**source):
    entry = {"title": "t", "library": "transformers", "licence": "x", "max_length": 8, "source": source}
    return backbones.BackboneSpec.model_validate(entry)


@pytest.fixture
def sources(tmp_path):
    """The same folder as one's own, and as a mirror of the Hub."""
    folder = tmp_path / "mirror" / "models" / "someone" / "model"
    folder.mkdir(parents=True)
    files = ["config.json", "*.safetensors", "tokenizer.json", "tokenizer_config.json"]
    return folder, [spec(path=folder), spec(hub="someone/model", files=files)]


def test_weights_in_pickle_are_refused(tmp_path, mark, sources):
    folder, specs = sources
    bert(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Mark(mark)))
    for one in specs:
        with pytest.raises(ValueError, match=r"no safetensors, only pytorch_model\.bin; .* write it again: AutoModel"):
            materialise("own", one, tmp_path / "out", mirror=tmp_path / "mirror")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("model_type", ["bert", "own"])
def test_the_code_of_a_model_is_not_run(tmp_path, mark, sources, model_type):
    """Neither where transformers has a class for the type, and would take that instead, nor where it has none."""
    folder, specs = sources
    bert(folder, model_type=model_type, auto_map={"AutoConfig": "own.C", "AutoModelForSequenceClassification": "own.M"})
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    for one in specs:
        with pytest.raises(ValueError, match=r"backbone own: config\.json: auto_map names Python code .*own\.C"):
            materialise("own", one, tmp_path / "out", mirror=tmp_path / "mirror")


def test_a_suite_may_say_that_the_librarys_class_is_the_same_model(tmp_path, mark, sources):
    folder, _ = sources
    bert(folder, auto_map={"AutoModel": "own.M"})
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    facts = materialise("own", spec(path=folder, config={"auto_map": None}), tmp_path / "out")
    assert "own.py" not in facts["files"] and not (tmp_path / "out" / "own.py").exists()
    assert type(loading.load(tmp_path / "out", num_classes=2, seed=0)).__name__ == "BertForSequenceClassification"


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_a_kernel_of_the_hub_is_not_fetched(tmp_path, sources, key):
    folder, specs = sources
    bert(folder, **{key: "someone/kernel"})
    with pytest.raises(
        ValueError, match=rf"backbone own: config\.json: {key}: is 'someone/kernel', a kernel of the Hub"
    ):
        materialise("own", specs[0], tmp_path / "out")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"model_args": {"checkpoint_path": "evil.pth"}},
            r"arguments: \['checkpoint_path'\] are not of a model's shape",
        ),
        ({"model_args": {"pretrained_cfg": {"file": "evil.pth"}}}, r"\['pretrained_cfg'\] are not of a model's shape"),
        ({"architecture": "hf-hub:someone/model"}, "name: String should match pattern"),
        ({"architecture": "local-dir:/somewhere"}, "name: String should match pattern"),
    ],
)
def test_a_timm_model_is_built_from_its_shape_alone(tmp_path, mark, config, said):
    """timm takes weights of any file, and models of any address, by what a config.json may say."""
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Mark(mark)))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224"} | config))
    with pytest.raises(ValueError, match=said):
        loading.create_timm(tmp_path, num_classes=2)


def test_a_tokenizer_that_is_code_is_refused(tmp_path, mark, sources):
    folder, specs = sources
    bert(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["own.T", None]}}))
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    with pytest.raises(ValueError, match=r"backbone own: tokenizer_config\.json: auto_map names Python code"):
        materialise("own", specs[0], tmp_path / "out")


def test_the_loading_script_of_a_data_set_is_not_run(tmp_path, mark):
    folder = tmp_path / "datasets" / "someone" / "data"
    (folder / "default").mkdir(parents=True)
    for name in ("data.py", "default/data.py", "default/default.py", "dataset_infos.py"):
        (folder / name).write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    pd.DataFrame({"text": ["a", "b"], "label": [0, 1]}).to_parquet(folder / "default" / "train-00000-of-00001.parquet")
    task = TaskSpec.model_validate(
        {
            "title": "t",
            "kind": "sentences",
            "licence": "x",
            "source": {"hub": "someone/data"},
            "columns": {"text": ["text"]},
            "rows": {"train": {"rows": 2}},
            "classes": 2,
            "train": {"from": "train"},
            "validation": {"from": "train", "rows": 1},
            "test": {"from": "train", "rows": 1},
            "metrics": ["accuracy"],
        }
    )
    read = task_files.read(task, ["train"], tmp_path, tmp_path / "scratch")
    assert read.splits["train"].labels.tolist() == [0, 1]
