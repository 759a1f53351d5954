"""The nodes of a job meet at the first one before training starts; one that does not come is named.

    srun --nodes=2 --ntasks=2 --ntasks-per-node=1 python slurm/meet.py ADDRESS MEETING

On every node of a Slurm job, at the same time: ADDRESS is the first node's, MEETING a word of the job's own.
The first node prints ADDRESS:PORT, where the others have reached it. It imports nothing but Python's own, so
that a node that is slow to read its packages is not taken for one that is missing.
"""

import os
import socket
import sys
import time
import zlib
from typing import NoReturn

PATIENCE = 300.0  # seconds until a node is missing; a container may be unpacked first
PORTS = range(20_000, 32_000)  # below those that systems give to outgoing connections


def ports(meeting: str) -> list[int]:
    """Where to meet, the next one where a port is taken: no two jobs on a node begin with the same."""
    first = zlib.crc32(meeting.encode())
    return [PORTS[(first + step * 997) % len(PORTS)] for step in range(10)]


def wait_for_others(address: str, meeting: str, others: list[str], patience: float) -> int:
    """On the first node: return the port when all the others have come.

    Raises:
        SystemExit: one has not; names all that have not.
    """
    try:
        socket.create_server((address, 0)).close()
    except OSError as error:
        end(f"this node cannot be reached at {address}, its address in Slurm ({error})")
    for port in ports(meeting):
        try:
            server = socket.create_server(("", port), backlog=len(others) + 1)  # all of it, as torchrun will
            break
        except OSError as error:
            problem = error
    else:
        end(f"none of ten ports of this node is free ({problem})")
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
    """On another node: return when all have come.

    Raises:
        SystemExit: the first node is not reached, or another one is missing.
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
    end(f"{name} does not reach the first node at {address} ({problem})")


def read_line(connection: socket.socket) -> str:
    """A line from the other side, without its end; what has come by then where the other side is silent."""
    line = b""
    try:
        while not line.endswith(b"\n") and (part := connection.recv(256)):
            line += part
    except OSError:
        pass
    return line.decode(errors="replace").strip()


def end(problem: str) -> NoReturn:
    """Say it in a line, and end."""
    print(f"codebook: the nodes of this job do not meet: {problem}", file=sys.stderr)
    sys.exit(1)


def main(address: str, meeting: str, patience: float = PATIENCE) -> None:
    """Meet the others, as the environment of a Slurm task says who they are."""
    nodes, number = os.environ["NODELIST"].split(), int(os.environ["SLURM_NODEID"])
    if number == 0:
        print(f"{address}:{wait_for_others(address, meeting, nodes[1:], patience)}")
    else:
        reach_first(address, meeting, nodes[number], patience)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
