"""The claims of the paper's abstract, each as a statement that can be tested, with its test and what came out.

A file per claim, each a function from `Evidence` to a verdict with its figures. Nothing here knows of pages or files;
the statistics are in `frod.evaluation`.
"""

from frod.claims.assessment import assess
from frod.claims.evidence import Evidence, OnTest

__all__ = ["Evidence", "OnTest", "assess"]
