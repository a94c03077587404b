# The shared basis: once per backbone, for all its tasks, methods and seeds. Of a large model its parts, a few kinds of
# layers each, are extracted side by side (basis.parts).


rule basis_part:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
    output:
        part=temp(directory(f"{PATHS.data}/bases/{{backbone}}/{{basis}}.parts/{{part}}")),
    log:
        "logs/basis/{backbone}/{basis}/part-{part}.log",
    wildcard_constraints:
        basis="[^/]+",
        part="[0-9]+",
    priority: urgency
    conda:
        "../envs/frod.yaml"
    threads: lambda wildcards: resources_of_basis(wildcards).threads
    resources:
        mem_mb=lambda wildcards: resources_of_basis(wildcards).mem_mb,
        runtime=lambda wildcards: resources_of_basis(wildcards).runtime,
        slurm_partition=PARTITION,
        slurm_account=ACCOUNT,
    params:
        spec=lambda wildcards: spec_of_basis(wildcards.backbone),
        parts=WORKFLOW.params.basis.parts,
        numerics=NUMERICS,
        code=CODE["basis_part"],
    message:
        "shared basis of {wildcards.backbone}, part {wildcards.part}"
    shell:
        "python -m frod basis_part --spec {params.spec:q} --backbone $(dirname {input.source:q}) --part {wildcards.part}"
        " --parts {params.parts} --out {output.part:q} --threads {threads} > {log:q} 2>&1"


rule basis:
    input:
        source=f"{PATHS.data}/models/{{backbone}}/source.json",
        parts=lambda wildcards: parts_of_basis(wildcards.backbone, wildcards.basis),
    output:
        manifest=f"{PATHS.data}/bases/{{backbone}}/{{basis}}/manifest.json",
    log:
        "logs/basis/{backbone}/{basis}.log",
    wildcard_constraints:
        basis="[^/]+",
    priority: urgency
    conda:
        "../envs/frod.yaml"
    threads: lambda wildcards: resources_of_basis(wildcards).threads
    resources:
        mem_mb=lambda wildcards: resources_of_basis(wildcards).mem_mb,
        runtime=lambda wildcards: resources_of_basis(wildcards).runtime,
        slurm_partition=PARTITION,
        slurm_account=ACCOUNT,
    params:
        spec=lambda wildcards: spec_of_basis(wildcards.backbone),
        join=lambda wildcards, input: [f"--join {part}" for part in input.parts],
        numerics=NUMERICS,
        code=CODE["basis"],
    message:
        "shared basis of {wildcards.backbone}"
    shell:
        "python -m frod basis --spec {params.spec:q} --backbone $(dirname {input.source:q})"
        " --out $(dirname {output.manifest:q}) --threads {threads} {params.join} > {log:q} 2>&1"
