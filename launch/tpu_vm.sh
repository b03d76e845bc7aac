#!/usr/bin/env bash
# A simulation, or another command of dkjax, on the TPU VM this runs on, all of its chips sharing each batch; run on all
# hosts of a slice (gcloud compute tpus tpu-vm ssh NAME --worker=all --command=...), they join, and write to one --workdir:
#   bash launch/tpu_vm.sh configs/quickstart.toml [dkjax options...]
#   bash launch/tpu_vm.sh train run.toml --data plant-a.dkds plant-b.dkds --workdir runs/plants
#
# Run it in a checkout of the repository on a TPU VM with Python 3.11 or newer. The first call installs dkjax in .venv.
set -euo pipefail

if [[ $# -lt 1 ]]; then
    echo "usage: bash launch/tpu_vm.sh [COMMAND] CONFIG [dkjax options...]" >&2
    exit 2
fi
# A configuration alone is simulated.
if [[ $1 == *.toml ]]; then
    set -- simulate "$@"
fi

if [[ ! -x .venv/bin/dkjax ]]; then
    "${PYTHON:-python3}" -m venv .venv
    .venv/bin/python -m pip install --quiet --editable ".[${DKJAX_EXTRAS:-tpu,demo}]"
fi
exec .venv/bin/dkjax "$@"
