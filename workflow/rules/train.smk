# One training per task, backbone, method and seed. Where the suite has a grid of learning rates, they are chosen before,
# by one trial each, on validation and a seed of their own.


rule trial:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
        task=f"{TASK_DATA}/{{task}}/{{backbone}}/manifest.json",
        basis=basis_of_run,
    output:
        trial=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/tune/trial-{{index}}.json",
    log:
        f"logs/trial/{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}/trial-{{index}}.log",
    wildcard_constraints:
        index="[0-9]+",
    priority: urgency
    group:
        lambda wildcards: shared_job("trial", wildcards)
    conda:
        "../envs/frod.yaml"
    threads: lambda wildcards: max(resources_of(wildcards).threads, resources_of(wildcards).processes)
    resources:
        mem_mb=lambda wildcards: resources_of(wildcards).mem_mb,
        runtime=lambda wildcards: resources_of(wildcards).runtime,
        gpu=gpus_of,
        # Not among the params: the result is the same up to rounding, and another number leaves a finished run alone.
        processes=lambda wildcards: resources_of(wildcards).processes,
        sharded=lambda wildcards: "--sharded" if resources_of(wildcards).sharded else "--no-sharded",
        gres=gres_of,
        slurm_partition=partition_of,
        slurm_account=ACCOUNT,
    params:
        spec=lambda wildcards: json.dumps(trials_of(wildcards)[int(wildcards.index)].run.resolved()),
        basis=lambda wildcards, input: option("basis", input.basis, parent=True),
        numerics=NUMERICS,
        code=CODE["trial"],
    message:
        "trial {wildcards.index} of {wildcards.task} {wildcards.method}"
    shell:
        "python -m frod trial --spec {params.spec:q} --backbone $(dirname {input.source:q}) --task $(dirname {input.task:q})"
        " {params.basis} --out {output.trial:q} --threads {threads}"
        " --processes {resources.processes} {resources.sharded} > {log:q} 2>&1"


rule tune:
    input:
        trials=files_of_trials,
    output:
        rates=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/tune/rates.json",
    log:
        f"logs/tune/{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}.log",
    priority: urgency
    conda:
        "../envs/frod.yaml"
    params:
        trials=lambda wildcards, input: [option("trial", file) for file in input.trials],
        numerics=NUMERICS,
        code=CODE["tune"],
    message:
        "rates of {wildcards.task} {wildcards.method}"
    shell:
        "python -m frod tune {params.trials} --out {output.rates:q} > {log:q} 2>&1"


rule train:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
        task=f"{TASK_DATA}/{{task}}/{{backbone}}/manifest.json",
        basis=basis_of_run,
        rates=rates_of_run,
    output:
        adapter=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/adapter.safetensors",
        history=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/history.parquet",
        predictions=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/predictions.parquet",
        record=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/record.json",
    log:
        f"logs/train/{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}.log",
    priority: urgency
    group:
        lambda wildcards: shared_job("train", wildcards)
    conda:
        "../envs/frod.yaml"
    threads: lambda wildcards: max(resources_of(wildcards).threads, resources_of(wildcards).processes)
    resources:
        mem_mb=lambda wildcards: resources_of(wildcards).mem_mb,
        runtime=lambda wildcards: resources_of(wildcards).runtime,
        gpu=gpus_of,
        # Not among the params: the result is the same up to rounding, and another number leaves a finished run alone.
        processes=lambda wildcards: resources_of(wildcards).processes,
        sharded=lambda wildcards: "--sharded" if resources_of(wildcards).sharded else "--no-sharded",
        gres=gres_of,
        slurm_partition=partition_of,
        slurm_account=ACCOUNT,
    params:
        spec=lambda wildcards: json.dumps(run_of(wildcards).resolved()),
        basis=lambda wildcards, input: option("basis", input.basis, parent=True),
        rates=lambda wildcards, input: option("rates", input.rates),
        numerics=NUMERICS,
        code=CODE["train"],
    message:
        "training {wildcards.task} {wildcards.method} seed {wildcards.seed}"
    shell:
        "python -m frod train --spec {params.spec:q} --backbone $(dirname {input.source:q}) --task $(dirname {input.task:q})"
        " {params.basis} {params.rates} --out $(dirname {output.record:q}) --threads {threads}"
        " --processes {resources.processes} {resources.sharded} > {log:q} 2>&1"
