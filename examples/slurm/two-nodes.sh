#!/bin/bash
# Trains one run on two nodes, with one process per GPU. Submit it in the workspace: sbatch two-nodes.sh SEED
# Ten minutes before the time limit, the run is saved, and the job is queued again to continue.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR2@600
#SBATCH --requeue
#SBATCH --open-mode=append

export SEED=${1:?a seed is needed} MAIN_NODE PORT
MAIN_NODE=$(hostname) # this script runs on the first node
PORT=$((20000 + SLURM_JOB_ID % 10000))

trap 'asked=yes; kill -USR2 $!' USR2 # srun passes it on to every process
srun --kill-on-bad-exit=1 bash -c '
  exec torchrun --nnodes="$SLURM_NNODES" --node-rank="$SLURM_NODEID" --nproc-per-node="${SLURM_GPUS_ON_NODE:-1}" \
    --rdzv-backend=static --master-addr="$MAIN_NODE" --master-port="$PORT" \
    --signals-to-handle=SIGTERM,SIGINT,SIGUSR2 --shutdown-timeout=540 \
    -m mixhub train --seed "$SEED"' &
wait $!
status=$?
if [ -n "$asked" ]; then # the signal ended the first `wait`, and torchrun hides the status 75
  wait $!
  status=$?
  [ "$status" = 0 ] || scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
