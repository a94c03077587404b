# The page that a reviewer opens, the tables for machines, and each figure as a file. What is marked with report() also
# stands in the report that Snakemake itself makes: `snakemake --report report.zip`.


rule report:
    input:
        summary=rules.summarise.output.summary,
        rates=[f"{PATHS.results}/{folder}/tune/rates.json" for folder in WORKFLOW.folders(tuned=True)],
        spectra=SPECTRA,
        sharpness=SHARPNESS,
        tasks=[TASK.format(task=task, backbone=backbone) for task, backbone in WORKFLOW.pairs()],
        records=of_all_runs("record.json"),
        histories=of_all_runs("history.parquet"),
        predictions=of_all_runs("predictions.parquet"),
    output:
        page=report(
            f"{REPORTS}/index.html",
            caption="../report/page.rst",
            category="Results",
            labels={"what": "page", "form": "HTML"},
        ),
        claims=report(
            f"{REPORTS}/claims.json",
            caption="../report/claims.rst",
            category="Results",
            labels={"what": "claims and verdicts", "form": "JSON"},
        ),
        results=report(
            f"{REPORTS}/results.csv",
            caption="../report/results.rst",
            category="Results",
            labels={"what": "all runs", "form": "CSV"},
        ),
        latex=report(
            f"{REPORTS}/results.tex",
            caption="../report/comparison.rst",
            category="Results",
            labels={"what": "comparison", "form": "LaTeX"},
        ),
        markdown=report(
            f"{REPORTS}/summary.md",
            caption="../report/summary.rst",
            category="Results",
            labels={"what": "summary", "form": "Markdown"},
        ),
        metrics=f"{REPORTS}/metrics.json",
        curves=f"{REPORTS}/curves.csv",
        digests=f"{REPORTS}/runs.json",
        manifest=f"{REPORTS}/report.json",
        figures=report(
            directory(f"{REPORTS}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels=lambda wildcards: labels_of_figure(wildcards.figure),
        ),
        runs=report(
            directory(f"{REPORTS}/runs"),
            patterns=["{task}/{backbone}/{method}.html"],
            caption="../report/runs.rst",
            category="Runs",
            labels={"task": "{task}", "model": "{backbone}", "method": "{method}"},
        ),
    log:
        f"logs/report/{WORKFLOW.name}.log",
    conda:
        "../envs/frod.yaml"
    params:
        config=lambda wildcards: json.dumps(config),
        out=subpath(output.page, parent=True),
        suite=json_sha256(WORKFLOW.model_dump(mode="json", include={"suite", "methods", "runs", "skipped"})),
        tasks=lambda wildcards, input: str(Path(input.tasks[0]).parents[1]),
        numerics=NUMERICS,
        code=CODE["report"],
    message:
        "report of the suite"
    shell:
        "python -m frod report --params {params.config:q} --tasks {params.tasks:q} --summary {input.summary:q}"
        " --out {params.out:q} > {log:q} 2>&1"
