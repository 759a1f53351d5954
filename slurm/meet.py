"""Make the nodes of a job meet at the first node before training starts; a missing node is named.

    srun --nodes=2 --ntasks=2 --ntasks-per-node=1 python slurm/meet.py ADDRESS MEETING

It runs on every node of a Slurm job at the same time. ADDRESS is that of the first node, MEETING a word that
is unique to the job. The first node prints ADDRESS:PORT, where the others have reached it. Only the standard
library is imported, so that a node that is slow to read packages does not count as missing.
"""

import os
import socket
import sys
import time
import zlib
from typing import NoReturn

PATIENCE = 300.0  # seconds until a node counts as missing; it may have to unpack a container first
PORTS = range(20_000, 32_000)  # below the ports that systems use for outgoing connections


def ports(meeting: str) -> list[int]:
    """The ports to try, in this order; no two jobs on a node start with the same one."""
    first = zlib.crc32(meeting.encode())
    return [PORTS[(first + step * 997) % len(PORTS)] for step in range(10)]


def wait_for_others(address: str, meeting: str, others: list[str], patience: float) -> int:
    """On the first node: wait until all others have connected, and return the port.

    Raises:
        SystemExit: a node is missing; names all missing ones.
    """
    try:
        socket.create_server((address, 0)).close()
    except OSError as error:
        end(f"this node cannot be reached at {address}, its address in Slurm ({error})")
    for port in ports(meeting):
        try:
            server = socket.create_server(("", port), backlog=len(others) + 1)  # all interfaces, as torchrun
            break
        except OSError as error:
            problem = error
    else:
        end(f"none of ten ports on this node is free ({problem})")
    missing, connections = set(others), []
    until = time.monotonic() + patience
    while missing:
        server.settimeout(max(0.1, until - time.monotonic()))
        try:
            connection, _ = server.accept()
        except TimeoutError:
            names = " and ".join(sorted(missing))
            verb = "has" if len(missing) == 1 else "have"
            end(f"{names} {verb} not reached {address}:{port} within {patience:g} s")
        connection.settimeout(5)
        word, _, name = read_line(connection).partition(" ")
        if word == meeting:
            missing.discard(name)
            connections.append(connection)
    for connection in connections:
        connection.sendall(b"met\n")
        connection.close()
    server.close()
    return port


def reach_first(address: str, meeting: str, name: str, patience: float) -> None:
    """On the other nodes: wait until all nodes have connected.

    Raises:
        SystemExit: the first node cannot be reached, or another node is missing.
    """
    until, problem = time.monotonic() + patience, "no answer"
    while time.monotonic() < until:
        for port in ports(meeting):
            try:
                connection = socket.create_connection((address, port), timeout=5)
                connection.sendall(f"{meeting} {name}\n".encode())
                connection.settimeout(max(0.1, until + 5 - time.monotonic()))
                if read_line(connection) == "met":
                    return
            except OSError as error:
                problem = str(error)
        time.sleep(0.2)
    end(f"{name} cannot reach the first node at {address} ({problem})")


def read_line(connection: socket.socket) -> str:
    """Read a line, without its newline; if the other side falls silent, what has been received so far."""
    line = b""
    try:
        while not line.endswith(b"\n") and (part := connection.recv(256)):
            line += part
    except OSError:
        pass
    return line.decode(errors="replace").strip()


def end(problem: str) -> NoReturn:
    """Print the problem in one line and exit."""
    print(f"codebook: the nodes of this job cannot connect: {problem}", file=sys.stderr)
    sys.exit(1)


def main(address: str, meeting: str, patience: float = PATIENCE) -> None:
    """Meet the other nodes, which are listed in the environment of the Slurm task."""
    nodes, number = os.environ["NODELIST"].split(), int(os.environ["SLURM_NODEID"])
    if number == 0:
        print(f"{address}:{wait_for_others(address, meeting, nodes[1:], patience)}")
    else:
        reach_first(address, meeting, nodes[number], patience)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
