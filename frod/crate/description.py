"""What the files of a crate are: the sources, the workflow and its commands, its jobs, their run as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frod.config import Workflow
from frod.crate import graph, origins
from frod.crate.jobs import RULES, Job
from frod.crate.payload import Known, suite_files
from frod.provenance import code

LICENCE = "Apache-2.0"
PAPER = "https://doi.org/10.48550/arXiv.2512.23485"
WORKFLOW = "Snakefile"
PARAMS = "params.yaml"


class Description:
    """Says in the crate's graph what the files are: the sources, the workflow, its jobs."""

    def __init__(
        self,
        crate: graph.Graph,
        workflow: Workflow,
        report: Mapping[str, Any],
        jobs: list[Job],
        recorded: list[dict[str, Any]],
    ) -> None:
        self._graph, self._workflow, self._report, self._jobs = crate, workflow, report, jobs
        self._records = recorded
        self._references: dict[str, dict[str, str]] = {}
        self._suites = [path.as_posix() for path in suite_files(workflow)]
        self._rules = [rule for rule in RULES if any(job.rule == rule for job in jobs)]

    def all(
        self,
        known: Mapping[str, Known],
        specs: Mapping[str, Mapping[str, Any]],
        author: Mapping[str, str] | None,
    ) -> None:
        """Describe everything."""
        person = self._author(author)
        self._root(person)
        self._files(known)
        self._sources(known, specs)
        self._main(known)
        actions = [self._graph.action(job, self._references) for job in self._jobs]
        self._graph.crate.root_dataset["mentions"] = [self._run(person), *actions]

    def _author(self, author: Mapping[str, str] | None) -> dict[str, str] | None:
        if author is None:
            return None
        identifier = author.get("orcid") or "#author"
        return self._graph.entity(identifier, {"@type": "Person", "name": author["name"]})

    def _root(self, person: dict[str, str] | None) -> None:
        suite = self._workflow.suite
        root = self._graph.crate.root_dataset
        self._graph.profiles()
        cannot = " What it cannot show: " + " ".join(suite.cannot_show) if suite.cannot_show else ""
        paper = {"@type": "ScholarlyArticle", "name": "FRoD (arXiv 2512.23485, AAAI 2026)", "url": PAPER}
        root["name"] = f"FRoD, put to the test: suite {self._workflow.name}"
        root["description"] = f"{suite.title}. {suite.description.strip()}{cannot}"
        root["datePublished"] = graph.moment(self._times()[1])
        root["license"] = self._licence(LICENCE)
        root["citation"] = self._graph.entity(PAPER, paper)
        if person is not None:
            root["author"] = person

    def _licence(self, name: str) -> Any:
        value, entity = origins.licence(name)
        return value if entity is None else self._graph.entity(entity["@id"], entity)

    def _files(self, known: Mapping[str, Known]) -> None:
        for name, one in known.items():
            if name == WORKFLOW or name in map(graph.command, self._rules):
                continue
            about = {"about": {"@id": "./"}} if name == "README.md" else {}
            self._references[name] = self._graph.file(one, **about)

    def _sources(self, known: Mapping[str, Known], specs: Mapping[str, Mapping[str, Any]]) -> None:
        revisions = {}
        for name, one in known.items():
            folder, _, rest = name.partition("/")
            if folder == "data" and rest.endswith(("source.json", "manifest.json")):
                content = json.loads(one.path.read_text(encoding="utf-8"))
                if rest.startswith("models/"):
                    revisions["backbone", content["name"]] = content["revision"]
                elif rest.startswith("tasks/"):
                    revisions["task", content["task"]] = content["source"]["revision"]
        for kind, name in dict.fromkeys(pair for job in self._jobs for pair in job.sources):
            spec = specs[kind][name]
            identifier, about = origins.source(kind, name, spec, revisions.get((kind, name)))
            self._licence(spec.licence)
            self._references[f"{kind}:{name}"] = self._graph.entity(identifier, about)

    def _main(self, known: Mapping[str, Known]) -> None:
        """The Snakefile as the main workflow, one step a rule, and the command of each."""
        for rule in self._rules:
            values = [job.values for job in self._jobs if job.rule == rule]
            names = dict.fromkeys(name for of_job in values for name in of_job)
            tool = self._graph.file(
                known[graph.command(rule)],
                name=f"frod {rule}",
                description=RULES[rule],
                version=code.code_hash(f"frod.cli.{rule}", package="frod"),
                **{"@type": ["File", "SoftwareSourceCode"]},
                **({"input": [{"@id": graph.local(f"#{rule}/{name}")} for name in names]} if names else {}),
            )
            self._references[graph.command(rule)] = tool
        steps = [
            self._graph.entity(
                f"#step/{rule}",
                {"@type": "HowToStep", "name": rule, "description": RULES[rule], "position": str(position)}
                | {"workExample": self._references[graph.command(rule)]},
            )
            for position, rule in enumerate(self._rules, 1)
        ]
        about = known[WORKFLOW]
        versions = {of["environment"]["packages"].get("snakemake", "unknown") for of in self._records}
        results = [file for job in self._jobs if job.rule == "report" for file in job.outputs]
        main = self._graph.crate.add_workflow(
            about.path,
            WORKFLOW,
            main=True,
            lang="snakemake",
            lang_version=", ".join(sorted(versions)),
            properties={
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
                "name": "FRoD, put to the test",
                "encodingFormat": "text/plain",
                "contentSize": str(about.size),
                "sha256": about.sha256,
                "conformsTo": {"@id": graph.WORKFLOW_PROFILE},
                "version": str(self._report["code"]["git_commit"]),
                "license": self._licence(LICENCE),
                "step": steps,
                "hasPart": [self._references[graph.command(rule)] for rule in self._rules],
                "input": [
                    self._slot("parameters", PARAMS),
                    *(self._slot(f"suite {Path(name).stem}", name) for name in self._suites),
                ],
                "output": [
                    self._slot(name, file)
                    for name in ("index.html", "results.csv")
                    for file in results
                    if file.endswith(name)
                ],
                "softwareRequirements": [
                    self._graph.entity(identifier, of) for identifier, of in origins.packages(self._records).items()
                ],
            },
        )
        self._references[WORKFLOW] = {"@id": main.id}

    def _slot(self, parameter: str, file: str) -> dict[str, str]:
        """An input or output of the workflow, and the file that took it."""
        reference = self._references[file]
        slot = self._graph.parameter("workflow", parameter.replace(" ", "-"), "File", workExample=reference)
        self._graph.crate.get(reference["@id"])["exampleOfWork"] = slot
        return slot

    def _run(self, person: dict[str, str] | None) -> dict[str, str]:
        """The run of the whole workflow: from sources and settings to the report and the runs' files."""
        kept = ("tune", "train", "evaluate", "spectrum", "summarise", "report")
        outputs = dict.fromkeys(name for job in self._jobs if job.rule in kept for name in job.outputs)
        outside = dict.fromkeys(f"{kind}:{name}" for job in self._jobs for kind, name in job.sources)
        started, finished = self._times()
        git = self._report["code"]
        commit = f"{git['git_commit']}{', with uncommitted changes' if git['git_dirty'] else ''}"
        about = {
            "@type": "CreateAction",
            "name": f"suite {self._workflow.name}",
            "description": f"{len(self._records)} runs, protocol {self._workflow.params.protocol}; git commit {commit}",
            "instrument": self._references[WORKFLOW],
            "object": [self._references[name] for name in (PARAMS, *self._suites, *outside)],
            "result": [self._references[name] for name in outputs],
            "startTime": graph.moment(started),
            "endTime": graph.moment(finished),
        }
        return self._graph.entity("#run", about | ({"agent": person} if person else {}))

    def _times(self) -> tuple[str, str]:
        return min(record["started"] for record in self._records), max(record["finished"] for record in self._records)
