# Weights of the backbones, and each task as arrays ready for its backbone.


rule backbone:
    output:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
    params:
        spec=lambda wildcards: BACKBONES[wildcards.backbone].model_dump_json(by_alias=True),
        code=CODE["backbone"],
    log:
        "logs/backbone/{backbone}.log",
    threads: 1
    retries: 2
    conda:
        "../envs/frod.yaml"
    message:
        "weights of {wildcards.backbone}"
    shell:
        "frod backbone --spec {params.spec:q} --out $(dirname {output.source:q}) --threads {threads} > {log:q} 2>&1"


rule task:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
    output:
        manifest=f"{PATHS.data}/tasks/{{task}}/{{backbone}}/manifest.json",
    params:
        spec=lambda wildcards: TASKS[wildcards.task].model_dump_json(by_alias=True),
        seed=WORKFLOW.params.split.seed,
        code=CODE["task"],
    log:
        "logs/task/{task}/{backbone}.log",
    threads: 1
    conda:
        "../envs/frod.yaml"
    message:
        "task {wildcards.task} prepared for {wildcards.backbone}"
    shell:
        "frod task --spec {params.spec:q} --backbone $(dirname {input.source:q}) --seed {params.seed}"
        " --out $(dirname {output.manifest:q}) > {log:q} 2>&1"
