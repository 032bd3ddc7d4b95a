# Sourced by the scripts of this folder: a folder with a text and a tiny model, and what they check.
#
# `train` are the arguments of a run of a few seconds, `work` is the folder, which is removed at the end.

work=$(mktemp -d)
cd "$work"
endings=()
at_exit() { endings=("$1" "${endings[@]}"); }
finish() {
    for ending in "${endings[@]}"; do $ending || true; done
    rm -rf "$work"
}
trap finish EXIT

for _ in $(seq 400); do
    printf 'the quick brown fox jumps over the lazy dog.\npack my box with five dozen liquor jugs!\n'
done > text.txt
cat > tiny.json <<'JSON'
{"width": 16, "layers": 2, "ffn": 16, "head_dim": 4, "ssm_width": 8, "hopfield_width": 8, "attention_width": 8,
 "hopfield_depths": [2, 1], "hopfield_slots": 2, "mixer_hidden": 8, "segments": 2, "controller_width": 8}
JSON
STEPS=${STEPS:-1500}
train="train --config tiny.json --data text.txt --batch 2 --context 16 --dropout 0.1 --steps $STEPS --log-every 5 --save-every 40 --eval-every 100"

say() { printf '\n# %s\n' "$1"; }

# logged RUN LINES: waits until the metrics of a run have as many lines.
logged() {
    for _ in $(seq 6000); do
        [ "$(cat "$1/metrics.jsonl" 2> /dev/null | wc -l)" -ge "$2" ] && return
        sleep 0.02
    done
    echo "$1 never logged $2 lines" >&2
    exit 1
}

# same RUN RUN: the state at the end, bit for bit, without what a checkpoint says of itself.
same() {
    python3 - "$@" <<'PYTHON'
import struct, sys
def tensors(run, file):
    bytes = open(f"{run}/{file}.safetensors", "rb").read()
    return bytes[8 + struct.unpack("<Q", bytes[:8])[0]:]
one, other = sys.argv[1:3]
for file in ["best", "last", "resume"]:
    assert tensors(one, file) == tensors(other, file), f"{file} of {one} and {other} differ"
print(f"{one} and {other}: the same bits in best, last and resume.safetensors")
PYTHON
}
