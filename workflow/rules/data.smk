# Weights of the backbones, and each task as arrays ready for its backbone.


rule backbone:
    output:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
    log:
        "logs/backbone/{backbone}.log",
    priority: urgency
    conda:
        "../envs/frod.yaml"
    threads: 1
    resources:
        mem_mb=RESOURCES.mem_mb,
        runtime=RESOURCES.runtime,
        slurm_partition=PARTITION,
        slurm_account=ACCOUNT,
    params:
        spec=lambda wildcards: json.dumps(
            spec_of_backbone(wildcards.backbone, BACKBONES, TASKS, WORKFLOW.params.split.seed)
        ),
        own=lambda wildcards: state_of_backbone(wildcards.backbone),
        numerics=NUMERICS,
        code=CODE["backbone"],
    message:
        "weights of {wildcards.backbone}"
    shell:
        "python -m frod backbone --spec {params.spec:q} --out $(dirname {output.source:q}) --threads {threads} > {log:q} 2>&1"


rule task:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
    output:
        manifest=f"{TASK_DATA}/{{task}}/{{backbone}}/manifest.json",
    log:
        "logs/task/{task}/{backbone}.log",
    priority: urgency
    conda:
        "../envs/frod.yaml"
    threads: 1
    resources:
        mem_mb=RESOURCES.mem_mb,
        runtime=RESOURCES.runtime,
        slurm_partition=PARTITION,
        slurm_account=ACCOUNT,
    params:
        spec=lambda wildcards: json.dumps(spec_of_task(wildcards.task)),
        seed=WORKFLOW.params.split.seed,
        protocol=PROTOCOL,
        own=lambda wildcards: state_of_own_files(TASKS[wildcards.task]),
        numerics=NUMERICS,
        code=CODE["task"],
    message:
        "task {wildcards.task} prepared for {wildcards.backbone}"
    shell:
        "python -m frod task --spec {params.spec:q} --backbone $(dirname {input.source:q}) --seed {params.seed}"
        " --protocol {params.protocol} --out $(dirname {output.manifest:q}) > {log:q} 2>&1"
