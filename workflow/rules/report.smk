# The page that a reviewer opens, and the same figures as files.


rule report:
    input:
        summary=rules.summarise.output.summary,
        rates=files_of_rates(),
        dag="docs/dag.svg",
    output:
        page=report(f"{REPORTS}/index.html", caption="../report/page.rst", category="Results"),
        results=report(
            f"{REPORTS}/results.csv",
            caption="../report/results.rst",
            category="Results",
        ),
        metrics=f"{REPORTS}/metrics.json",
        curves=f"{REPORTS}/curves.csv",
    log:
        f"logs/report/{WORKFLOW.name}.log",
    conda:
        "../envs/frod.yaml"
    params:
        config=json.dumps(config),
        suite=json_sha256(WORKFLOW.model_dump(mode="json", include={"suite", "methods", "runs", "skipped"})),
        tasks=TASK_DATA,
        code=CODE["report"],
    message:
        "report of the suite"
    shell:
        "python -m frod report --params {params.config:q} --tasks {params.tasks} --summary {input.summary:q} --dag {input.dag:q}"
        " --out $(dirname {output.page:q}) > {log:q} 2>&1"
