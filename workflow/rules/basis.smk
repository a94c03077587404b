# The shared basis: once per backbone, for all its tasks, methods and seeds; where methods differ in theirs, once for each
# basis. Of a large model its parts, a few kinds of layers each, are extracted side by side (basis.parts).

PARTS = WORKFLOW.params.basis.parts


rule basis:
    input:
        model=MODEL,
        parts=[f"{BASIS}.parts/{part}" for part in range(PARTS) if PARTS > 1],
    output:
        basis=directory(BASIS),
    log:
        "logs/basis/{backbone}/{basis}.log",
    benchmark:
        "benchmarks/basis/{backbone}/{basis}.tsv"
    priority: before_training
    conda:
        "../envs/frod.yaml"
    # What a training on the backbone may use, which is more than the extraction needs.
    threads: lambda wildcards: WORKFLOW.resources_on[wildcards.backbone][0].threads
    resources:
        mem_mb=lambda wildcards: WORKFLOW.resources_on[wildcards.backbone][0].mem_mb,
        runtime=lambda wildcards: WORKFLOW.resources_on[wildcards.backbone][0].runtime,
    params:
        command="basis",
        spec=lambda wildcards: WORKFLOW.bases[wildcards.backbone, wildcards.basis].model_dump_json(),
        parts=lambda wildcards, input: option("join", input.parts),
        numerics=NUMERICS,
        code=CODE["basis"],
    message:
        "basis of {wildcards.backbone}, {wildcards.basis}"
    shell:
        "python -m frod {params.command:q} --spec {params.spec:q} --backbone {input.model:q} {params.parts:q}"
        " --out {output:q} --threads {threads} > {log:q} 2>&1"


use rule basis as basis_part with:
    input:
        model=MODEL,
    output:
        part=temp(directory(f"{BASIS}.parts/{{part}}")),
    log:
        "logs/basis/{backbone}/{basis}/part-{part}.log",
    benchmark:
        "benchmarks/basis/{backbone}/{basis}/part-{part}.tsv"
    wildcard_constraints:
        part="[0-9]+",
    params:
        command="basis_part",
        parts=lambda wildcards: ["--part", wildcards.part, "--parts", PARTS],
        code=CODE["basis_part"],
    message:
        "basis of {wildcards.backbone}, {wildcards.basis}, part {wildcards.part}"
