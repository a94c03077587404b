# Metrics of each run from its predictions, mirrored to MLflow; then one table of all runs.


rule evaluate:
    input:
        predictions=rules.train.output.predictions,
        record=rules.train.output.record,
        task=f"{TASK_DATA}/{{task}}/{{backbone}}/manifest.json",
    output:
        metrics=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/metrics.json",
    log:
        f"logs/evaluate/{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}.log",
    conda:
        "../envs/frod.yaml"
    params:
        experiment=WORKFLOW.name,
        code=CODE["evaluate"],
    message:
        "metrics of {wildcards.task} {wildcards.method} seed {wildcards.seed}"
    shell:
        "python -m frod evaluate --run $(dirname {output.metrics:q}) --task $(dirname {input.task:q})"
        " --experiment {params.experiment:q} > {log:q} 2>&1"


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
        config=json.dumps(config),
        code=CODE["summarise"],
    message:
        "table of all runs"
    shell:
        "python -m frod summarise --params {params.config:q} --out {output.summary:q} > {log:q} 2>&1"
