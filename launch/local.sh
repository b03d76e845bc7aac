#!/usr/bin/env bash
# Several processes on this machine that train together, each with one of its GPUs, or with CPU devices of its own:
#   bash launch/local.sh 4 configs/fashion_mnist.toml --workdir runs/fashion
#   JAX_PLATFORMS=cpu bash launch/local.sh 2 train run.toml --data plant-a.dkds plant-b.dkds --workdir runs/plants
#
# One process alone uses all GPUs of a machine, too; this is to try out what several machines will do. SIGTERM and Ctrl-C
# reach all of them; they stop after the same step and exit with 75. Where one fails, the others are ended.
set -uo pipefail

if [[ $# -lt 2 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: bash launch/local.sh PROCESSES [COMMAND] CONFIG [dkjax options...]" >&2
    exit 2
fi
count=$1
shift
# A configuration alone is simulated.
if [[ $1 == *.toml ]]; then
    set -- simulate "$@"
fi

export JAX_COORDINATOR_ADDRESS="127.0.0.1:${DKJAX_PORT:-$((20000 + RANDOM % 12000))}"
export JAX_NUM_PROCESSES="$count"
running=()
for ((index = 0; index < count; index++)); do
    JAX_PROCESS_ID=$index JAX_LOCAL_DEVICE_IDS=$index dkjax "$@" &
    running+=($!)
done
trap 'kill -TERM "${running[@]}" 2>/dev/null' TERM INT

outcome=0
failed_at=
while ((${#running[@]})); do
    left=()
    for process in "${running[@]}"; do
        if kill -0 "$process" 2>/dev/null; then
            left+=("$process")
            continue
        fi
        wait "$process"
        code=$?
        # What the first one says counts, unless it was only stopped and another one fails.
        if ((outcome == 0 || outcome == 75)) && ((code != 0)); then
            outcome=$code
        fi
        if ((code != 0 && code != 75)); then
            failed_at=${failed_at:-$SECONDS}
        fi
    done
    running=("${left[@]}")
    # The others say what is wrong themselves, if they know; what they wait for will not come.
    if [[ -n $failed_at ]] && ((${#running[@]} && SECONDS - failed_at >= ${DKJAX_GRACE:-10})); then
        kill -KILL "${running[@]}" 2>/dev/null
    fi
    sleep 0.1
done
exit "$outcome"
