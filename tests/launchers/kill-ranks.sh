#!/usr/bin/env bash
# Kills a rank with SIGKILL at ten random moments, resumes each time, and compares the end with a run that was never killed.
#
# usage: tests/launchers/kill-ranks.sh target/release/hh-runtime [RANKS] [SEED]
set -euo pipefail
program=$(realpath "${1:?the program}")
size=${2:-2}
RANDOM=${3:-1}
STEPS=${STEPS:-4000}
source "$(dirname "$0")/common.sh"
export MASTER_ADDR=127.0.0.1 MASTER_PORT=29611 WORLD_SIZE=$size

env -u WORLD_SIZE "$program" $train --accumulate "$size" --threads 1 --out one > one.txt 2>&1

# start ARGUMENTS: as many ranks; their ids are in `ids`, what rank R says in rankR.txt.
start() {
    ids=()
    for rank in $(seq 0 $((size - 1))); do
        RANK=$rank "$program" "$@" --threads 1 > "rank$rank.txt" 2>&1 &
        ids+=($!)
    done
}
steps() { tail -n 1 two/metrics.jsonl 2> /dev/null | sed -n 's/.*"step":\([0-9]*\).*/\1/p'; }

arguments="$train --out two"
for moment in $(seq 10); do
    start $arguments
    logged two $((10 * moment))
    victim=$((RANDOM % size))
    sleep "0.$(printf %03d $((RANDOM % 700)))"
    kill -9 "${ids[$victim]}"
    began=$(date +%s%N)
    for rank in $(seq 0 $((size - 1))); do
        code=0
        wait "${ids[$rank]}" || code=$?
        expected=$([ "$rank" = "$victim" ] && echo 137 || echo 2)
        [ "$code" = "$expected" ] || { echo "rank $rank ended with exit code $code instead of $expected"; exit 1; }
    done 2> /dev/null
    took=$((($(date +%s%N) - began) / 1000000))
    other=$(((victim + 1) % size))
    echo "$moment: rank $victim killed at step $(steps); the others ended after $took ms: $(tail -n 1 "rank$other.txt" | sed "s#$work/##")"
    arguments="train --resume two"
done
start train --resume two
for id in "${ids[@]}"; do wait "$id"; done
same one two
