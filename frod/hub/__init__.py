"""The Hugging Face Hub, and folders laid out like it: where files of models and data sets come from."""

from frod.hub.access import Kind, Snapshot, snapshot

__all__ = ["Kind", "Snapshot", "snapshot"]
