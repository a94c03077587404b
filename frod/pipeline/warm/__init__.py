"""Warm workers: jobs of a workflow are forked from one process that has imported what they use.

A job is `python -m frod ...` as ever. Where FROD_WARM names the socket of such a process, it hands over its arguments,
environment and descriptors, passes signals on, and ends as its child there ends (`client`). The process starts and ends
with the workflow (`start`, `server`). Where anything differs that could alter a result (`alike`), a job does its work
itself.

On Linux only, and without GPUs: neither CUDA nor other systems' numerical libraries go with fork.
"""
