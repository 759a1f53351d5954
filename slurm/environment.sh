# shellcheck shell=bash
# Every job sources this file first, if it is submitted by hand; `compare.py` writes its own from slurm/cluster.yaml.
# The file may also set:
#   code=FOLDER                    folder of Codebook (default: where the job was submitted)
#   requeues=20                    how often a job that was stopped or lost a node is requeued (default: 20)
#   processes=2                    training processes per node (default: one per GPU, or one)
#   srun_options=(--container-image=codebook.sqsh)         options of srun, such as those of pyxis
#   container=(apptainer exec --nv codebook.sif)           prefix of every command
# shellcheck source=/dev/null
source .venv/bin/activate
