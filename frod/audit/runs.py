"""Runs: each has a record that fits its place, the plan and its own files, and is comparable with the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from frod.audit.findings import NOTHING, Findings
from frod.audit.study import Study, read_json
from frod.audit.traces import Traces
from frod.config import Rates, Run
from frod.provenance import records
from frod.provenance.run_keys import DIVERGED, RunKey

OUTPUTS = ("adapter.safetensors", "history.parquet", "predictions.parquet")
FILES = (*OUTPUTS, "record.json", "metrics.json")
STREAMS = ("head", "adapter", "order", "dropout")
AGAIN = "run it again"


def check_record(study: Study, key: RunKey, findings: Findings) -> None:
    """Hold one record against its place, the plan, its inputs and its outputs."""
    from frod.training.seeds import stream

    run, folder = study.runs[key], study.folder(key)
    path = folder / "record.json"
    if key not in study.records:
        if path.is_file():
            findings.add(path, "is no record", "a JSON table", "something else", remedy=AGAIN)
        return
    record = study.records[key]
    try:
        records.check_record(record, where="record")
    except ValueError as error:
        findings.add(path, str(error), remedy=AGAIN)
        return
    place = {"suite": study.workflow.name, **key._asdict()}
    findings.equal(path, "run (of another place)", place, record["run"], remedy="put it where it belongs")
    findings.equal(path, "protocol", run.protocol, record.get("protocol"), remedy=AGAIN)
    with findings.guard(path, "its parameters"):
        chosen = _chosen(study, run)
        with_rates = run.model_copy(update={"rates": Rates(**chosen["rates"])}) if chosen else run
        findings.equal(path, "spec", with_rates.resolved(), record["spec"], remedy=AGAIN)
        tuning = chosen and {"trials": len(chosen["trials"]), "seeds": chosen["seeds"], "chosen": chosen["index"]}
        findings.equal(path, "tuning", tuning, record.get("tuning"), remedy=AGAIN)
    _check_files(study, run, folder, record, findings)
    seeds = {name: stream(run.seed, name) for name in STREAMS} | {"run": run.seed, "split": run.split_seed}
    findings.equal(path, "seeds", seeds, record["seeds"], remedy=AGAIN)
    with findings.guard(path, "its budget and order of examples"):
        findings.equal(path, "budget", budget(study, run), record["budget"], remedy=AGAIN)
        findings.checked["orders of examples"] += 1
        expected = evaluations(study, Traces.of_run(study, key))
        findings.equal(path, "evaluations", expected, dict(record["evaluations"]), remedy=AGAIN)
    findings.checked["runs"] += 1


def _chosen(study: Study, run: Run) -> dict[str, Any] | None:
    """What rates.json says, where the run's rates are chosen by trials."""
    if run.rates is not None:
        return None
    path = study.tune(run.task, run.backbone, run.method) / "rates.json"
    chosen = read_json(path)
    if not isinstance(chosen, dict):
        raise ValueError(f"{path} is missing or no JSON")
    return chosen


def _check_files(study: Study, run: Run, folder: Path, record: Mapping[str, Any], findings: Findings) -> None:
    path = folder / "record.json"
    inputs = study.inputs(run, tuned=True)
    for name, found in inputs.items():
        stated = record["inputs"].get(name)
        if stated is None:
            findings.add(path, f"inputs: {name}", "named, as the run needs it", NOTHING, remedy=AGAIN)
        elif found != stated:
            findings.add(name, f"is not what {path} says the run read", stated, found or NOTHING, remedy=AGAIN)
    findings.checked["hashes"] += len(inputs)
    outputs = {str(folder / name) for name in OUTPUTS}
    for what, named, known in (("inputs", record["inputs"], set(inputs)), ("outputs", record["outputs"], outputs)):
        for name in sorted(set(named) - known):
            findings.add(path, f"{what}: {name}", NOTHING, "named, and none of this run's")
    for name in sorted(outputs):
        if name in record["outputs"]:
            study.digests.compare(findings, name, record["outputs"][name], by=str(path), remedy=AGAIN)
        else:
            findings.add(path, f"outputs: {name}", "named", NOTHING, remedy=AGAIN)


