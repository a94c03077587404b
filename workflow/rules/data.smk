# Weights of the backbones, and each task as arrays ready for its backbone.


rule backbone:
    output:
        source=MODEL,
    log:
        "logs/backbone/{backbone}.log",
    priority: urgency
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
        out=subpath(output.source, parent=True),
        own=lambda wildcards: local_inputs.state(own_paths(BACKBONES[wildcards.backbone], TASKS)),
        numerics=NUMERICS,
        code=CODE["backbone"],
    message:
        "weights of {wildcards.backbone}"
    shell:
        "python -m frod backbone --spec {params.spec:q} --out {params.out:q} --threads {threads} > {log:q} 2>&1"


rule task:
    input:
        source=MODEL,
    output:
        manifest=TASK,
    log:
        "logs/task/{task}/{backbone}.log",
    priority: urgency
    conda:
        "../envs/frod.yaml"
    threads: 1
    resources:
        mem_mb=RESOURCES.mem_mb,
        runtime=RESOURCES.runtime,
    params:
        spec=lambda wildcards: json.dumps(spec_of_task(wildcards.task, TASKS)),
        backbone=subpath(input.source, parent=True),
        out=subpath(output.manifest, parent=True),
        seed=WORKFLOW.params.split.seed,
        protocol=PROTOCOL,
        own=lambda wildcards: local_inputs.state(own_paths(TASKS[wildcards.task], TASKS)),
        numerics=NUMERICS,
        code=CODE["task"],
    message:
        "task {wildcards.task} prepared for {wildcards.backbone}"
    shell:
        "python -m frod task --spec {params.spec:q} --backbone {params.backbone:q} --seed {params.seed:q}"
        " --protocol {params.protocol:q} --out {params.out:q} > {log:q} 2>&1"
