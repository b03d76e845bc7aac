#!/usr/bin/env bash
# A simulation on the TPU VM this runs on, all of its chips sharing each batch:
#   bash launch/tpu_vm.sh configs/fashion_mnist.toml [dkjax options...]
#
# Run it in a checkout of the repository on a TPU VM with Python 3.11 or newer. The first call installs dkjax in .venv.
set -euo pipefail

if [[ $# -lt 1 ]]; then
    echo "usage: bash launch/tpu_vm.sh CONFIG [dkjax options...]" >&2
    exit 2
fi

if [[ ! -x .venv/bin/dkjax ]]; then
    "${PYTHON:-python3}" -m venv .venv
    .venv/bin/python -m pip install --quiet --editable ".[${DKJAX_EXTRAS:-tpu,demo}]"
fi
exec .venv/bin/dkjax simulate "$@"
