# One training per task, backbone, method and seed. Where the suite has a box or a grid of learning rates, they are chosen
# before, by trials on validation and seeds of their own.


rule train:
    input:
        model=MODEL,
        task=TASK,
        basis=basis_of_run,
        rates=rates_of_run,
    output:
        adapter=f"{RUN}/adapter.safetensors",
        history=f"{RUN}/history.parquet",
        predictions=f"{RUN}/predictions.parquet",
        record=f"{RUN}/record.json",
    log:
        f"logs/train/{OF_METHOD}/seed-{{seed}}.log",
    # Of a job that a warm process carries out (frod/pipeline/warm) only the seconds are true: memory and load are those of the
    # process that waits for it. record.json has the training's own.
    benchmark:
        f"benchmarks/train/{OF_METHOD}/seed-{{seed}}.tsv"
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
        gres=gres_of,
        # The plugin for SLURM calls srun itself, but for jobs that have `mpi`, whatever it says.
        mpi=on_nodes(lambda resources: "srun"),
        nodes=on_nodes(lambda resources: resources.nodes),
        tasks=on_nodes(lambda resources: resources.nodes),
        tasks_per_gpu=on_nodes(lambda resources: 0),
        cpus_per_task=on_nodes(threads_of_node),
    params:
        command="train",
        spec=lambda wildcards: json.dumps(WORKFLOW.find(**wildcards).resolved()),
        backbone=input.model,
        task=input.task,
        basis=lambda wildcards, input: option("basis", input.basis),
        rates=lambda wildcards, input: option("rates", input.rates),
        out=RUN,
        team=team_of,
        srun=srun_of,
        numerics=NUMERICS,
        code=CODE["train"],
    message:
        "training {wildcards.task} {wildcards.method} seed {wildcards.seed}"
    shell:
        "{params.srun:q} python -m frod {params.command:q} --spec {params.spec:q} --backbone {params.backbone:q}"
        " --task {params.task:q} {params.basis:q} {params.rates:q} --out {params.out:q} --threads {threads} {params.team:q}"
        " > {log:q} 2>&1"


use rule train as trial with:
    input:
        model=MODEL,
        task=TASK,
        basis=basis_of_run,
    output:
        trial=f"{METHOD}/tune/{{trial}}.json",
        history=f"{METHOD}/tune/{{trial}}.history.parquet",
        predictions=f"{METHOD}/tune/{{trial}}.predictions.parquet",
    log:
        f"logs/trial/{OF_METHOD}/{{trial}}.log",
    benchmark:
        f"benchmarks/trial/{OF_METHOD}/{{trial}}.tsv"
    wildcard_constraints:
        trial="trial-[0-9]+-seed-[0-9]+",
    group:
        lambda wildcards: shared_job("trial", wildcards)
    params:
        command="trial",
        spec=lambda wildcards: json.dumps(trials_of(wildcards)[wildcards.trial].run.resolved()),
        rates=[],
        out=output.trial,
        code=CODE["trial"],
    message:
        "{wildcards.trial} of {wildcards.task} {wildcards.method}"


rule tune:
    input:
        trials=of_all_trials("json"),
        history=of_all_trials("history.parquet"),
        predictions=of_all_trials("predictions.parquet"),
    output:
        rates=f"{METHOD}/tune/rates.json",
    log:
        f"logs/tune/{OF_METHOD}.log",
    priority: urgency
    conda:
        "../envs/frod.yaml"
    params:
        trials=lambda wildcards, input: option("trial", input.trials),
        box=box_of,
        numerics=NUMERICS,
        code=CODE["tune"],
    message:
        "rates of {wildcards.task} {wildcards.method}"
    shell:
        "python -m frod tune {params.trials:q} {params.box:q} --out {output.rates:q} > {log:q} 2>&1"
