#!/usr/bin/env bash
# Trains as two ranks under torchrun: the bits of one process; SIGTERM to torchrun stops both; the run goes on.
#
# usage: tests/launchers/torchrun.sh target/release/hh-runtime [TORCHRUN]
set -euo pipefail
program=$(realpath "${1:?the program}")
torchrun=${2:-torchrun}
[ "$torchrun" = torchrun ] || torchrun=$(realpath -s "$torchrun")
source "$(dirname "$0")/common.sh"

"$program" $train --accumulate 2 --threads 1 --out one > one.txt 2>&1

say "torchrun --no-python --nproc-per-node 2 hh-runtime train"
"$torchrun" --no-python --nproc-per-node 2 "$program" $train --out two > two.txt 2>&1
grep -E "^validation|^ranks" two.txt
same one two

say "the same with --standalone, ended with SIGTERM"
"$torchrun" --standalone --no-python --nproc-per-node 2 "$program" $train --out three > three.txt 2>&1 &
run=$!
logged three 30
kill -TERM $run
wait $run || echo "torchrun: exit code $?"
grep "^stopped" three.txt

say "torchrun --no-python --nproc-per-node 2 hh-runtime train --resume"
"$torchrun" --no-python --nproc-per-node 2 "$program" train --resume three > resumed.txt 2>&1
same one three
