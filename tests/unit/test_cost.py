"""`frod cost` counts what is published and estimates what was measured: one that is off would mislead a whole study."""

import csv
import json
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest
import yaml

from frod.backbones import registry
from frod.commands.cost import cost, skeletons
from frod.config import Method, Run, Training
from frod.cost.estimate import TOKENS, evaluated, split_sizes
from frod.cost.measured import Measured
from frod.tasks import registry as tasks

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"
FROD = Method(kind="frod", sparse_rate=0.01)
FULL = Method(kind="full_ft")
# Published, without a head. CLIP: the vision tower. RoBERTa-large: 355,359,744 less the pooler (1024 x 1024 + 1024),
# which a classifier does not have. Llama-2-7B: 6,738,415,616 less the output layer (4096 x 32000). MiniLM: all of it.
PUBLISHED = {
    "clip_vit_b32": 87_456_000,
    "clip_vit_b32_timm": 87_456_000,
    "roberta_large": 355_359_744 - 1_049_600,
    "llama2_7b": 6_738_415_616 - 131_072_000,
    "minilm": 22_713_216,
}
# Of FRoD's adapter at the released sparse rates.
ADAPTERS = {"clip_vit_b32": (0.01, 1_569_276), "roberta_large": (0.02, 10_790_760), "llama2_7b": (0.02, 65_210_880)}


@pytest.fixture(scope="module")
def skeleton():
    return skeletons(registry.load(), {}, ROOT / "data" / "models")


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(skeleton, name):
    assert skeleton(name).body == PUBLISHED[name]


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_adapters_are_the_released_ones(skeleton, name):
    rate, numbers = ADAPTERS[name]
    assert skeleton(name).trained(Method(kind="frod", sparse_rate=rate), None) == numbers


def test_heads_and_peft_are_counted_by_their_formulas(skeleton):
    clip, roberta = skeleton("clip_vit_b32"), skeleton("roberta_large")
    assert clip.head(196) == 768 * 196 + 196
    assert roberta.head(3) == 1024 * 1024 + 1024 + 1024 * 3 + 3
    lora = Method(kind="peft", config="LoraConfig", arguments={"r": 8})
    assert clip.trained(lora, None) == 12 * 8 * (4 * (768 + 768) + 2 * (768 + 3072))
    assert clip.trained(Method(kind="linear_probe"), None) == 0


def test_multiply_adds_of_a_forward_pass_by_hand(skeleton):
    tokens, width, inner = 50, 768, 3072
    linear = 12 * tokens * (4 * width * width + 2 * width * inner)
    attention = 12 * 2 * tokens * tokens * width
    patches = 49 * 3 * 32 * 32 * width
    clip = skeleton("clip_vit_b32")
    assert clip.image_tokens == tokens
    assert clip.forward(tokens) == pytest.approx(linear + attention + patches, rel=1e-3)  # and a head of two outputs
    assert skeleton("llama2_7b").forward(100) == pytest.approx(100 * (6_607_343_616 - 131_072_000), rel=0.01)


def test_fewer_blocks_are_fewer_parameters(skeleton):
    block = 4 * 4096 * 4096 + 3 * 4096 * 11008 + 2 * 4096
    assert skeleton("llama2_7b").body - skeleton("llama2_7b", 8).body == 24 * block


def test_a_basis_is_v_and_its_inverse_for_each_kind_of_layer(skeleton):
    widths = [768] * 5 + [3072]
    assert skeleton("clip_vit_b32").basis_bytes == sum(4 * (2 * n * n + 12 * n) for n in widths)


def test_what_was_measured_comes_back(skeleton):
    """At the setting of a result, the estimate is the result."""
    measured = Measured(RESULTS, "cpu", skeleton, None)
    record = json.loads((RESULTS / "step-cpu-clip-vit-b32-b64.json").read_text())
    for method, tuner in {"full_ft": FULL, "frod": FROD}.items():
        adds = skeleton("clip_vit_b32").step(tuner, examples=64, length=50, device="cpu", itemsize=4)
        seconds = measured.seconds(adds, tuner, 64 * 50, record["machine"]["threads"])
        assert seconds == pytest.approx(record["methods"][method]["median"])


