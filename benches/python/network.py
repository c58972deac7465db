"""Echo servers in their own process, under the load generator: requests and what they cost."""

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import memory
from processes import HERE, Child, Failed
from registry import Metric

ROOT = HERE.parent.parent
LIMIT = "raw epoll"

SERVER_CPU = Metric("cpu", "µs CPU", 1e3, 2)
THROUGHPUT = Metric("throughput", "k/s", 1e3, 1)
IDLE = 2_000


def built() -> Path:
    """Where cargo puts the load generator."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "boros-loadgen"


def build() -> None:
    """Builds the load generator; raises Failed."""
    command = ["cargo", "build", "--quiet", "--release", "-p", "boros-loadgen"]
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(f"the load generator does not build: {error}") from error


@dataclass(frozen=True, slots=True)
class Load:
    """How the load generator is run, the same for all."""

    program: Path
    seconds: float
    # The processors of server and client; None where there is only one or the user says so.
    server_cpu: int | None
    client_cpu: int | None


def load(program: Path | None, seconds: float, *, pin: bool) -> Load:
    """Server and client on processors of their own, where there are two."""
    cpus = sorted(os.sched_getaffinity(0))
    if not pin or len(cpus) < 2:
        return Load(program or built(), seconds, None, None)
    return Load(program or built(), seconds, cpus[0], cpus[-1])


@dataclass(frozen=True, slots=True)
class Echo:
    """Server processor time per request of a closed loop, and requests per second."""

    kind: str
    size: int
    connections: int
    full_only: bool = False
    metrics: tuple[Metric, ...] = (SERVER_CPU, THROUGHPUT)

    @property
    def name(self) -> str:
        return f"network/{self.kind}-{self.size // 1024}k-{self.connections}c"

    @property
    def has_limit(self) -> bool:
        """Whether the raw server can be measured beside the loops."""
        return self.kind != "unix"

    @property
    def title(self) -> str:
        plural = "s" if self.connections > 1 else ""
        return f"{self.kind}, {self.size // 1024} KiB, {self.connections} connection{plural}"

    def measure(self, implementation: str, load: Load) -> dict[str, float]:
        """One sample from a fresh server process; raises Failed."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket") if self.kind == "unix" else None
            with start(implementation, self.kind, load, path) as server:
                where = server.line(15.0)
                if where.startswith("!"):
                    raise Failed(where[2:])
                target = ["--unix", where] if path else ["--port", where]
                return self.drive(server.pid, target, load)

    def drive(self, pid: int, target: list[str], load: Load) -> dict[str, float]:
        arguments = [str(load.program), "echo", *target, "--pid", str(pid)]
        arguments += ["--connections", str(self.connections), "--size", str(self.size)]
        arguments += ["--duration", str(load.seconds), "--warmup", str(load.seconds / 4)]
        # A single connection only ever has one side at work. On two processors each turn would
        # wake an idle one, which costs more than the echo and varies from run to run.
        cpu = load.client_cpu if self.connections > 1 else load.server_cpu
        with Child(arguments, cpu) as client:
            answer = json.loads(client.line(load.seconds + 30.0))
        return {
            "cpu": answer["server_cpu_per_request"],
            "throughput": answer["requests_per_second"],
            "p50": answer["p50"],
            "p99": answer["p99"],
            "max": answer["max"],
        }


@dataclass(frozen=True, slots=True)
class Idle:
    """Memory that the server holds per connection that has been used once and stays open."""

    kind: str
    full_only: bool = False
    metrics: tuple[Metric, ...] = (memory.KIB,)

    @property
    def name(self) -> str:
        return f"memory/idle-{self.kind}"

    @property
    def has_limit(self) -> bool:
        """Whether the raw server can be measured beside the loops."""
        return False

    @property
    def title(self) -> str:
        return f"idle connection, {self.kind}"

    def measure(self, implementation: str, load: Load) -> dict[str, float]:
        """One sample from a fresh server process; raises Failed."""
        allow_files(IDLE + 500)
        peers: list[socket.socket] = []
        with start(implementation, self.kind, load, None) as server:
            where = server.line(15.0)
            if where.startswith("!"):
                raise Failed(where[2:])
            try:
                # The first connections bring the allocators and the loop's tables up.
                connect(peers, int(where), IDLE // 10)
                before = memory.resident(server.pid)
                connect(peers, int(where), IDLE)
                after = memory.resident(server.pid)
            except OSError as error:
                raise Failed(f"{error}{server.last_words()}") from error
            finally:
                for peer in peers:
                    peer.close()
        return {"bytes": (after - before) / IDLE}


def start(implementation: str, kind: str, load: Load, path: str | None) -> Child:
    """A server process; its first line says where it listens."""
    if implementation == LIMIT:
        return Child([str(load.program), "raw"], load.server_cpu)
    arguments = [sys.executable, str(HERE / "servers.py"), implementation, kind]
    return Child(arguments + ([path] if path else []), load.server_cpu)


def connect(peers: list[socket.socket], port: int, count: int) -> None:
    """Adds connections, each with a byte sent and the answer read."""
    for _ in range(count):
        peer = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        peers.append(peer)
        peer.sendall(b"?")
        if peer.recv(2) != b"?":
            raise Failed("the echo of one byte is another")


def allow_files(count: int) -> None:
    """Raises this process's (and so its children's) limit of open files where it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        except (OSError, ValueError) as error:
            raise Failed(f"{count} open files are not allowed: {error}") from error


SIZES = (1024, 10 * 1024, 100 * 1024)

ECHOES = [
    *(Echo("protocol", size, count) for count in (1, 50) for size in SIZES),
    *(
        # One of each kind tells enough for the short run.
        Echo(kind, size, count, full_only=(size, count) != (1024, 50))
        for kind in ("buffered", "streams", "sock")
        for count in (1, 50)
        for size in SIZES
    ),
    Echo("unix", 1024, 50),
]
IDLES = [Idle("protocol"), Idle("streams")]
