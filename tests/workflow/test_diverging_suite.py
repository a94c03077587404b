"""A suite in which FRoD diverges, its only trial included, goes on to its report; the audit agrees, and finds a lie.

A rate near the largest there may be, with weight decay, makes weights grow eightfold a step; no test's own trick.
"""

import json
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from alterations import audit, audited, change, kept

RESULTS, REPORT = Path("results/unstable/digits/digit_vit"), Path("reports/unstable")
RUN, HELD = RESULTS / "frod/seed-0", RESULTS / "full_ft/seed-0"
SUITE = """\
title: Unstable
description: One task, three methods, one seed; FRoD's only rates are absurd.
seeds: [0]
training: { epochs: 1, batch_size: 32, weight_decay: 1.0 }
methods:
  full_ft: {}
  frod: { sparse_rate: 0.02 }
  lora: {}
experiments:
  - tasks: [digits]
    backbone: digit_vit
    grid:
      full_ft: [{ lr: 1.0e-3, lr_head: 1.0e-3 }]
      frod: [{ lr_scale: 1.0e-2, lr_rotation: 9.9, lr_head: 9.9 }]
      lora: [{ lr: 1.0e-3, lr_head: 1.0e-3 }]
"""


@pytest.fixture(scope="module")
def unstable(finished):
    """The tiny project with this suite run to its report; to fail here is to fail to go on."""
    finished.path("workflow/suites/unstable.yaml").write_text(SUITE)
    finished.edit("params.yaml", "suite: tiny", "suite: unstable")
    finished.commit("an unstable suite")
    finished.said = finished.snakemake()
    return finished


def test_the_report_names_the_run_and_the_others_have_their_figures(unstable):
    assert re.search(r"FRoD +diverged +0 ", unstable.said)
    assert "digits/digit_vit/frod/seed-0 (diverged)" in unstable.said
    record = json.loads(unstable.path(RUN / "record.json").read_text())
    said = re.match(r"diverged: step (\d+) of \d+: loss \S+, gradient norm (inf|nan)", record["undefined"])
    history = pd.read_parquet(unstable.path(RUN / "history.parquet"))
    assert len(history) == int(said.group(1)) < record["budget"]["steps"]
    metrics = json.loads(unstable.path(RUN / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert (metrics["metrics"], metrics["undefined"]) == ({}, record["undefined"])
    assert pd.read_parquet(unstable.path(RUN / "predictions.parquet")).empty
    assert pd.read_parquet(unstable.path(RESULTS / "frod/spectrum.parquet")).empty
    assert not pd.read_parquet(unstable.path(RESULTS / "lora/spectrum.parquet")).empty
    rates = json.loads(unstable.path(RESULTS / "frod/tune/rates.json").read_text())
    assert (rates["index"], rates["validation"]) == (0, None)
    assert rates["trials"][0]["undefined"].startswith("diverged: ")
    page = unstable.path(REPORT / "index.html").read_text()
    assert page.index("1 of 3 runs has no figure: 1 diverged") < page.index("What the paper claims")
    assert record["undefined"][:40] in page
    table = pd.read_csv(unstable.path(REPORT / "results.csv")).set_index("method")
    assert table["undefined"].notna().to_dict() == {"frod": True, "full_ft": False, "lora": False}
    assert table["test"].isna().to_dict() == {"frod": True, "full_ft": False, "lora": False}
    claims = json.loads(unstable.path(REPORT / "claims.json").read_text())
    verdicts = {of["id"]: of for of in claims["claims"]}
    for name in ("matches_full_ft", "converges_faster", "more_robust", "full_rank"):
        assert verdicts[name]["verdict"] == "not_supported" and "diverged" in verdicts[name]["reason"].lower(), name
    assert claims["budget"]["same"] and "1 run diverged and stopped" in claims["budget"]["reason"]


def test_the_audit_agrees_with_mlflow_too(unstable):
    findings = audit(unstable.folder, REPORT)
    assert [finding.line() for finding in findings.found] == []
    assert findings.checked["divergences"] == 1 + 1  # the run, and its trial
    assert findings.checked["MLflow runs"] == 3 + 6


def test_a_divergence_that_was_none_is_found(unstable):
    said = json.loads(unstable.path(RUN / "record.json").read_text())["undefined"]
    with kept(unstable.folder, HELD):
        change(unstable.path(HELD / "record.json"), lambda record: record.update(undefined=said))
        lines = audited(unstable.folder, REPORT)
    for start in (
        f"{HELD}/record.json: undefined, by history.parquet, whose",
        f"{HELD}/predictions.parquet: rows, as the record",
        f"{HELD}/adapter.safetensors: tensor ",
    ):
        assert any(line.startswith(start) for line in lines), "\n".join(lines)


def test_it_replays_to_the_bit_packs_and_compares(unstable):
    for path in (RUN, RESULTS / "frod/tune/trial-0-seed-100.json"):
        assert "the same, bit for bit" in unstable.frod("replay", path)[1]
    assert re.search(r"FRoD .* diverged ", unstable.frod("compare", "reports/tiny", REPORT)[1])
    assert unstable.frod("crate", REPORT, "--out", "unstable.zip")[0] == 0
    with zipfile.ZipFile(unstable.path("unstable.zip")) as packed:
        (metadata,) = [json.loads(packed.read(name)) for name in packed.namelist() if name == "ro-crate-metadata.json"]
    told = [one["name"] for one in metadata["@graph"] if "; diverged: step" in str(one.get("description"))]
    assert sorted(told) == [
        "train unstable/digits/digit_vit/frod/seed-0",
        "trial unstable/digits/digit_vit/frod/trial-0-seed-100",
    ]
