"""Time how long it takes to put an adapter on a model: `python -m bench.attach --model clip-vit-b32`.

FRoD's basis is at hand, as it is from the second run of a model on; peft's FRoD decomposes at every injection. The
methods take turns in one process, each on a freshly built model (not counted). Writes attach-KEY.json.
"""

from dataclasses import replace
from typing import Any

import torch

from bench import records
from bench.methods import LABELS, extract
from bench.models import SHAPES
from bench.settings import TINY, Setting, parser, setting_of
from bench.step import release, say
from bench.training import fresh, prepared, summarise, turn

WHAT = "seconds to put an adapter on a plain model; FRoD's with its basis in memory"


def measure(setting: Setting) -> dict[str, Any]:
    """Take a setting's times; return the result. Full fine-tuning needs no adapter and is left out."""
    record = records.start("attach", WHAT, setting)
    setting = replace(setting, methods=tuple(method for method in setting.methods if method != "full_ft"))
    # Once on a tiny model, so that no import is timed.
    run(replace(TINY, device=setting.device, methods=setting.methods, rounds=1))
    record["methods"] = run(setting)
    summarise(record["methods"])
    return record


def run(setting: Setting) -> dict[str, dict[str, Any]]:
    """Seconds of every method in every round."""
    basis = extract(fresh(setting), SHAPES[setting.model].targets)
    rows: dict[str, dict[str, Any]] = {method: {"seconds": []} for method in setting.methods}
    for number in range(setting.rounds):
        for method in turn(setting.methods, number):
            model, seconds = prepared(setting, method, basis)
            rows[method]["seconds"].append(seconds)
            if setting.model != TINY.model:
                say(f"round {number + 1} of {setting.rounds}: {method} {seconds:.2f} s")
            del model
            release()
    return rows


def main() -> None:
    """Parse, measure, write, print."""
    from bench import table

    arguments = parser(__doc__, rounds=3).parse_args()
    setting = setting_of(arguments)
    if setting.threads:
        torch.set_num_threads(setting.threads)
    record = measure(setting)
    records.write(arguments.out, setting.shape_key, record)
    print("\n".join(table.setup_block(record, LABELS)))


if __name__ == "__main__":
    main()
