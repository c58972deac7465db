"""A local HTTP server whose every answer takes a known time.

Started by fetch.py in a process of its own; says its port in a line on stdout
and ends when its stdin does, so that it never outlives who started it. Made of
threads, so that the demo's three clients meet a server that is none of them.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def page(number: int) -> bytes:
    """The body of page *number*: some 20 KB that can be told from any other page's."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return "".join(f"page {number}, line {line}: {digest}\n" for line in range(250)).encode()


class Answer(BaseHTTPRequestHandler):
    """Answers ``/page/<number>``, each after the server's delay."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        folder, _, number = self.path.rpartition("/")
        if folder != "/page" or not number.isdecimal():
            self.send_error(404)
            return
        # What stands for the work of a real server.
        time.sleep(self.server.delay)  # type: ignore[attr-defined]
        body = page(int(number))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """The client shows the requests."""


class Server(ThreadingHTTPServer):
    """A thread for each connection, none of them waited for at the end."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, delay: float) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.delay = delay

    def handle_error(self, request: object, client_address: object) -> None:
        # A client may go away in the middle; anything else is a fault of ours.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    # Ctrl-C reaches the whole group; ending is up to the client.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server(float(sys.argv[1]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
