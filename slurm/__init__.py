"""Run a comparison on a Slurm cluster: `compare.py submit FILE`.

cluster.py     reads slurm/cluster.yaml, the description of the cluster
graph.py       the jobs of a comparison, their dependencies, and which are done
freeze.py      the copy of code and configuration that the jobs use
submit.py      submits and cancels jobs
prepare.py     writes the lists of runs, from which jobs take their tasks
state.py       the submitted jobs and their state in Slurm
status.py      prints what is done, running, waiting or failed
meet.py        makes the nodes of a job meet before training starts
*.sbatch       the jobs, which can also be submitted by hand
"""
