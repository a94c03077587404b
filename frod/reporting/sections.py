"""What each section of the page says: rows of finished text for the template, which only lays them out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import pandas as pd

from frod.reporting import formatting as show
from frod.reporting.comparison import (
    CONVENTIONS,
    Comparison,
    Headline,
    MethodResult,
    ParameterCount,
    costs,
    parameter_counts,
)
from frod.reporting.curves import broken
from frod.reporting.naming import REFERENCE, SUBJECT, Look, RunKey, metric_label, pair_label

ABSTRACT_SHARE = 0.0172  # trainable parameters, as the paper's abstract states them


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything the page is made from."""

    summary: pd.DataFrame
    histories: Mapping[RunKey, pd.DataFrame]
    records: Mapping[RunKey, Mapping[str, Any]]
    suite: Mapping[str, Any]
    manifests: Mapping[tuple[str, str], Mapping[str, Any]]
    methods: Sequence[str]
    looks: Mapping[str, Look]
    comparisons: Sequence[Comparison]
    headline: Headline | None
    missing: Sequence[RunKey]
    results: str

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each method, from its records; where they do not say, its name."""
        found = {method: method for method in self.methods}
        for key, record in self.records.items():
            found[key.method] = ((record.get("spec") or {}).get("tuner") or {}).get("kind") or key.method
        return found

    def label(self, method: str) -> str:
        """The name of a method."""
        return self.looks[method].label


def context(report: Report, figure_names: Callable[[str, str], dict[str, str]]) -> dict[str, Any]:
    """The template's variables."""
    counts = parameter_counts(report.summary, report.methods, report.kinds)
    suite = report.suite
    return {
        "name": suite["name"],
        "title": suite.get("title") or suite["name"],
        "description": suite.get("description") or "",
        "cannot_show": list(suite.get("cannot_show") or []),
        "rates_chosen": suite.get("rates_chosen") or "not stated in the suite file",
        "sentences": sentences(report, counts),
        "missing": [key.path for key in report.missing],
        "runs_done": len(report.summary),
        "subject": report.looks.get(SUBJECT),
        "reference": report.looks.get(REFERENCE),
        "tasks": [_task(report, comparison, figure_names) for comparison in report.comparisons],
        "conventions": CONVENTIONS,
        "counts": [_count_row(report, count) for count in counts],
        "bases": list(dict.fromkeys(f"{show.count_range(count.base)} on {count.backbone}" for count in counts)),
        "abstract_share": show.share(ABSTRACT_SHARE),
        "costs": _cost_rows(report),
        "has_gpu": bool((report.summary["peak_gpu_bytes"].fillna(0) > 0).any()),
        "budgets": _budget_rows(report),
        "rates": _rate_rows(report),
        "environment": _environment(report),
        "packages": _packages(report),
        "runs": _run_rows(report),
    }


def method_style(looks: Mapping[str, Look]) -> str:
    """Style rules of the methods' colours, by slot: attributes hold the light ones, these the dark."""
    unique = {look.slot: look for look in looks.values()}
    rules = "".join(
        f".s{slot}{{stroke:{look.dark}}}.f{slot}{{fill:{look.dark}}}" for slot, look in sorted(unique.items())
    )
    return f"@media screen and (prefers-color-scheme: dark){{{rules}}}\n"


def sentences(report: Report, counts: Sequence[ParameterCount]) -> list[str]:
    """The summary: what was compared and what came out, in sentences that state figures and no verdict."""
    said = [_what_ran(report)]
    top = report.headline
    if top is None:
        said.append("No task has both FRoD and full fine-tuning on a shared seed, so there is no difference to report.")
    else:
        said += _differences(report, top)
    said += _trained(report, counts)
    return said


