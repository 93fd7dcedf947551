#!/bin/bash
# Evaluates one run per seed, each as soon as it is trained. Submit it in the workspace, after `seeds.sh`:
# sbatch --array=1-5 --dependency=aftercorr:JOB evaluate.sh
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append

mixhub evaluate --seed "$SLURM_ARRAY_TASK_ID"
