#!/usr/bin/env bash
# Trains as two ranks under mpirun: the bits of one process; a rank that is killed ends the other; and the run goes on.
#
# usage: tests/launchers/mpi.sh target/release/hh-runtime, built with --features mpi
# Debian: apt-get install libopenmpi-dev openmpi-bin libclang-dev
set -euo pipefail
program=$(realpath "${1:?the program}")
source "$(dirname "$0")/common.sh"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpirun=(mpirun --oversubscribe -n 2)
mpirun --version | head -1

"$program" $train --accumulate 2 --threads 1 --out one > one.txt 2>&1

say "mpirun -n 2 hh-runtime train"
"${mpirun[@]}" "$program" $train --out two > two.txt 2>&1
grep -E "^validation|^ranks" two.txt
same one two

say "mpirun -n 2 hh-runtime train, one rank killed with SIGKILL"
"${mpirun[@]}" "$program" $train --out cut > cut.txt 2>&1 &
run=$!
logged cut 30
victim=$(pgrep -P "$run" -n -f "$program")
kill -9 "$victim"
began=$(date +%s%N)
wait $run && { echo "mpirun did not notice"; exit 1; } || echo "mpirun: exit code $?, after $((($(date +%s%N) - began) / 1000000)) ms"

say "mpirun -n 2 hh-runtime train --resume, ended with SIGTERM"
lines=$(wc -l < cut/metrics.jsonl)
"${mpirun[@]}" "$program" train --resume cut > stopped.txt 2>&1 &
run=$!
logged cut $((lines + 10))
kill -TERM "$(pgrep -P "$run" -n -f "$program")"
wait $run || echo "mpirun: exit code $?"
grep "^stopped" stopped.txt

say "mpirun -n 2 hh-runtime train --resume"
"${mpirun[@]}" "$program" train --resume cut > resumed.txt 2>&1
same one cut

say "half an environment"
code=0
OMPI_COMM_WORLD_RANK=0 "$program" $train --out none || code=$?
echo "exit code $code"
[ "$code" = 2 ]
