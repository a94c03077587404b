# Metrics of each run from its predictions, mirrored to MLflow; the spectrum of what it changed in the weights, and how
# sharp the loss is around them; then one table of all runs. One job for all seeds of a method: it takes seconds, most of them to import MLflow or torch.

SPECTRA = [f"{PATHS.results}/{folder}/spectrum.parquet" for folder in WORKFLOW.folders()]
SHARPNESS = [f"{PATHS.results}/{folder}/sharpness.parquet" for folder in WORKFLOW.folders()]

# All that the runs leave. No rule needs the most of it once there is a report; the target `runs` makes what is missing.
RUN_FILES = [
    f"{RESULTS}/summary.parquet",
    *SPECTRA,
    *SHARPNESS,
    *[f"{PATHS.results}/{folder}/tune/rates.json" for folder in WORKFLOW.folders(tuned=True)],
    *[f"{PATHS.results}/{trial.key}.json" for trial in WORKFLOW.trials],
    *[file for output in [*rules.train.output, "metrics.json"] for file in of_all_runs(Path(output).name)],
]


rule evaluate:
    input:
        task=TASK,
        runs=of_all_seeds("record.json", "predictions.parquet"),
        # Of these only the mirror is told.
        history=of_all_seeds("history.parquet"),
        rates=rates_of_run,
        trials=of_all_trials("json"),
    output:
        metrics=of_all_seeds("metrics.json"),
    log:
        f"logs/evaluate/{OF_METHOD}.log",
    conda:
        "../envs/frod.yaml"
    params:
        runs=run_options,
        experiment=WORKFLOW.name,
        numerics=NUMERICS,
        code=CODE["evaluate"],
    message:
        "metrics of {wildcards.task} {wildcards.method}"
    shell:
        "python -m frod evaluate {params.runs:q} --task {input.task:q} --experiment {params.experiment:q} > {log:q} 2>&1"


rule spectrum:
    input:
        model=MODEL,
        task=TASK,
        basis=basis_of_run,
        rates=rates_of_run,
        runs=of_all_seeds(*[Path(output).name for output in rules.train.output]),
    output:
        spectrum=f"{METHOD}/spectrum.parquet",
        sharpness=f"{METHOD}/sharpness.parquet",
    log:
        f"logs/spectrum/{OF_METHOD}.log",
    conda:
        "../envs/frod.yaml"
    threads: lambda wildcards: resources_of(wildcards).threads
    resources:
        mem_mb=lambda wildcards: resources_of(wildcards).mem_mb,
        runtime=lambda wildcards: resources_of(wildcards).runtime,
        gpu=gpus_of,
        gres=gres_of,
    params:
        runs=run_options,
        numerics=NUMERICS,
        code=CODE["spectrum"],
    message:
        "spectrum and sharpness of {wildcards.task} {wildcards.method}"
    shell:
        "python -m frod spectrum {params.runs:q} --out {output.spectrum:q} --sharpness {output.sharpness:q}"
        " --threads {threads} > {log:q} 2>&1"


rule summarise:
    input:
        metrics=of_all_runs("metrics.json"),
        records=of_all_runs("record.json"),
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
