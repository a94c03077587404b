# The shape of the project's own workflow with jobs of a few milliseconds, for tests of what DVC and Snakemake do together.
import json
from pathlib import Path

import yaml

from frod.pipeline import bookkeeping
from frod.provenance.code import code_hash


configfile: "params.yaml"


SUITE = config["suite"]
SEEDS = yaml.safe_load(Path(f"workflow/suites/{SUITE}.yaml").read_text())["seeds"]
CODE = {name: code_hash(f"frod.cli.{name}", exclude=()) for name in ["data", "basis", "train", "report"]}
RUN = f"results/{SUITE}/digits/vit/frod/seed-{{seed}}"

bookkeeping.keep(workflow, suite=SUITE)


rule all:
    default_target: True
    input:
        f"reports/{SUITE}/index.html",


rule data:
    input:
        "data/tasks/digits/vit",


rule bases:
    input:
        "data/bases/vit",


rule runs:
    input:
        f"results/{SUITE}/summary.json",


rule backbone:
    output:
        model=directory("data/models/vit"),
    params:
        spec=json.dumps(config["model"]),
        code=CODE["data"],
    shell:
        "python -m frod.cli.data {params.spec:q} -- {output}"


rule task:
    input:
        "data/models/vit",
    output:
        directory("data/tasks/digits/vit"),
    params:
        spec=json.dumps(config["split"]),
        code=CODE["data"],
    shell:
        "python -m frod.cli.data {params.spec:q} {input} -- {output}"


rule basis:
    input:
        "data/models/vit",
    output:
        directory("data/bases/vit"),
    params:
        spec=json.dumps(config["basis"]),
        code=CODE["basis"],
    shell:
        "python -m frod.cli.basis {params.spec:q} {input} -- {output}"


rule train:
    input:
        "data/tasks/digits/vit",
        "data/bases/vit",
    output:
        f"{RUN}/adapter.bin",
        f"{RUN}/record.json",
    benchmark:
        "benchmarks/train/{seed}.tsv"
    params:
        spec=json.dumps(config["training"]),
        code=CODE["train"],
    shell:
        "python -m frod.cli.train {params.spec:q} {input[0]} -- {output}"


rule summarise:
    input:
        expand(f"{RUN}/record.json", seed=SEEDS),
    output:
        f"results/{SUITE}/summary.json",
    shell:
        "cat {input} > {output}"


rule report:
    input:
        summary=f"results/{SUITE}/summary.json",
        note="docs/note.txt",
    output:
        f"reports/{SUITE}/index.html",
        f"reports/{SUITE}/metrics.json",
        f"reports/{SUITE}/curves.csv",
    params:
        code=CODE["report"],
    shell:
        "python -m frod.cli.report x {input} -- {output}"
