"""A finished suite as a Workflow Run RO-Crate: its report, runs and workflow in one folder that describes itself.

The profile is Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5), on RO-Crate 1.1: every job of the
workflow is an action with its inputs, outputs, parameters and the command that did it.
"""
