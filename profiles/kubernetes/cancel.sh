#!/bin/sh
# Delete Jobs and their pods, for Snakemake when it is interrupted.
exec kubectl delete job --ignore-not-found --wait=false "$@"
