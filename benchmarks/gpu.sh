#!/usr/bin/env bash
# Everything that docs/benchmarks.md wants to know of a GPU, in one call of at most ten minutes, from the repository's root:
#
#   bash benchmarks/gpu.sh OUT
#   DRY=1 JAX_PLATFORMS=cpu bash benchmarks/gpu.sh OUT     the same in small sizes, to try it anywhere
#
# Each part has a limit of its own and keeps its output in OUT; those that matter most come first. PYTHON names the
# interpreter. It fails if a part does.
set -uo pipefail
if [ $# -ne 1 ]; then
  echo "usage: bash benchmarks/gpu.sh OUT" >&2
  exit 2
fi
out=$1
mkdir -p "$out"
export PYTHON=${PYTHON:-python3} PYTHONUNBUFFERED=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
failed=0

part() { # part NAME SECONDS COMMAND...
  local name=$1 limit=$2 began=$SECONDS status=0
  shift 2
  timeout "$limit" "$@" > "$out/$name.txt" 2> "$out/$name.err" || status=$?
  echo "== $name: exit $status after $((SECONDS - began)) s"
  tail -n 40 "$out/$name.txt"
  if [ "$status" -ne 0 ]; then
    tail -n 5 "$out/$name.err"
    failed=1
  fi
}

small=(--size 32 --batch 16 --repeats 2)
step=(--variant mu --batch 2 --size 32 --repeats 1)
if [ -z "${DRY:-}" ]; then
  small=(--size 224 --repeats 25)
  step=()
fi

part driver 20 bash -c 'if command -v nvidia-smi; then nvidia-smi; fi'
part card 60 "$PYTHON" -c '
import os, time
import jax, jax.numpy as jnp
dry = bool(os.environ.get("DRY"))
print("JAX", jax.__version__, jax.devices())
def seconds(run, *arrays, calls=20):
    run(*arrays).block_until_ready()
    began = time.perf_counter()
    for _ in range(calls):
        result = run(*arrays)
    result.block_until_ready()
    return (time.perf_counter() - began) / calls
values = jnp.ones(1 << (20 if dry else 30), jnp.uint8)
print(f"copying: {2 * values.size / seconds(jax.jit(lambda x: x + 1), values) / 1e9:,.0f} GB/s")
n = 256 if dry else 8192
matrix = jax.random.normal(jax.random.key(0), (n, n), jnp.bfloat16)
print(f"products of bfloat16: {2 * n**3 / seconds(jax.jit(jnp.matmul), matrix, matrix) / 1e12:,.1f} TFLOP/s")'
part encrypt 200 "$PYTHON" -m dkjax bench encrypt "${small[@]}"
part step 300 "$PYTHON" -m dkjax bench step ${step[@]+"${step[@]}"}
exit "$failed"
