#!/usr/bin/env bash
# Trains under a SLURM of one node, which this script starts in a temporary folder: munged, slurmctld and slurmd. A run of two
# ranks is pre-empted by a job of higher priority, goes on, is cancelled with SIGTERM, goes on from a batch script, and ends with
# the bits of one process that was never stopped.
#
# usage, as root: tests/launchers/slurm.sh target/release/hh-runtime
# Debian: apt-get install slurmctld slurmd munge slurm-client
set -euo pipefail
program=$(realpath "${1:?the program}")
source "$(dirname "$0")/common.sh"

host=$(hostname -s)
mkdir slurm slurm/state slurm/spool
chmod 755 "$work" slurm
dd if=/dev/urandom of=slurm/munge.key bs=1024 count=1 status=none
chmod 400 slurm/munge.key
munged --force --key-file="$work/slurm/munge.key" --socket="$work/slurm/munge.socket" --pid-file="$work/slurm/munged.pid" \
    --log-file="$work/slurm/munged.log" --seed-file="$work/slurm/munged.seed" 2> slurm/munged.err
cat > slurm/slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/slurm/munge.socket
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/slurm/state
SlurmdSpoolDir=$work/slurm/spool
SlurmctldPidFile=$work/slurm/slurmctld.pid
SlurmdPidFile=$work/slurm/slurmd.pid
SlurmctldLogFile=$work/slurm/slurmctld.log
SlurmdLogFile=$work/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
KillWait=30
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=low Nodes=$host Default=YES PriorityTier=1 GraceTime=30
PartitionName=high Nodes=$host PriorityTier=2 PreemptMode=OFF
CONF
export SLURM_CONF=$work/slurm/slurm.conf
slurmctld
slurmd
stop_daemons() {
    for name in slurmd slurmctld munged; do
        pid=$(cat "$work/slurm/$name.pid" 2> /dev/null) || continue
        kill "$pid" || true
        # It writes its state at the end.
        for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
    done
}
at_exit stop_daemons
for _ in $(seq 60); do
    sinfo -h -o %T 2> /dev/null | grep -q idle && break
    sleep 0.5
done
sinfo -h -o '%T' | grep -q idle || { tail -5 slurm/*.log; exit 1; }
echo "SLURM $(sinfo --version | cut -d' ' -f2), node $(sinfo -h -o '%N %T %c CPUs' | head -1)"

say "one process, never stopped"
"$program" $train --accumulate 2 --threads 1 --out one > one.txt 2>&1
tail -5 one.txt | grep validation

say "srun -p low -n 2 hh-runtime train, pre-empted by a job of the partition \`high\`"
srun -p low -n 2 "$program" $train --out two > pre-empted.txt 2>&1 &
first=$!
logged two 10
srun -p high -n 2 true
wait $first || echo "srun: exit code $?"
grep "^stopped" pre-empted.txt

say "srun -n 2 hh-runtime train --resume, cancelled with scancel --signal=TERM"
logged_before=$(wc -l < two/metrics.jsonl)
srun -p low -n 2 -J again "$program" train --resume two > cancelled.txt 2>&1 &
second=$!
logged two $((logged_before + 10))
scancel --name=again --signal=TERM
wait $second || echo "srun: exit code $?"
grep "^stopped" cancelled.txt

say "sbatch -n 2 --wrap 'srun hh-runtime train --resume two'"
sbatch --wait -p low -n 2 -o batch.txt --wrap "srun '$program' train --resume two" > submitted.txt
grep -E "^validation|^ranks" batch.txt
same one two

say "sbatch -n 2 --wrap 'hh-runtime train', without srun"
sbatch --wait -p low -n 2 -o alone.txt --wrap "'$program' ${train/--steps $STEPS/--steps 50} --accumulate 2 --threads 1 --out alone" > submitted.txt || tail -3 alone.txt
grep "^one process" alone.txt
