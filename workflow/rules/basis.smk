# The shared basis: once per backbone, for all its tasks, methods and seeds.


rule basis:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
    output:
        manifest=f"{PATHS.data}/bases/{{backbone}}/{{basis}}/manifest.json",
    log:
        "logs/basis/{backbone}/{basis}.log",
    conda:
        "../envs/frod.yaml"
    threads: max(2, RESOURCES.threads)
    resources:
        mem_mb=RESOURCES.mem_mb,
    params:
        spec=lambda wildcards: json.dumps(
            WORKFLOW.params.basis.model_dump() | {"targets": WORKFLOW.targets_of(wildcards.backbone)}
        ),
        code=CODE["basis"],
    message:
        "shared basis of {wildcards.backbone}"
    shell:
        "python -m frod basis --spec {params.spec:q} --backbone $(dirname {input.source:q})"
        " --out $(dirname {output.manifest:q}) --threads {threads} > {log:q} 2>&1"
