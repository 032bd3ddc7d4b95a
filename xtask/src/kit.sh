#!/bin/bash
# Everything that one visit to a machine with a GPU asks, from a folder that `cargo xtask gpu --kit` made: `bash kit/run.sh [STAGE…]`.
# Stages: smoke suite ours peers. Each has a deadline, and a stage that fails does not end the run. Results go to $OUT, or ./out.
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$PWD/out}
mkdir -p "$out"
python=${PYTHON:-python3}
wheels=$("$python" -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null) && LD_LIBRARY_PATH=$wheels/cu13/lib:$LD_LIBRARY_PATH
export LD_LIBRARY_PATH=/usr/local/nvidia/lib64:$LD_LIBRARY_PATH
export HH_GOLDEN=$here/golden HH_CUDA_CACHE=${HH_CUDA_CACHE:-$here/cubins} HH_CUDA=${HH_CUDA-0}
# For a rehearsal without a card: HH_CUDA= is the emulated device.
[ -n "$HH_CUDA" ] || unset HH_CUDA
device=${HH_CUDA:-emulated}
reference=()
[ ! -f "$here/reference.py" ] || reference=(--reference "$here/reference.py")

# stage NAME SECONDS COMMAND…
stage() {
    local name=$1 seconds=$2 began=$SECONDS
    shift 2
    timeout --kill-after=5 "$seconds" "$@" >"$out/$name.txt" 2>&1
    echo "$name: rc $? after $((SECONDS - began)) s of $seconds; $(grep -E '^test result|failed' "$out/$name.txt" | tail -n 1)" | tee -a "$out/summary.txt"
}

nvidia-smi -L 2>&1 | tee "$out/card.txt"
date -u | tee -a "$out/card.txt"
for name in "${@:-smoke suite ours peers}"; do
    for name in $name; do
        case $name in
        smoke) stage smoke 60 "$here/all" --exact cuda::kernels_in_bf16::norm cuda::kernels_in_bf16::attend \
            cuda::kernels_in_bf16::matmul cuda::kernels_in_bf16::cross_entropy cuda::recording::a_replayed_step_is_the_step_bit_for_bit \
            --test-threads=1 ;;
        suite) stage suite 140 "$here/all" cuda:: --skip program:: --test-threads=1 ;;
        ours) stage ours 100 "$here/gpu" "$device" --stage steps,kernels --out "$out/ours.jsonl" ;;
        peers) stage peers 200 "$here/gpu" "$device" --stage peers "${reference[@]}" --out "$out/peers.jsonl" ;;
        *) echo "no stage $name: choose of smoke suite ours peers" >&2; exit 2 ;;
        esac
    done
done
