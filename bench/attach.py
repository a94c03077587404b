"""Time how long it takes to put an adapter on a model: `python -m bench.attach --model clip-vit-b32`.

FRoD's basis is at hand, as it is from the second run of a model on; peft's FRoD decomposes at every injection. The
methods take turns in one process, each on a freshly built model (not counted). Writes attach-KEY.json.
"""

from dataclasses import replace
from typing import Any

from bench import records, text, training
from bench.methods import LABELS, METHODS, extract
from bench.models import SHAPES
from bench.settings import TINY, Setting, parser

WHAT = "seconds to put an adapter on a plain model; FRoD's with its basis in memory"


def measure(setting: Setting) -> dict[str, Any]:
    """Take a setting's times; return the result. Full fine-tuning needs no adapter and is left out."""
    record = records.start("attach", WHAT, setting)
    setting = replace(setting, methods=tuple(method for method in setting.methods if method != "full_ft"))
    # Once on a tiny model, so that no import is timed.
    run(replace(TINY, device=setting.device, methods=setting.methods, rounds=1))
    record["methods"] = run(setting)
    training.summarise(record["methods"])
    return record


def run(setting: Setting) -> dict[str, dict[str, Any]]:
    """Seconds of every method in every round."""
    targets, rate = SHAPES[setting.model].targets, setting.sparse_rate
    basis = extract(training.fresh(setting), targets)
    ways = {
        method: lambda model, method=method: METHODS[method](model, targets, rate, basis) for method in setting.methods
    }
    return training.setups(setting, ways)


def lines(record: dict[str, Any]) -> list[str]:
    """A result as a table."""
    return text.setups(record, LABELS, "adapter")


if __name__ == "__main__":
    records.make(parser(__doc__, rounds=3).parse_args(), measure, lines)
