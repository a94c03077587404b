"""The benchmarks' arithmetic and shapes: what a table shows is what was measured, of the models that it names."""

import gc
import json
import os
import subprocess
import sys
import xml.etree.ElementTree
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import (
    attach,
    basis,
    breakdown,
    category,
    draw,
    goals,
    models,
    records,
    settings,
    step,
    table,
    text,
    training,
)
from bench.methods import METHODS, trained
from bench.models import SHAPES
from frod.method.plan import plan_model

ROOT = Path(__file__).parents[2]
WIDTHS = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "vocab_size": 20}
SMALL = {"roberta-large": WIDTHS, "llama-2-7b": WIDTHS | {"num_key_value_heads": 2}}
# Published: parameters of the encoder (RoBERTa's 355,359,744 less the pooler, Llama's 6,738,415,616 less the output
# layer), and of the adapter that the released scripts put on it.
PUBLISHED = {
    "clip-vit-b32": (87_456_000, 0.01, 1_569_276),
    "roberta-large": (354_310_144, 0.02, 10_790_760),
    "llama-2-7b": (6_607_343_616, 0.02, 65_210_880),
}


@pytest.fixture(autouse=True)
def _only_what_a_test_leaves_is_collected():
    """Between two methods garbage is collected: a third of a second, where it is sought in all that was imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def small(monkeypatch):
    """The text models in two blocks of width 16."""
    for name, sizes in SMALL.items():
        monkeypatch.setitem(SHAPES, name, replace(SHAPES[name], sizes=SHAPES[name].sizes | sizes, layers=2))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_shapes_are_those_of_the_published_models(name):
    encoder, rate, adapter = PUBLISHED[name]
    model = models.build(name, layers=SHAPES[name].layers, device="meta", dtype=torch.bfloat16)
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    rows = plan_model(model, SHAPES[name].targets, tokens=1, sparse_rate=rate)
    assert sum(row.layers * (row.n + row.k) for row in rows) == adapter


def test_tokens_are_those_of_the_whole_optimiser_step():
    assert settings.Setting(batch=64).tokens == 64 * 50  # 7 x 7 patches and the class
    assert settings.Setting(model="llama-2-7b", batch=4, length=512, accumulation=8).tokens == 8 * 4 * 512


def test_ratios_are_taken_round_by_round():
    # A spell that makes the second round ten times slower for all changes no ratio; ratios of medians would be 3.
    rows = {"full_ft": {"seconds": [1.0, 10.0, 1.0]}, "frod": {"seconds": [3.0, 20.0, 2.0]}, "vera": {"failed": "so"}}
    training.summarise(rows)
    assert rows["frod"]["median"] == 3
    assert rows["frod"]["ratio_to"]["full_ft"] == {"median": 2, "least": 2, "most": 3}
    assert "peft_frod" not in rows["frod"]["ratio_to"]
    assert rows["vera"] == {"failed": "so"}


def test_the_order_turns_with_every_round():
    assert [training.turn("abc", number) for number in range(3)] == [["a", "b", "c"], ["c", "b", "a"], ["a", "b", "c"]]


@pytest.mark.parametrize("model", ["tiny", *SMALL])
@pytest.mark.parametrize("dtype", settings.DTYPES)
def test_a_step_of_every_method_trains_what_the_method_trains(small, model, dtype):
    setting = settings.Setting(model=model, batch=2, length=6, dtype=dtype, accumulation=2)
    for method in METHODS:
        one, _ = training.prepared(setting, method)
        before = {name: p.detach().clone() for name, p in one.named_parameters()}
        training.stepper(one, setting)()
        moved = {name for name, p in one.named_parameters() if not torch.equal(p, before[name])}
        wanted = {name for name, p in one.named_parameters() if p.requires_grad}
        assert {"head.weight", "head.bias"} <= wanted, method
        assert moved <= wanted, method
        assert all(p.isfinite().all() for p in one.parameters()), method
        body = [name for name in wanted if name.startswith("encoder")]
        assert any(name in moved for name in body), method
        if method != "full_ft":
            assert len(body) % (2 * len(SHAPES[model].targets)) == 0, method  # as many in each target layer


def test_frods_sizes_agree_between_the_two_implementations():
    counts = {}
    for method in ("frod", "peft_frod"):
        model = training.fresh(settings.TINY)
        METHODS[method](model, SHAPES["tiny"].targets, 0.05)
        counts[method] = trained(model)
    head = 16 * 3 + 3
    per_block = 5 * (16 + int(0.05 * 16**2)) + 32 + int(0.05 * 32**2)
    assert counts == {"frod": head + 2 * per_block, "peft_frod": head + 2 * per_block}


def test_a_basis_serves_every_model_that_is_built_alike():
    found = step.of_plain_model(settings.TINY)[1]
    assert found.model_hash == step.of_plain_model(settings.TINY)[1].model_hash


@pytest.mark.parametrize("turns", settings.TURNS)
def test_every_round_of_every_method_is_in_the_result(turns):
    setting = replace(settings.TINY, turns=turns, block_steps=2, methods=("full_ft", "frod", "lora"))
    record = step.measure(setting, ("full_ft", "frod"))
    assert list(record["methods"]) == ["full_ft", "frod", "lora"]
    for row in record["methods"].values():
        assert len(row["seconds"]) == setting.rounds
        assert row["first"] > 0
    assert record["methods"]["full_ft"]["ratio_to"]["full_ft"]["median"] == 1
    assert record["targets"] == 2 * 6
    for row in record["breakdown"].values():
        assert sum(row["groups"].values()) == pytest.approx(row["seconds"], rel=0.05)
    groups = {name: row["groups"] for name, row in record["breakdown"].items()}
    assert groups["full_ft"][breakdown.SPARSE] == 0 < groups["frod"][breakdown.SPARSE]
    assert all(one[group] > 0 for one in groups.values() for group in (breakdown.ACTIVATIONS, breakdown.OPTIMISER))
    json.dumps(record)


def test_a_method_that_does_not_fit_leaves_the_others(monkeypatch):
    real = step.prepared

    def prepared(setting, method, found):
        if method == "lora":
            raise torch.OutOfMemoryError("no room")
        return real(setting, method, found)

    monkeypatch.setattr(step, "prepared", prepared)
    record = step.measure(replace(settings.TINY, turns="block", methods=("full_ft", "lora", "vera")))
    assert record["methods"]["lora"] == {"failed": "out of memory"}
    assert record["methods"]["vera"]["ratio_to"]["full_ft"]["median"] > 0
    assert any("out of memory" in line for line in step.lines(record))


def event(name, shapes=(), parent=None):
    return SimpleNamespace(name=name, input_shapes=[list(shape) for shape in shapes], cpu_parent=parent)


def test_operations_are_grouped_by_what_they_are_part_of():
    rows = {4, 200}
    optimiser = event("Optimizer.step#AdamW.step")
    for expected, one in {
        breakdown.ACTIVATIONS: event("aten::mm", [(16, 200), (200, 32)]),
        breakdown.WEIGHTS: event("aten::addmm", [(32, 16), (32, 16), (16, 16)]),
        breakdown.SPARSE: event("aten::copy_", [(16, 200)], event("aten::sparse_sampled_addmm")),
        breakdown.ATTENTION: event("aten::_scaled_dot_product_flash_attention_for_cpu"),
        breakdown.OPTIMISER: event("aten::mm", [(16, 200), (200, 32)], event("aten::f", (), optimiser)),
        breakdown.REST: event("aten::gelu", [(200, 16)]),
    }.items():
        assert breakdown.group_of(one, rows) == expected


def test_setups_and_attaching_are_timed_for_every_way():
    setting = replace(settings.TINY, methods=("full_ft", "frod", "peft_frod", "peft_dropin"))
    found = basis.measure(setting)
    assert list(found["methods"]) == list(basis.LABELS)
    assert found["default"] in basis.PRECISIONS
    assert found["bytes"] > 4 * 2 * (5 * 16**2 + 32**2)  # V and its inverse in float32
    assert all(len(row["seconds"]) == setting.rounds for row in found["methods"].values())
    attached = attach.measure(setting)
    assert list(attached["methods"]) == ["frod", "peft_frod", "peft_dropin"]
    assert "peft_frod" in attached["methods"]["frod"]["ratio_to"]
    for kind, record in ((basis, found), (attach, attached)):
        assert len(kind.lines(record)) == 3 + len(record["methods"])


def test_the_dearest_category_is_extracted_from_files(tmp_path):
    record = category.measure(replace(settings.TINY, dtype="bfloat16"))
    assert (record["category"], record["layers"], record["m"], record["n"]) == ("layers.*.mlp.fc2", 2, 16, 32)
    assert record["bytes"] > 2 * 16 * 32 * 2
    row = record["methods"]["float64"]
    assert row["peak"] > 10**7
    assert row["facts"]["largest_reconstruction_error"] < 1e-10
    assert "layers.*.mlp.fc2, 2 layers of 16 x 32" in category.lines(record)[0]


def test_a_picture_shows_every_method_s_seconds():
    row = {"median": 2.0, "seconds": [1.5, 2.5], "ratio_to": {"full_ft": {"median": 1.25}}}
    record = {"setting": settings.CLIP_CPU.record(), "methods": {"full_ft": row, "frod": row | {"median": 2.25}}}
    svg = draw.draw([record, record])
    assert svg.count("clip-vit-b32, 12 layers, cpu, float32, batch 64</text>") == 2
    assert svg.count(">2.25 s, 1.25 ×<") == 2
    assert svg.count(">full fine-tuning</text>") == 2
    xml.etree.ElementTree.fromstring(svg)


def test_every_goal_is_measured_by_a_suite():
    for goal in goals.GOALS:
        measured = [setting for setting, kinds in settings.SUITES[goal.where["device"]].values() if goal.kind in kinds]
        fitting = [one for one in measured if goal.fits({"setting": one.record()})]
        assert len(fitting) == 1 or (goal.kind == "basis" and fitting), goal
        if goal.what in ("full_ft", "peft_frod", "cold", "float32", "cached"):
            assert ("full_ft" if goal.what == "full_ft" else "peft_frod") in fitting[0].methods


def results(setting, ratio):
    record = {"kind": "step", "setting": setting.record(), "floor": 1.25}
    record["methods"] = {"frod": {"ratio_to": {"full_ft": {"median": ratio}}}}
    return {"step": [record], "memory": [], "basis": [], "category": [], "input": []}


@pytest.mark.parametrize(("ratio", "met"), [(1.29, "yes"), (1.31, "no")])
def test_a_goal_is_met_up_to_its_limit(ratio, met):
    lines = table.goal_block(results(settings.CLIP_CPU, ratio), "cpu")
    first = next(line for line in lines if "batch 64" in line and "step / full" in line)
    assert first.split()[-5:] == ["1.3", str(ratio), "1.25", f"{ratio / 1.25:.2f}", met]
    assert sum("not measured" in line for line in lines) == 17  # the other goals on the CPU


@pytest.mark.parametrize("change", [{"batch": 32}, {"layers": 2}, {"sparse_rate": 0.02}, {"dtype": "bfloat16"}])
def test_another_configuration_does_not_count_for_a_goal(change):
    found = results(replace(settings.CLIP_CPU, **change), 0.1)
    assert all(record is None for _, record in goals.judged(found))


def test_fewer_blocks_of_a_7b_shape_count_and_more_blocks_count_first():
    found = results(replace(settings.LLAMA, layers=4), 1.4)
    found["step"] += results(replace(settings.LLAMA, layers=16), 1.6)["step"]
    (record,) = [record for _, record in goals.judged(found, "cuda") if record is not None]
    assert record["setting"]["layers"] == 16


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("model", "gpt", "clip-vit-b32, roberta-large, llama-2-7b, tiny"),
        ("methods", ("frodo",), "'frodo' is none of full_ft, frod,"),
        ("layers", 13, "clip-vit-b32 has 12; 0 takes all"),
        ("rounds", 0, "rounds=0 must be at least 1"),
    ],
)
def test_an_impossible_setting_names_what_is_possible(field, value, expected):
    with pytest.raises(ValueError, match=expected):
        settings.Setting(**{field: value})


def test_settings_survive_the_command_line():
    for setting in (setting for suite in settings.SUITES.values() for setting, _ in suite.values()):
        assert settings.setting_of(settings.parser("").parse_args(setting.arguments())) == setting


def test_a_result_says_what_machine_it_is_of_and_not_whose(tmp_path):
    record = records.start("step", "nothing", settings.TINY)
    path = records.write(tmp_path, settings.TINY.key, record)
    written = path.read_text()
    machine = json.loads(written)["machine"]
    assert machine["packages"]["torch"] == torch.__version__.split("+")[0]
    assert machine["threads"] == torch.get_num_threads()
    assert {"processor", "cores", "memory_bytes", "load_average", "load_average_after", "python"} <= set(machine)
    for private in (str(ROOT), str(Path.home()), sys.prefix):
        assert private not in written
    assert list(records.read(tmp_path, "step")) == ["cpu-tiny-b2"]


def test_a_busy_machine_is_told():
    quiet, loud = ({"machine": {"cores": 2, "load_average_after": [load, 0, 0]}} for load in (2.1, 4.4))
    assert text.busy(quiet) == []
    assert text.busy(loud) == ["The machine was busy: load average 4.4 on 2 cores at the end."]


def test_files_of_other_forms_are_passed_over(tmp_path):
    (tmp_path / "step-cpu-batch64.json").write_text('{"what": "an older form"}')
    assert records.read(tmp_path, "step") == {}


def test_make_bench_gpu_installs_nothing():
    # As if typed: within `make test`, make would take this one for a part of itself.
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-n", "bench-gpu"]
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1:] == ["-m", "bench", "--device", "cuda"]
