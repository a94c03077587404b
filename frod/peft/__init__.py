"""Adapters to and from the Hugging Face library peft: its names, its grouping of layers, its checkpoints, its U."""
