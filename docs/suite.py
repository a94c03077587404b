"""Writes docs/suite.md: every key of a suite's file, from what checks it. Run it as `python docs/suite.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Literal, get_args, get_origin

from frod.backbones.registry import BackboneSpec
from frod.backbones.registry import Local as OwnWeights
from frod.config.rates import Box, Rates, Sampler, Tune
from frod.config.schema import StrictModel
from frod.config.settings import Resources, Training
from frod.config.suite import Experiment, Method, MethodBasis, Suite
from frod.tasks.registry import Columns, Local, SplitSpec, TaskSpec

PAGE = Path(__file__).with_suffix(".md")
SECTIONS: list[tuple[str, str, type[StrictModel]]] = [
    ("The file", "workflow/suites/NAME.yaml", Suite),
    ("An experiment", "`experiments`, a list: tasks that share a model, its rates and its budget.", Experiment),
    ("A method", "`methods`, by name.", Method),
    ("Its basis", "`basis`, of kind frod.", MethodBasis),
    ("Learning rates", "`rates`, and each entry of a `grid`, by method.", Rates),
    ("A box of rates", "`box`, by method: `[lowest, highest]` of each rate.", Box),
    ("The choice of rates", "`tune`.", Tune),
    ("How points are drawn", "`tune: {sampler: ...}`.", Sampler),
    ("Training", "`training`, in params.yaml, the suite and an experiment; the last one counts.", Training),
    ("Resources", "`resources`, of each job; as `training`, but `checkpoint_seconds` in params.yaml alone.", Resources),
    ("A task of your own", "`tasks`, by name; [your-data.md](your-data.md) has examples.", TaskSpec),
    ("Its data", "`source: {path: ...}`.", Local),
    ("Its columns", "`columns`.", Columns),
    ("Its splits", "`train`, `validation`, `test`, and `more_tests` by name.", SplitSpec),
    ("A model of your own", "`backbones`, by name; [mirror.md](mirror.md) has examples.", BackboneSpec),
    ("Its weights", "`source: {path: ...}`.", OwnWeights),
]
HEAD = """# What a suite file holds

`frod init NAME` writes one that runs; `frod params --suite NAME` checks it, with its data, and lists its runs. Unknown
keys are errors. So is a word that YAML 1.1 and 1.2 read differently, and a number in quotes: write `1.0e-3` or `0.001`,
not `1e-3`; `true`, not `yes`.

## Learning rates for a new model

Rates decide more than the method does, and each method needs its own. Give every method a `box`: the lowest and the
highest of each rate. `tune.trials` points are drawn in it, evenly on a log scale, and the best on validation is taken:

```yaml
tune: { trials: 8, seeds: [100] } # seeds: [100, 101] trains each point twice, and takes the mean
experiments:
  - tasks: [sst2]
    backbone: minilm
    box:
      full_ft: { lr: [1.0e-4, 1.0e-2], lr_head: [1.0e-3, 3.0e-2] }
      frod: { lr_scale: [1.0e-3, 1.0e-1], lr_rotation: [1.0e-3, 1.0e-1], lr_head: [1.0e-3, 3.0e-2] }
      lora: { lr: [3.0e-4, 3.0e-2], lr_head: [1.0e-3, 3.0e-2] }
      linear_probe: { lr_head: [1.0e-3, 1.0e-1] }
```

No method has a narrower search than another: the rates outside the head span the same ratio.
More trials, or a second seed, leave those that are there and train only the new ones. The report flags a choice in the
outer eighth of its range: the best rate may lie outside, so move that end for all methods alike, and look again. Trials
never read test; `tune: {training: {...}}` makes them shorter than the runs. A `grid` lists rates one by one instead.
"""


def page() -> str:
    """Return the page."""
    return HEAD + "".join(f"\n## {title}\n\n{about}\n\n{table(model)}" for title, about, model in SECTIONS)


def table(model: type[StrictModel]) -> str:
    """Return a table of a model's keys; ValueError where one is not described."""
    rows = ["| key | default | what it is |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if not field.description:
            raise ValueError(f"{model.__name__}.{name}: has no description")
        if field.is_required():
            default = "needed"
        else:
            value = field.get_default(call_default_factory=True)
            default = "as below" if isinstance(value, StrictModel) else f"`{_written(value)}`"
        text = re.sub(r"\s+", " ", field.description).replace("|", "\\|")
        if choices := [repr(value).strip("'") for value in _literals(field.annotation)]:
            text += f" One of `{'`, `'.join(choices)}`."
        rows.append(f"| `{field.alias or name}` | {default} | {text} |")
    return "\n".join(rows) + "\n"


def _literals(annotation: object) -> tuple[object, ...]:
    """The values that a key may have, where they are listed: also of one that may be null, and of a list of them."""
    inner = get_args(annotation)
    return inner if get_origin(annotation) is Literal else sum((_literals(one) for one in inner), ())


def _written(value: object) -> str:
    """A default as YAML has it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
