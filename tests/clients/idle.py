"""Connections that stay open and say nothing, every second one from within its headers on, while others embed.

    python tests/clients/idle.py target/release/hh-runtime [CONNECTIONS]

Needs feature `serve`, and `ulimit -n` above three times the connections.
"""

import http.client
import json
import re
import socket
import subprocess
import sys
import time

TIMEOUT = 20  # seconds that the server waits for a request
REQUESTS = 50

program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000
command = [program, "serve", "--listen", "127.0.0.1:0", "--timeout", str(TIMEOUT)]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
port = int(re.search(r":(\d+)", server.stdout.readline())[1])


def resident():
    """MiB of memory of the server."""
    with open(f"/proc/{server.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


def median():
    """Median milliseconds of a request on a connection of its own."""

    def ask():
        began = time.monotonic()
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body = json.dumps({"input": "A cat sits on the mat."})
        client.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
        answer = client.getresponse()
        assert answer.read() and answer.status == 200, answer.status
        client.close()
        return 1e3 * (time.monotonic() - began)

    return sorted(ask() for _ in range(REQUESTS))[REQUESTS // 2]


def closed(client):
    """Whether the server has closed a connection."""
    client.setblocking(False)
    try:
        return client.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


try:
    alone, before = median(), resident()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for client in idle[::2]:
        client.sendall(b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-le")
    time.sleep(1)
    crowded, during = median(), resident()
    left, deadline = idle, time.monotonic() + 2 * TIMEOUT
    while left and time.monotonic() < deadline:
        time.sleep(0.5)
        left = [client for client in left if not closed(client)]
    print(f"{count} idle connections, {count - len(left)} of them closed by the server after its timeout")
    print(f"median of a request: {alone:.1f} ms alone, {crowded:.1f} ms among them")
    print(f"memory: {before:.0f} MiB before, {during:.0f} MiB with them, {resident():.0f} MiB afterwards")
    assert not left and crowded < 2 * alone + 5 and resident() < before + 32
finally:
    server.terminate()
    server.wait(30)
