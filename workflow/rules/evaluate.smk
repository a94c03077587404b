# Metrics of each run from its predictions, mirrored to MLflow, and the spectrum of what it changed in the weights; then
# one table of all runs. One job for all seeds of a method: it takes seconds, most of them to import MLflow or torch.


rule evaluate:
    input:
        predictions=of_all_seeds(rules.train.output.predictions),
        record=of_all_seeds(rules.train.output.record),
        task=f"{TASK_DATA}/{{task}}/{{backbone}}/manifest.json",
    output:
        metrics=of_all_seeds(f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/metrics.json"),
    log:
        f"logs/evaluate/{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}.log",
    conda:
        "../envs/frod.yaml"
    params:
        runs=lambda wildcards, output: [option("run", file, parent=True) for file in output.metrics],
        experiment=WORKFLOW.name,
        numerics=NUMERICS,
        code=CODE["evaluate"],
    message:
        "metrics of {wildcards.task} {wildcards.method}"
    shell:
        "python -m frod evaluate {params.runs} --task $(dirname {input.task:q})"
        " --experiment {params.experiment:q} > {log:q} 2>&1"


rule spectrum:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
        task=f"{TASK_DATA}/{{task}}/{{backbone}}/manifest.json",
        basis=basis_of_run,
        adapters=of_all_seeds(rules.train.output.adapter),
        records=of_all_seeds(rules.train.output.record),
    output:
        spectrum=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/spectrum.parquet",
    log:
        f"logs/spectrum/{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}.log",
    conda:
        "../envs/frod.yaml"
    threads: lambda wildcards: resources_of(wildcards).threads
    resources:
        mem_mb=lambda wildcards: resources_of(wildcards).mem_mb,
        runtime=lambda wildcards: resources_of(wildcards).runtime,
        gpu=gpus_of,
        gres=gres_of,
        slurm_partition=partition_of,
        slurm_account=ACCOUNT,
    params:
        runs=lambda wildcards, input: [option("run", file, parent=True) for file in input.records],
        numerics=NUMERICS,
        code=CODE["spectrum"],
    message:
        "spectrum of {wildcards.task} {wildcards.method}"
    shell:
        "python -m frod spectrum {params.runs} --out {output.spectrum:q} --threads {threads} > {log:q} 2>&1"


rule summarise:
    input:
        metrics=run_files("metrics.json"),
        records=run_files("record.json"),
    output:
        summary=f"{RESULTS}/summary.parquet",
    log:
        f"logs/summarise/{WORKFLOW.name}.log",
    conda:
        "../envs/frod.yaml"
    params:
        config=lambda wildcards: json.dumps(config),
        numerics=NUMERICS,
        code=CODE["summarise"],
    message:
        "table of all runs"
    shell:
        "python -m frod summarise --params {params.config:q} --out {output.summary:q} > {log:q} 2>&1"
