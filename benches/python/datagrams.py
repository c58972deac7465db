"""Datagrams: two endpoints of one loop that answer each other."""

import asyncio
from typing import Any

from registry import CPU_US, WALL_US, Stopwatch, case, expect

PAYLOAD = bytes(range(64))
BURST = 16


class Echo(asyncio.DatagramProtocol):
    """Sends everything back."""

    def connection_made(self, transport: Any) -> None:
        self.sendto = transport.sendto

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.sendto(data, addr)


class Asker(asyncio.DatagramProtocol):
    """Sends `burst` datagrams whenever that many answers have come, `count` in all."""

    def __init__(self, count: int, burst: int) -> None:
        self.left = count
        self.burst = burst
        self.wrong = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.sendto = transport.sendto

    def ask(self) -> None:
        for _ in range(self.burst):
            self.sendto(PAYLOAD)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.left -= 1
        self.wrong += data != PAYLOAD
        if not self.left:
            self.done.set_result(None)
        elif not self.left % self.burst:
            self.ask()


async def ask(count: int, burst: int, watch: Stopwatch) -> None:
    """`count` questions and answers."""
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    client, asker = await loop.create_datagram_endpoint(
        lambda: Asker(count, burst), remote_addr=server.get_extra_info("sockname")
    )
    with watch:
        asker.ask()
        await asker.done
    client.close()
    server.close()
    await asyncio.sleep(0)
    expect((asker.left, asker.wrong), (0, 0), "answers that are missing, and wrong ones")


@case("datagrams/ping-pong", "UDP, one at a time", 10_000, (CPU_US, WALL_US))
async def ping_pong(count: int, watch: Stopwatch) -> None:
    """A question is asked when the last one was answered."""
    await ask(count, 1, watch)


@case("datagrams/burst", "UDP, 16 at a time", 16_000, (CPU_US, WALL_US))
async def burst(count: int, watch: Stopwatch) -> None:
    """Questions come 16 at a time."""
    await ask(count, BURST, watch)
