# One training per task, backbone, method and seed.


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
    log:
        f"logs/train/{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}/seed-{{seed}}.log",
    conda:
        "../envs/frod.yaml"
    threads: RESOURCES.threads
    resources:
        mem_mb=RESOURCES.mem_mb,
        runtime=RESOURCES.runtime,
        gpu=RESOURCES.gpu,
    params:
        spec=lambda wildcards: json.dumps(run_of(wildcards).resolved()),
        basis=lambda wildcards, input: (f"--basis {Path(input.basis).parent}" if input.basis else ""),
        code=CODE["train"],
    message:
        "training {wildcards.task} {wildcards.method} seed {wildcards.seed}"
    shell:
        "python -m frod train --spec {params.spec:q} --backbone $(dirname {input.source:q}) --task $(dirname {input.task:q})"
        " {params.basis} --out $(dirname {output.record:q}) --threads {threads} > {log:q} 2>&1"