def _what_ran(report: Report) -> str:
    tasks, methods = len(report.comparisons), [report.label(method) for method in report.methods]
    seeds = report.summary.groupby(["task", "backbone", "method"])["seed"].nunique()
    per = str(seeds.min()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    return (
        f"{_number(len(report.summary), 'run')}: {_number(tasks, 'task')}, {_number(len(methods), 'method')} "
        f"({', '.join(methods)}), {per} seed{'' if per == '1' else 's'} each, the same budget for every method."
    )


def _differences(report: Report, top: Headline) -> list[str]:
    means = [difference.mean for difference in top.by_task.values()]
    seeds = f"{top.seeds[0]}" if top.seeds[0] == top.seeds[1] else f"{top.seeds[0]} to {top.seeds[1]}"
    said = (
        f"{report.label(top.method)} − {report.label(top.reference)} on test: "
        f"mean difference {show.signed(top.over_tasks.mean)} points over {_number(len(means), 'task')}"
    )
    if len(means) > 1:
        said += f" (by task from {show.signed(min(means))} to {show.signed(max(means))}"
        if top.over_tasks.has_interval:
            said += f"; 95 % interval over tasks {show.interval(top.over_tasks.low, top.over_tasks.high)}"
        said += ")"
    said += f", from {seeds} paired seed{'' if seeds == '1' else 's'} per task."
    if not top.with_interval:
        return [said, "With one seed there is no interval: how much of the difference is chance is unknown."]
    return [
        said,
        f"The paired 95 % interval over seeds contains zero on {top.containing_zero} of {top.with_interval} "
        "tasks that have one. An interval that contains zero does not show that the methods are equal: "
        "with few seeds it is wide.",
    ]


def _trained(report: Report, counts: Sequence[ParameterCount]) -> list[str]:
    shares = [
        f"{show.share_range(count.shares[CONVENTIONS[0]])} of the base parameters on {count.backbone}"
        for count in counts
        if count.method == SUBJECT
    ]
    return [f"{report.label(SUBJECT)} trains {', '.join(shares)} (adapter alone, without the head)."] if shares else []


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _task(report: Report, comparison: Comparison, figure_names: Callable[[str, str], dict[str, str]]) -> dict[str, Any]:
    manifest = report.manifests.get((comparison.task, comparison.backbone)) or {}
    lost = [
        f"{report.label(key.method)} seed {key.seed}: loss not finite in {_number(broken(history), 'step')}"
        for key, history in sorted(report.histories.items())
        if (key.task, key.backbone) == (comparison.task, comparison.backbone) and broken(history)
    ]
    return {
        "task": comparison.task,
        "backbone": comparison.backbone,
        "metric": metric_label(comparison.primary),
        "examples": show.count(comparison.test_examples),
        "classes": manifest.get("num_classes"),
        "figures": figure_names(comparison.task, comparison.backbone),
        "rows": [_result_row(report, result) for result in comparison.results],
        "missing": [
            f"{report.label(key.method) if key.method in report.looks else key.method} seed {key.seed}"
            for key in report.missing
            if (key.task, key.backbone) == (comparison.task, comparison.backbone)
        ],
        "broken": lost,
        "chance": f"one example is {100 / comparison.test_examples:.2g} points" if comparison.test_examples else "",
    }


def _result_row(report: Report, result: MethodResult) -> dict[str, Any]:
    spread, difference = result.spread, result.difference
    return {
        "look": report.looks[result.method],
        "mean": show.points(spread.mean) if spread else "undefined",
        "spread": show.points(spread.spread) if spread and spread.n > 1 else None,
        "seeds": len(result.values),
        "undefined": ", ".join(map(str, result.undefined)),
        "is_reference": result.method == REFERENCE,
        "difference": show.signed(difference.mean) if difference else show.DASH,
        "interval": show.interval(difference.low, difference.high) if difference and difference.has_interval else None,
        "pairs": difference.n if difference else 0,
    }


def _count_row(report: Report, count: ParameterCount) -> dict[str, Any]:
    return {
        "backbone": count.backbone,
        "look": report.looks[count.method],
        "adapter": show.count_range(count.adapter),
        "head": show.count_range(count.head),
        "total": show.count_range(count.total),
        "base": show.count_range(count.base),
        "shares": [show.share_range(count.shares[name]) for name in CONVENTIONS],
        "trains_base": report.kinds[count.method] == REFERENCE,
    }


def _cost_rows(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "pair": pair_label(row["task"], row["backbone"]),
            "look": report.looks[row["method"]],
            "step": show.seconds(row["step_seconds_median"]),
            "ratio": show.ratio(row["step_ratio"]),
            "train": show.seconds(row["train_seconds"]),
            "rss": show.size(row["peak_rss_bytes"]),
            "gpu": show.size(row["peak_gpu_bytes"]),
        }
        for row in costs(report.summary, report.methods)
    ]


