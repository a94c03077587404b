# Weights of the backbones, and each task as arrays ready for its backbone.


rule backbone:
    input:
        own=lambda wildcards: own_files(BACKBONES[wildcards.backbone]),
    output:
        model=directory(MODEL),
    log:
        "logs/backbone/{backbone}.log",
    priority: before_training
    conda:
        "../envs/frod.yaml"
    threads: 1
    resources:
        mem_mb=RESOURCES.mem_mb,
        runtime=RESOURCES.runtime,
    params:
        spec=lambda wildcards: json.dumps(
            spec_of_backbone(wildcards.backbone, BACKBONES, TASKS, WORKFLOW.params.split.seed)
        ),
        own=lambda wildcards: local_inputs.state(own_paths(BACKBONES[wildcards.backbone], TASKS)),
        numerics=NUMERICS,
        code=CODE["backbone"],
    message:
        "weights of {wildcards.backbone}"
    shell:
        "python -m frod backbone --spec {params.spec:q} --out {output.model:q} --threads {threads} > {log:q} 2>&1"


rule task:
    input:
        model=MODEL,
        own=lambda wildcards: own_files(TASKS[wildcards.task]),
    output:
        task=directory(TASK),
    log:
        "logs/task/{task}/{backbone}.log",
    priority: before_training
    conda:
        "../envs/frod.yaml"
    threads: 1
    resources:
        mem_mb=RESOURCES.mem_mb,
        runtime=RESOURCES.runtime,
    params:
        spec=lambda wildcards: json.dumps(spec_of_task(wildcards.task, TASKS)),
        seed=WORKFLOW.params.split.seed,
        protocol=PROTOCOL,
        own=lambda wildcards: local_inputs.state(own_paths(TASKS[wildcards.task], TASKS)),
        numerics=NUMERICS,
        code=CODE["task"],
    message:
        "task {wildcards.task} prepared for {wildcards.backbone}"
    shell:
        "python -m frod task --spec {params.spec:q} --backbone {input.model:q} --seed {params.seed:q}"
        " --protocol {params.protocol:q} --out {output.task:q} > {log:q} 2>&1"