def budget(study: Study, run: Run) -> dict[str, Any]:
    """Steps, examples and their order as this run must have had them; those of one seed are laid down once."""
    from frod.training import order, seeds

    def plan() -> dict[str, Any]:
        train = study.split(run.task, run.backbone, "train")
        chosen = seeds.subset(train.labels, run.training.max_train, run.split_seed)
        return asdict(order.plan(len(chosen), run.training, run.seed, train.lengths[chosen])[0])

    return study.once((run.task, run.backbone, run.seed, run.split_seed, run.training.model_dump_json()), plan)


def evaluations(study: Study, left: Traces) -> dict[str, int]:
    """How often a training must have read each split: tests once, at the end, a trial never.

    Only the released protocol looks at test after every epoch.
    """
    run, said = left.run, left.undefined
    splits = study.manifest(run.task, run.backbone)["splits"]
    tests = [] if left.is_trial else [name for name in splits if name.startswith("test")]
    watched, planned = "test" if run.protocol == "released" else "validation", budget(study, run)
    expected = dict.fromkeys(tests, 1) | {watched: looks(planned)}
    return expected if said is None else _until(said, left.history, planned["steps_per_epoch"], expected, watched)


def _until(said: str, history: Path, per_epoch: int, whole: Mapping[str, int], watched: str) -> dict[str, int]:
    """How often a run that diverged had read each split by then."""
    import pyarrow.parquet as pq

    steps = pq.read_metadata(history).num_rows
    tests = [name for name in whole if name != watched]
    lost = next((name for name in whole if said.startswith(f"{DIVERGED}: scores on {name} ")), None)
    if lost in tests:  # after the last step, when tests are read one after the other
        return dict(whole) | dict.fromkeys(tests[tests.index(lost) + 1 :], 0)
    looked = (steps - 1) // per_epoch if lost is None else -(-steps // per_epoch)
    return dict.fromkeys(tests, 0) | {watched: looked}


def looks(budget: Mapping[str, Any]) -> int:
    """How often a training predicts the split it watches: after each epoch, the last of which may be a part."""
    return -(-budget["steps"] // budget["steps_per_epoch"])


def check_comparable(study: Study, findings: Findings) -> None:
    """Runs that are compared had one budget, split, order of examples, protocol, number of trials, data and weights."""
    groups: dict[tuple[str, str, int], list[RunKey]] = {}
    for key in study.records:
        groups.setdefault((key.task, key.backbone, key.seed), []).append(key)
    for keys in groups.values():
        facts = {key: _compared(study, key) for key in keys}
        usual = max(facts.values(), key=list(facts.values()).count)
        for key in keys:
            path = study.folder(key) / "record.json"
            findings.equal(path, "differs from the runs it is compared with in", usual, facts[key], remedy=AGAIN)
    findings.checked["groups of compared runs"] += len(groups)
    kinds = {str((record.get("environment") or {}).get("numerics", "native")) for record in study.records.values()}
    if len(kinds) > 1:
        findings.notes.append(f"runs were made under other numerics than others: {'; '.join(sorted(kinds))}")


def _compared(study: Study, key: RunKey) -> dict[str, Any]:
    run, record = study.runs[key], study.records[key]
    budget, inputs = record.get("budget") or {}, record.get("inputs") or {}
    basis = study.basis(run)  # methods may differ in theirs
    common = study.inputs(run, tuned=False).keys() - {str(basis / "manifest.json") if basis else None}
    seeds, tuning = record.get("seeds") or {}, record.get("tuning") or {}
    return {
        "protocol": record.get("protocol"),
        "budget": budget,
        "split": seeds.get("split"),
        "order of examples": seeds.get("order"),
        "trials": tuning.get("trials", 0),
        "inputs": {path: inputs.get(path) for path in sorted(common)},
    }
