# shellcheck shell=bash
# What every job does first. This file serves jobs that are submitted by hand; `compare.py` writes one of its own from
# slurm/cluster.yaml. It may also set:
#   code=FOLDER                    where Codebook lies (else: where the job was submitted)
#   requeues=20                    how often a job that was stopped or lost a node begins again
#   processes=2                    training processes on a node (else: one for each GPU, or one)
#   srun_options=(--container-image=codebook.sqsh)         for srun, such as pyxis's
#   container=(apptainer exec --nv codebook.sif)           in front of every command
# shellcheck source=/dev/null
source .venv/bin/activate
