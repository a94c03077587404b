# Metrics of each run from its predictions, mirrored to MLflow; then one table of all runs. One job for all seeds of a
# method: it takes seconds, most of them to import MLflow.


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
        code=CODE["evaluate"],
    message:
        "metrics of {wildcards.task} {wildcards.method}"
    shell:
        "python -m frod evaluate {params.runs} --task $(dirname {input.task:q})"
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