def test_a_speed_is_measured_or_stated_but_never_made_up(skeleton, tmp_path):
    with pytest.raises(ValueError, match=r"--device cuda: .* has no step-cuda-.*--tflops"):
        Measured(tmp_path, "cuda", skeleton, None)
    assumed = Measured(RESULTS, "cuda", skeleton, 100.0)
    assert assumed.seconds(50e12, FULL, 1, 1) == pytest.approx(1.0)  # two operations to a multiply-add
    assert "Assumed, not measured: 100 Tflop/s" in assumed.notes({"full_ft": FULL})[0]


def test_rows_are_those_that_no_other_split_draws():
    found = tasks.load()
    assert split_sizes("digits", found["digits"]) == {"test": 360, "validation": 180, "train": 1797 - 360 - 180}
    assert split_sizes("sst2", found["sst2"]) == {"test": 872, "validation": 872, "train": 67349 - 872}
    without = found["sst2"].model_copy(update={"rows": {}})
    with pytest.raises(ValueError, match=r"tasks: sst2\.rows: lacks 'validation'"):
        split_sizes("sst2", without)


def test_released_watches_test_and_a_trial_never_opens_it():
    training = Training(epochs=4, max_validation=50)
    given = {"suite": "s", "task": "t", "backbone": "b", "method": "m", "seed": 0, "tuner": FULL, "matched": None}
    given |= {"rates": None, "targets": None, "training": training, "split_seed": 0}
    audited, released = (Run(**given, protocol=protocol) for protocol in ("audited", "released"))
    sizes = {"train": 1000, "validation": 100, "test": 200, "test_more": 30}
    assert evaluated(audited, sizes, test=True) == 4 * 50 + 230
    assert evaluated(audited, sizes, test=False) == 4 * 50
    assert evaluated(released, sizes, test=True) == 3 * 200 + 230


def test_a_model_without_an_architecture_names_the_field(tmp_path):
    known = registry.load()
    lacking = {"mine": known["roberta_large"].model_copy(update={"architecture": None})}
    with pytest.raises(ValueError, match=r"backbones: mine\.architecture: is missing"):
        skeletons(lacking, {}, tmp_path)("mine")


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """Jobs of the minilm suite."""
    out = tmp_path_factory.mktemp("cost") / "jobs.json"
    cost(suite="minilm", file=ROOT / "params.yaml", json=out, device="cpu", tflops=None, tokens=None, results=None)
    return [job for job in json.loads(out.read_text())["jobs"] if job["trial"] is None]


def test_the_estimate_is_near_what_the_runs_took(minilm):
    """Trained numbers are those of the recorded runs; a step's seconds are of their size, whatever the machine."""
    with (ROOT / "reports" / "published" / "minilm" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    taken = defaultdict(list)
    for row in rows:
        taken[row["task"], row["method"]].append(float(row["train_seconds"]) / int(row["steps"]))
    trained = {(row["task"], row["method"]): int(row["trainable_parameters"]) for row in rows}
    compared = 0
    for job in minilm:
        key = (job["task"], job["method"])
        if job["seed"] or key not in taken:
            continue
        ratio = job["train_seconds"] / job["steps"] / median(taken[key])
        assert 0.2 < ratio < 5, key
        assert job["trained"] == trained[key]
        assert job["tokens"] in TOKENS.values()
        compared += 1
    assert compared >= 4


def test_the_command_prints_a_table_and_what_it_assumes(tmp_path, capsys):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    file = ROOT / "params.yaml"
    assert params["suite"] == "smoke"
    cost(suite=None, file=file, json=None, device="cuda", tflops=50.0, tokens=10, results=None)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Suite smoke on cuda: an estimate" in printed
    assert "Assumed, not measured: 50 Tflop/s sustained" in printed
    assert "10 of sentences" in printed
    assert "Not in the hours: loading" in printed
    with pytest.raises(ValueError, match="--device tpu"):
        cost(suite=None, file=file, json=None, device="tpu", tflops=None, tokens=None, results=None)
