"""A comparison on a Slurm cluster: `compare.py submit FILE`.

cluster.py     what slurm/cluster.yaml says of a cluster
graph.py       the jobs of a comparison, what each waits for, and what is done
freeze.py      the code and configuration that the jobs run by
submit.py      sbatch, and scancel
prepare.py     the lists of runs that jobs take their tasks from
state.py       which jobs were submitted, and what Slurm says of them
status.py      what is done, runs, waits or has failed
meet.py        the nodes of a job meet before training starts
*.sbatch       the jobs, which can be submitted by hand as well
"""
