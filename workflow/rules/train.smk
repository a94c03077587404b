# One training per task, backbone, method and seed.


def basis_of_run(wildcards):
    return basis_file(wildcards.backbone) if run_of(wildcards).tuner.kind == "frod" else []


rule train:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
        task=f"{PATHS.data}/tasks/{{task}}/{{backbone}}/manifest.json",
        basis=basis_of_run,
    output:
        adapter=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/adapter.safetensors",
        history=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/history.parquet",
        predictions=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/predictions.parquet",
        record=f"{RESULTS}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}/record.json",
    params:
        spec=lambda wildcards: json.dumps(run_of(wildcards).resolved()),
        basis=lambda wildcards, input: f"--basis {Path(input.basis).parent}" if input.basis else "",
        code=CODE["train"],
    log:
        f"logs/train/{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}.log",
    threads: RESOURCES.threads
    resources:
        mem_mb=RESOURCES.mem_mb,
        runtime=RESOURCES.runtime,
        gpu=RESOURCES.gpu,
    conda:
        "../envs/frod.yaml"
    message:
        "training {wildcards.task} {wildcards.method} seed {wildcards.seed}"
    shell:
        "frod train --spec {params.spec:q} --backbone $(dirname {input.source:q}) --task $(dirname {input.task:q})"
        " {params.basis} --out $(dirname {output.record:q}) --threads {threads}"
        " --checkpoint-seconds {RESOURCES.checkpoint_seconds} > {log:q} 2>&1"
