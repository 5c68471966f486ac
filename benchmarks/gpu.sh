#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Build, test, time, profile and check scam on a CUDA machine, what matters most first. It needs
# nvcc, torch, Triton, pybind11, ninja, pytest-xdist and pytest-benchmark, but no network.
#
#   benchmarks/gpu.sh OUT                    steps from the first on, for 530 seconds
#   benchmarks/gpu.sh OUT --from compiled    from a step on, after the build
#   --seconds N    what is left of N seconds limits every step
#   --dry-run      the same commands, stubs for what needs a GPU
#
# A step that fails (status 127: the program is not there; 124 or 137: stopped at its limit) does
# not stop the next. OUT receives few files, so that all can be sent back: log.txt, summary.txt
# (step, seconds, status), kernels.jsonl and peers.jsonl (each line as soon as it is measured),
# ncu.csv, profile/. The status is the number of failures.
set -uo pipefail

usage() {
  echo "usage: benchmarks/gpu.sh OUT [--from STEP] [--seconds N] [--dry-run]" >&2
  exit 2
}

out="" from="" seconds=530 dry="" rest="" failures=0
while [ $# -gt 0 ]; do
  case "$1" in
    --from | --seconds)
      [ $# -gt 1 ] || usage
      printf -v "${1#--}" %s "$2"
      shift 2 ;;
    --dry-run) dry=1; shift ;;
    -*) usage ;;
    *) [ -z "$out" ] || usage; out="$1"; shift ;;
  esac
done
[ -n "$out" ] || usage
mkdir -p "$out" && out="$(cd "$out" && pwd)" || exit 2
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
before="build warm" # what a step needs on a machine that has run none yet
[[ "$from" != @(compiled|fuzz) ]] || before=build
if [ -n "$from" ] && ! grep -qE "^step $from " benchmarks/gpu.sh; then
  known="$(sed -nE 's/^step ([a-z-]+) .*/\1/p' benchmarks/gpu.sh | paste -sd ' ')"
  echo "benchmarks/gpu.sh: error: --from $from: expected one of $known" >&2
  exit 2
fi

python="${PYTHON:-python3}" device=cuda backends="cuda triton" jobs=14
tests=("$python" -m pytest -p no:cacheprovider)
install=("$python" -m pip install --quiet --no-build-isolation --no-deps -e .)
export PYTHONUNBUFFERED=1 SCAM_BUILD_CPU=0 SCAM_BUILD_CUDA=1 SCAM_CUDA_TARGETS=sm_90 python out
if [ -n "$dry" ]; then
  device=cpu backends=cpu jobs=0
  export SCAM_BUILD_CUDA=auto
  tests+=(--collect-only)
  install=("$python" setup.py --name)
  # Programs that a machine without a GPU lacks: each runs what it is given to run.
  stubs="$(mktemp -d)" && trap 'rm -r "$stubs"' EXIT
  for name in nvidia-smi ncu compute-sanitizer; do
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/sh' 'until [ $# = 0 ] || [ "$1" = "$python" ]; do shift; done' \
      '[ $# = 0 ] || exec "$@"' >"$stubs/$name"
    chmod +x "$stubs/$name"
  done
  PATH="$stubs:$PATH"
fi
export device

note() { printf '%-12s %5s s  %s\n' "$@" | tee -a "$out/summary.txt"; }

step() { # NAME LIMIT COMMAND...
  local name="$1" limit="$2" begin=$SECONDS left=$((seconds - SECONDS)) status size
  shift 2
  [ "$name" != "$from" ] || from=""
  [ -z "$from" ] || [[ " $before " = *" $name "* ]] || return
  if [ -n "$rest" ] || [ "$left" -lt 15 ]; then
    rest="${rest:-$name}"
    return
  fi
  [ "$limit" -le "$left" ] || limit=$left
  printf '\n===== %s: %s\n' "$name" "$*" >>"$out/log.txt"
  size=$(stat -c %s "$out/log.txt")
  # SIGINT lets pytest report; what still runs after it is killed, with its children.
  timeout --signal=INT --kill-after=5 "$limit" "$@" >>"$out/log.txt" 2>&1
  status=$?
  [ "$status" = 0 ] || failures=$((failures + 1))
  tail -c "+$((size + 1))" "$out/log.txt" | tail -n 8 | cut -c 1-160
  note "$name" $((SECONDS - begin)) "status $status"
}

gpu_tests=(tests/kernels/test_cuda_gpu.py tests/kernels/test_triton_gpu.py
           tests/kernels/test_triton_affine_gpu.py tests/benchmarks/test_benchmark_peers.py)
kernels=("$python" -m benchmarks.kernels)
# shellcheck disable=SC2206
on=(--device $device --backends $backends --out "$out/kernels.jsonl")
warm=(warm --processes 14)
# Without the caching allocator every tensor has bounds of its own.
check=(env PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --kernel-regex kns=sca
       --error-exitcode 1 --launch-timeout 0 --tool)
cuda_tests=("${tests[@]}" -v -k bfloat16 "${gpu_tests[0]}")
rivals=("$python" -m pytest --benchmark-only --suite quick --bench-device $device --budget 0.5
        --lines "$out/peers.jsonl" benchmarks/test_attention.py)
training=(--preset celebamask-hq --batch-size 8 --amp --steps 3) # as in warm.py
export lines='cuda %s\ntriton %s\n' seeds=14 problems=10000
if [ -n "$dry" ]; then
  on+=(--budget 0)
  warm+=(--help)
  rivals+=(--collect-only)
  training=(--preset tiny --size 32 32 --steps 1)
  lines='cpu %s\n' seeds=1 problems=3
fi

: >"$out/log.txt"
: >"$out/summary.txt"
# shellcheck disable=SC2016
{
step info 30 sh -c 'nvidia-smi; "$python" -m scam.info'
step build 120 "${install[@]}"
step test-cuda 60 "${tests[@]}" -n $jobs "${gpu_tests[0]}"
step warm 90 "${kernels[@]}" "${warm[@]}"
step test-triton 100 "${tests[@]}" -n $jobs -m gpu "${gpu_tests[@]:1}"
step time 90 "${kernels[@]}" time "${on[@]}"
step launches 45 "${kernels[@]}" launches "${on[@]}"
step ncu 60 ncu --clock-control none --profile-from-start off --csv --log-file "$out/ncu.csv" \
  --section SpeedOfLight --section LaunchStats --section Occupancy --section InstructionStats \
  --section MemoryWorkloadAnalysis --section WarpStateStats "${kernels[@]}" once "${on[@]}"
step memcheck 50 "${check[@]}" memcheck "${cuda_tests[@]}"
step racecheck 50 "${check[@]}" racecheck "${cuda_tests[@]}"
step peers 90 "${rivals[@]}" --no-compile benchmarks/test_modulation.py
step report 20 sh -c '[ ! -s "$out/peers.jsonl" ] ||
  "$python" benchmarks/report.py "$out/peers.jsonl" --targets'
step training 60 sh -c '"$python" -m scam.profile "$@" --both --overwrite --out "$out/profile" &&
  gzip -f "$out"/profile/trace_*.json' - "${training[@]}" --device $device
step compiled 130 "${rivals[@]}" -k "not scaling"
step fuzz 80 sh -c 'printf "$lines" $(seq "$seeds") | xargs -P 14 -L 1 sh -c "\"$python\" \
  benchmarks/fuzz.py --backend \$0 --seed \$1 --device $device --problems $problems --time-limit 60"'
}

[ -z "$rest" ] || note "$rest" - "not run; continue with --from $rest"
printf '\n' && cat "$out/summary.txt"
exit "$failures"