def _budget_rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for (task, backbone), runs in report.summary.groupby(["task", "backbone"], sort=False):
        manifest = report.manifests.get((task, backbone)) or {}
        splits = manifest.get("splits") or {}
        counted = {
            "validation": int(runs["validation_examples"].iloc[0]),
            "test": int(runs["test_examples"].iloc[0]),
        }
        sizes = {name: (splits.get(name) or {}).get("rows", counted.get(name)) for name in ("train", *counted)}
        rows.append(
            {
                "pair": pair_label(task, backbone),
                "splits": [show.count(sizes[name]) for name in ("train", "validation", "test")],
                "steps": show.count_range([int(value) for value in runs["steps"]]),
                "batch": show.count_range([int(value) for value in runs["batch_size"]]),
                "seen": show.count_range([int(value) for value in runs["examples"]]),
                "epochs": ", ".join(sorted({show.plain(float(value)) for value in runs["epochs"]})),
                "orders": [
                    f"seed {seed}: {str(of_seed['order_sha256'].iloc[0])[:8]}" for seed, of_seed in runs.groupby("seed")
                ],
                "source": _source(manifest),
            }
        )
    return rows


def _source(manifest: Mapping[str, Any]) -> str:
    source = manifest.get("source") or {}
    what = source.get("what") if isinstance(source, Mapping) else source
    what = what if isinstance(what, str) else json.dumps(what, sort_keys=True) if what else show.DASH
    revision = source.get("revision") if isinstance(source, Mapping) else None
    return f"{what} @ {str(revision)[:12]}" if revision else what


def _rate_rows(report: Report) -> list[dict[str, Any]]:
    """Peak learning rates as the optimiser had them: the highest of each lr column of the histories."""
    rows: dict[tuple[str, str, str], set[str]] = {}
    for key in sorted(report.histories):
        history = report.histories[key]
        columns = [column for column in history.columns if column.startswith("lr_")]
        rates = ", ".join(f"{column[3:]} {show.rate(float(history[column].max()))}" for column in columns)
        rows.setdefault((key.task, key.backbone, key.method), set()).add(rates or show.DASH)
    return [
        {
            "pair": pair_label(comparison.task, comparison.backbone),
            "look": report.looks[method],
            "rates": " / ".join(sorted(rows[comparison.task, comparison.backbone, method])),
        }
        for comparison in report.comparisons
        for method in report.methods
        if (comparison.task, comparison.backbone, method) in rows
    ]


def _environment(report: Report) -> list[tuple[str, list[str]]]:
    """What ran the suite; several values where runs differ, each with how many runs it holds for."""
    wanted = (
        ("git commit", lambda r: _commit(r["code"])),
        ("code hash", lambda r: str(r["code"]["hash"])[:12]),
        ("python", lambda r: r["environment"].get("python")),
        ("processor", lambda r: r["environment"].get("processor")),
        ("accelerator", lambda r: r["environment"].get("accelerator") or "none"),
        ("threads", lambda r: r["environment"].get("threads")),
        ("deterministic", lambda r: r["environment"].get("deterministic")),
    )
    records = [report.records[key] for key in sorted(report.records)]
    rows = [(name, _tally([show.plain(read(record)) for record in records])) for name, read in wanted]
    started = sorted(str(record["started"]) for record in records if record.get("started"))
    finished = sorted(str(record["finished"]) for record in records if record.get("finished"))
    if started and finished:
        rows.append(("when", [f"{started[0]} to {finished[-1]}"]))
    return rows


def _commit(code: Mapping[str, Any]) -> str:
    commit = str(code.get("git_commit") or "not in a git repository")[:12]
    return f"{commit}, with uncommitted changes" if code.get("git_dirty") else commit


def _tally(values: Sequence[str]) -> list[str]:
    counted = {value: values.count(value) for value in values}
    if len(counted) == 1:
        return list(counted)
    return [f"{value} ({_number(times, 'run')})" for value, times in counted.items()]


def _packages(report: Report) -> list[tuple[str, list[str]]]:
    records = [report.records[key] for key in sorted(report.records)]
    installed = [record["environment"].get("packages") or {} for record in records]
    names = sorted({name for packages in installed for name in packages})
    return [(name, _tally([show.plain(packages.get(name)) for packages in installed])) for name in names]


def _run_rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for row in report.summary.to_dict("records"):
        key = RunKey(row["task"], row["backbone"], row["method"], int(row["seed"]))
        folder = "/".join([report.results, *(quote(part) for part in (report.suite["name"], *key.path.split("/")))])
        rows.append(
            {
                "pair": pair_label(key.task, key.backbone),
                "look": report.looks[key.method],
                "seed": key.seed,
                "validation": show.points(row["validation"], 2),
                "test": "undefined" if math.isnan(row["test"]) else show.points(row["test"], 2),
                "train": show.seconds(row["train_seconds"]),
                "href": f"{folder}/record.json",
                "sha": row["record_sha256"][:12],
            }
        )
    return rows
