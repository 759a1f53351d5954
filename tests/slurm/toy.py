"""A real Slurm on this machine: a controller and several nodes with fake GPUs."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

GPUS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")  # existing files, which Slurm counts
CONFIG = """
ClusterName={name}
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={root}/run/munge.socket,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
SwitchType=switch/none
MailProg=/bin/true
ProctrackType=proctrack/{tracking}
TaskPlugin=task/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/log/jobcomp.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=10
KillWait=30
MinJobAge=3600
GresTypes=gpu
NodeName=DEFAULT CPUs=64 RealMemory=1000000 Gres=gpu:h100:4
NodeName={name}[1-{nodes}] NodeAddr=127.0.{number}.[11-{last}] Port=[{first_port}-{last_port}]
PartitionName=debug Nodes=ALL Default=YES State=UP PriorityTier=5 PreemptMode=OFF
PartitionName=low Nodes=ALL State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
"""
FREEZER = Path("/sys/fs/cgroup/freezer")


class Toy:
    """The cluster. Slurm's commands find it if `SLURM_CONF` names its configuration."""

    def __init__(self, root: Path, number: int = 0, nodes: int = 3) -> None:
        """Create a cluster below `root`; clusters that run at the same time need different `number`s."""
        name = f"tn{chr(ord('a') + number)}"
        self.root, self.nodes = root, [f"{name}{node}" for node in range(1, nodes + 1)]
        self.daemons: dict[str, subprocess.Popen] = {}
        for folder in ("state", "log", "munge", "run", *(f"spool/{node}" for node in self.nodes)):
            (root / folder).mkdir(parents=True)
        (root / "munge").chmod(0o700)
        key = root / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        ports = free_ports(26_000 + 1000 * number, nodes + 1)
        tracking = "cgroup" if FREEZER.exists() else "linuxproc"
        (root / "slurm.conf").write_text(
            CONFIG.format(
                root=root,
                name=name,
                number=number,
                nodes=nodes,
                last=10 + nodes,
                controller=ports[0],
                first_port=ports[1],
                last_port=ports[-1],
                tracking=tracking,
            )
        )
        (root / "gres.conf").write_text(f"Name=gpu Type=h100 File={','.join(GPUS)}\n")
        if tracking == "cgroup":
            (root / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        addresses = [f"127.0.{number}.{10 + node} {name}{node}" for node in range(1, nodes + 1)]
        (root / "hosts").write_text("\n".join(["127.0.0.1 localhost", *addresses]) + "\n")

    def start(self) -> None:
        """Start the daemons, and wait until every node is idle."""
        munge, socket_ = self.root / "munge", self.root / "run" / "munge.socket"
        files = {"key-file": munge / "key", "socket": socket_, "pid-file": munge / "pid"}
        files |= {"seed-file": munge / "seed", "log-file": munge / "log"}
        options = [f"--{name}={path}" for name, path in files.items()]
        self._start("munged", ["munged", "--foreground", *options])
        wait_for(lambda: call("munge", "-n", "-S", str(socket_)).returncode == 0, "munge")
        self._start("slurmctld", ["slurmctld", "-D", "-c"])
        wait_for(lambda: "UP" in call("scontrol", "ping").stdout, "slurmctld")
        for node in self.nodes:
            self.start_node(node)
        wait_for(lambda: set(self.states()) == {"idle"}, "the nodes")

    def start_node(self, node: str) -> None:
        """Power a node on."""
        inside = f"hostname {node}; mount --bind {self.root}/hosts /etc/hosts; exec slurmd -D -N {node}"
        self._start(node, ["unshare", "--uts", "--mount", "bash", "-c", inside])

    def states(self) -> list[str]:
        """The state of each node in Slurm."""
        return call("sinfo", "--noheader", "-N", "--format=%T").stdout.split()

    def power_off(self, node: str) -> None:
        """Kill the daemon of a node and all its processes, at once."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        processes = self.processes(node)
        assert processes, "no process of the job is found on the node"
        for process in processes:
            os.kill(process, signal.SIGKILL)

    def processes(self, node: str) -> list[int]:
        """The processes of jobs on a node."""
        files = FREEZER.glob(f"slurm_{node}/**/cgroup.procs")
        return [int(pid) for file in files for pid in file.read_text().split()]

    def stop(self) -> None:
        """Cancel all jobs and end all daemons."""
        if "slurmctld" in self.daemons:
            call("scancel", "--state=PENDING")
            call("scancel", "--state=RUNNING")
            wait_for(lambda: not call("squeue", "--noheader").stdout.strip(), "the end of all jobs")
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            daemon.wait(timeout=20)
        for node in self.nodes:
            folders = sorted(FREEZER.glob(f"slurm_{node}/**/"), reverse=True)
            for folder in folders:
                folder.rmdir()

    def _start(self, name: str, command: list[str]) -> None:
        log = open(self.root / "log" / f"{name}.out", "w")
        # So that the daemons also end if the tests are killed
        self.daemons[name] = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "SLURM_CONF": str(self.root / "slurm.conf")},
        )


@contextmanager
def toy_cluster(number: int) -> Iterator[Toy]:
    """A context in which a cluster runs and Slurm's commands find it."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        root = Path(folder)
        root.chmod(0o755)  # munge requires that everybody can access its socket
        toy = Toy(root, number)
        os.environ["SLURM_CONF"] = str(root / "slurm.conf")
        try:
            toy.start()
            yield toy
        finally:
            toy.stop()
            del os.environ["SLURM_CONF"]


def call(*command: str) -> subprocess.CompletedProcess:
    """Run a command and return the completed process."""
    return subprocess.run(command, capture_output=True, text=True)


def wait_for(true: Callable[[], bool], what: str, seconds: float = 600) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def free_ports(start: int, count: int) -> list[int]:
    """Consecutive free ports."""
    for first in range(start, start + 1000, count):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
            return list(range(first, first + count))
        except OSError:
            continue
    raise AssertionError("no free ports")
