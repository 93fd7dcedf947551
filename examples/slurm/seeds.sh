#!/bin/bash
# Trains one run per seed, each on a node with one process per GPU. Submit it in the workspace:
# sbatch --array=1-5 seeds.sh
# Ten minutes before the time limit, a run is saved, and its job is queued again to continue.
#SBATCH --nodes=1
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR2@600
#SBATCH --requeue
#SBATCH --open-mode=append

srun --ntasks=1 mixhub train --seed "$SLURM_ARRAY_TASK_ID" --num-processes "${SLURM_GPUS_ON_NODE:-1}"
status=$?
if [ "$status" = 75 ]; then
  # SLURM_JOB_ID of the last seed is the number of the whole array
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$status"
