"""Tasks on which full fine-tuning itself is not above chance: a difference there says nothing of the methods."""

from __future__ import annotations

import math
from statistics import fmean

from frod.claims.evidence import Evidence, Pair
from frod.evaluation.formatting import p_value
from frod.evaluation.inference import binomial_p
from frod.provenance.run_keys import REFERENCE

LEVEL = 0.05


def uninformative(evidence: Evidence) -> dict[Pair, str]:
    """Return the tasks on which the reference's accuracy may be chance, and why, in a sentence.

    By an exact binomial test, one-sided: mean accuracy over seeds, on as many examples as test has, against one of the
    classes drawn at random. It looks at the reference alone, so that it favours no method. Tasks with another metric
    than accuracy are not judged.
    """
    found = {}
    for pair, methods in evidence.points.items():
        manifest = evidence.manifests.get(pair)
        accuracies = [value for value in methods.get(REFERENCE, {}).values() if not math.isnan(value)]
        if manifest is None or evidence.metrics[pair] != "accuracy" or not accuracies:
            continue
        examples, classes = manifest["splits"]["test"]["rows"], manifest["num_classes"]
        right = round(fmean(accuracies) / 100 * examples)
        p = binomial_p(right, examples, 1 / classes)
        if p > LEVEL:
            found[pair] = (
                f"{right} of {examples} right on average, where one of {classes} classes at random gives "
                f"{examples / classes:.0f}: p {p_value(p)}"
            )
    return found
