#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Build, check, measure and profile scam on a CUDA machine, in under nine minutes.
#
#   benchmarks/gpu.sh OUT [--stages a,b,...] [--dry-run]
#
# Stages, in order: info build tests fuzz memcheck racecheck bench report profile
# Each has a time limit; one that fails does not stop the next. OUT receives log.txt, summary.txt,
# benchmarks.json, report.md and profile/. The status is the number of stages that failed.
#
# Environment: PYTHON (default python3), SCAM_DEVICE=cuda|cpu (cpu: the same stages on what a
# machine without GPU has), SUITE (default full), FUZZ_PROBLEMS (default 10000), SEED (default 0).
# shellcheck disable=SC2329 # stages are called by their names
set -uo pipefail

readonly STAGES=(info build tests fuzz memcheck racecheck bench report profile)
declare -A LIMIT=([info]=15 [build]=60 [tests]=75 [fuzz]=85 [memcheck]=35 [racecheck]=35
                  [bench]=185 [report]=10 [profile]=35)

usage() {
  echo "usage: benchmarks/gpu.sh OUT [--stages $(IFS=,; echo "${STAGES[*]}")] [--dry-run]" >&2
  exit 2
}

out="" wanted="$(IFS=,; echo "${STAGES[*]}")" dry=0
while [ $# -gt 0 ]; do
  case "$1" in
    --stages) [ $# -gt 1 ] || usage; wanted="$2"; shift 2 ;;
    --dry-run) dry=1; shift ;;
    -*) usage ;;
    *) [ -z "$out" ] || usage; out="$1"; shift ;;
  esac
done
[ -n "$out" ] || usage
for stage in ${wanted//,/ }; do
  if [ -z "${LIMIT[$stage]:-}" ]; then
    echo "benchmarks/gpu.sh: error: stage '$stage': expected one of ${STAGES[*]}" >&2
    exit 2
  fi
done

mkdir -p "$out" || exit 2
out="$(cd "$out" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
readonly self="$PWD/benchmarks/gpu.sh"

python="${PYTHON:-python3}"
device="${SCAM_DEVICE:-cuda}"
suite="${SUITE:-full}"
problems="${FUZZ_PROBLEMS:-10000}"
seed="${SEED:-0}"
log="$out/log.txt"
export PYTHONUNBUFFERED=1

case "$device" in
  cuda) backends=(triton cuda) ;;
  cpu) backends=(cpu) ;;
  *) echo "benchmarks/gpu.sh: error: SCAM_DEVICE=$device: expected cuda or cpu" >&2; exit 2 ;;
esac

stage_info() {
  if [ "$device" = cuda ]; then nvidia-smi; fi
  "$python" -m scam.info
}

stage_build() {
  "$python" -m pip install --quiet --no-build-isolation --no-deps -e . && "$python" -m scam.info
}

stage_tests() {
  if [ "$device" = cpu ]; then
    "$python" -m pytest tests/ops -m "not slow" -x
    return
  fi
  local failed=0 # pytest's 5, no test collected, is no success here
  "$python" -m pytest tests -m gpu || failed=1
  "$python" -m pytest tests/kernels -m "not gpu and not slow" || failed=1
  return "$failed"
}

stage_fuzz() {
  local pids=() failed=0 backend pid
  for backend in "${backends[@]}"; do
    "$python" benchmarks/fuzz.py --backend "$backend" --device "$device" --seed "$seed" \
      --problems "$problems" --time-limit "$((LIMIT[fuzz] - 15))" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return "$failed"
}

sanitize() {
  local backend failed=0
  if [ "$device" = cpu ]; then
    "$python" benchmarks/fuzz.py --backend cpu --device cpu --run-only --problems 20
    return
  fi
  if ! command -v compute-sanitizer >/dev/null; then
    echo "compute-sanitizer is not installed"
    return 3
  fi
  for backend in "${backends[@]}"; do
    # Without the caching allocator every tensor has bounds of its own.
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$1" --error-exitcode 1 \
      --launch-timeout 0 "$python" benchmarks/fuzz.py --backend "$backend" --device cuda \
      --run-only --problems 40 --seed "$seed" --time-limit "$((LIMIT[$1] / 2 - 4))" || failed=1
  done
  return "$failed"
}

stage_memcheck() { sanitize memcheck; }
stage_racecheck() { sanitize racecheck; }

stage_bench() {
  local size=(--suite "$suite" --budget 1)
  if [ "$device" = cpu ]; then size=(--suite quick --budget 0.2 --no-compile); fi
  "$python" -m pytest benchmarks --benchmark-only --bench-device "$device" "${size[@]}" \
    --benchmark-json "$out/benchmarks.json" --durations 10
}

stage_report() {
  "$python" benchmarks/report.py "$out/benchmarks.json" --markdown "$out/report.md" &&
    "$python" benchmarks/report.py "$out/benchmarks.json" --targets
}

stage_profile() {
  local options=(--preset celebamask-hq --batch-size 8 --amp --steps 2)
  if [ "$device" = cpu ]; then options=(--preset tiny --size 32 32 --steps 1); fi
  "$python" -m scam.profile "${options[@]}" --device "$device" --out "$out/profile" &&
    gzip -f "$out"/profile/trace_*.json
}

# A stage runs in a shell of its own: `timeout` cannot call a function of this one.
if [ "${SCAM_GPU_STAGE:-}" ]; then
  trap : INT # what it runs is interrupted too, and is waited for
  "stage_$SCAM_GPU_STAGE"
  exit
fi

if [ "$dry" = 1 ]; then
  for stage in ${wanted//,/ }; do
    echo "== $stage, at most ${LIMIT[$stage]} s"
    declare -f "stage_$stage" | sed '1,2d;$d'
  done
  exit 0
fi

: >"$log"
failures=0
rows=()
begin=$SECONDS
for stage in ${wanted//,/ }; do
  echo "===== $stage =====" | tee -a "$log"
  start=$SECONDS
  # SIGINT lets pytest write what it has measured so far.
  SCAM_GPU_STAGE="$stage" timeout --signal=INT --kill-after=10 "${LIMIT[$stage]}" \
    bash "$self" "$out" >>"$log" 2>&1
  status=$?
  case "$status" in
    0) verdict="ok" ;;
    3) verdict="skipped: $(tail -n 1 "$log")" ;;
    124 | 137) verdict="stopped after ${LIMIT[$stage]} s"; failures=$((failures + 1)) ;;
    *) verdict="failed, status $status"; failures=$((failures + 1)) ;;
  esac
  rows+=("$(printf '%-10s %4d s  %s' "$stage" "$((SECONDS - start))" "$verdict")")
done

{
  echo
  echo "scam on $device, $(date -u +%Y-%m-%d), $((SECONDS - begin)) s, log: $log"
  printf '%s\n' "${rows[@]}"
  if [ -s "$out/report.md" ]; then
    echo
    sed -n '/^## Targets/,/^## Where/p' "$out/report.md" | sed '$d'
  fi
} | tee "$out/summary.txt"
exit "$failures"
