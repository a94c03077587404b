"""What trainings took: records state it, and their histories, two clocks and the weights speak of it.

Nothing measures it again: whoever alters record, history and MLflow together passes, and so the report says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from statistics import median
from typing import TYPE_CHECKING

from frod.audit.findings import Findings
from frod.audit.runs import AGAIN
from frod.audit.study import Study, read_json
from frod.audit.traces import Traces

if TYPE_CHECKING:
    import pyarrow as pa

UNCHECKED = "seconds, memory and machine"
WHY = (
    "records state them; they are held against history, start and end, MLflow and the size of the weights, and nothing "
    "measures them again; logs and benchmarks are not read"
)
CLOCKS = 0.001  # by which the clock that counts seconds and the corrected one that tells the time may differ
AHEAD = timedelta(hours=1)  # by which the clock of the machine that trained may be ahead of this one's
PAGES = 0.02  # by which a process's memory may lie above its peak: the system counts pages in lots
WEIGHTS = (".safetensors", ".bin")


def check(study: Study, left: Traces, table: pa.Table, findings: Findings) -> None:
    """Hold seconds and memory of a training's record against its history, and those against each other."""
    each, seconds = (table[name].to_pylist() for name in ("step_seconds", "seconds"))
    with findings.guard(left.history, "its seconds"):
        added = list(accumulate(each))
        findings.equal(left.history, "seconds, by the sum of step_seconds", added, seconds, remedy=AGAIN)
        if not min(each) > 0:
            findings.add(left.history, "step_seconds", "more than 0", min(each), remedy=AGAIN)
    if not left.record:
        return
    with findings.guard(left.path, "its seconds and memory"):
        resumed = left.record["resumed_from_step"]
        if not isinstance(resumed, int) or not 0 <= resumed < len(each):
            findings.add(left.path, "resumed_from_step", f"0 to {len(each) - 1}", resumed, remedy=AGAIN)
            return
        _check_seconds(left, each, seconds, resumed, findings)
        if not left.is_trial:
            _check_memory(study, left, table.slice(resumed), findings)
        findings.checked["costs"] += 1


def _check_seconds(
    left: Traces, each: Sequence[float], seconds: Sequence[float], resumed: int, findings: Findings
) -> None:
    """Training <= its process <= from start to end; the first steps of one that went on were an earlier process's."""
    stated, record = left.resources, left.record
    trained = stated["train_seconds"]
    if left.undefined is None or trained < seconds[-1]:  # one that stopped had begun steps that its history leaves out
        findings.equal(left.path, "train_seconds, by its history", seconds[-1], trained, remedy=AGAIN)
    spans = [("train_seconds", trained - (seconds[resumed - 1] if resumed else 0.0))]
    if not left.is_trial:
        spans.append(("wall_seconds", stated["wall_seconds"]))
        middle = median(each)
        if not math.isclose(middle, stated["step_seconds_median"], rel_tol=1e-12):
            what, found = "step_seconds_median, by its history", stated["step_seconds_median"]
            findings.add(left.path, what, middle, found, remedy=AGAIN)
    began, ended = (datetime.fromisoformat(record[name]) for name in ("started", "finished"))
    latest = datetime.now(UTC) + AHEAD
    for name, moment in (("started", began), ("finished", ended)):
        if moment > latest:
            findings.add(left.path, name, f"at most {latest.isoformat()}, which is now", record[name], remedy=AGAIN)
    took = (ended - began).total_seconds()
    spans.append(("the time from started to finished", took * (1 + CLOCKS) + CLOCKS))
    for (shorter, less), (longer, more) in pairwise(spans):
        if not less <= more:
            findings.add(left.path, f"{shorter}, by {longer}", f"at most {more}", less, remedy=AGAIN)


def _check_memory(study: Study, left: Traces, since: pa.Table, findings: Findings) -> None:
    """No peak is below what the history saw since the process began, and all together not below the weights."""
    stated = left.resources
    for name, column, spare in (("peak_rss_bytes", "rss_bytes", PAGES), ("peak_gpu_bytes", "gpu_bytes", 0.0)):
        seen = [v for v in since[column].to_pylist() if v is not None] if column in since.column_names else []
        least = max(seen, default=0) * (1 - spare)
        if (stated[name] or 0) < least:
            findings.add(left.path, f"{name}, by its history", f"at least {least:.0f}", stated[name], remedy=AGAIN)
    held = left.record["processes"]["count"] * (stated["peak_rss_bytes"] + (stated["peak_gpu_bytes"] or 0))
    folder = study.model(left.run.backbone)
    named = [name for name in read_json(folder / "source.json")["files"] if name.endswith(WEIGHTS)]
    weights = sum((folder / name).stat().st_size for name in named)
    if held < weights:
        findings.add(left.path, "peak memory, by the size of the weights", f"at least {weights}", held, remedy=AGAIN)
