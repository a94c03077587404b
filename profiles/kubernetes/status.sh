#!/bin/sh
# running, success or failed: the state of a Job, for Snakemake. A Job that was deleted has failed.
state=$(kubectl get job "$1" --ignore-not-found -o 'jsonpath={.metadata.name}:{.status.conditions[?(@.status=="True")].type}') || {
  echo running # the cluster does not answer: ask again
  exit
}
case "$state" in
  *Failed*) echo failed ;;
  *Complete*) echo success ;;
  "") echo failed ;;
  *) echo running ;;
esac
