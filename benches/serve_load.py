"""Drives `hh-runtime serve` with many streams on loopback: clients that read, stall, leave and come back.

    python benches/serve_load.py target/release/hh-runtime MODEL [--streams 1000] [--seconds 600]

Starts the server, keeps that many clients at work, and prints the status codes, times to the first token
and the server's memory. Exits with 1 if anything but a documented answer comes, or if memory grows.
Needs Python 3.11 and nothing else.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

# The server closes the connection of a client that reads nothing for this long.
PATIENCE = 5
DOCUMENTED = {200, 408, 409, 429}


class Tally:
    def __init__(self):
        self.first, self.outcomes, self.faults, self.memory = [], {}, [], []

    def count(self, outcome):
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


async def request(port, body):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + data)
    await writer.drain()
    status = int((await reader.readline()).split()[1])
    while (await reader.readline()).strip():
        pass
    return reader, writer, status


async def stream(port, kind, client, tally, documents, rng):
    """One request of a client; its outcome."""
    body = {"prompt": rng.choice(documents)[: rng.randrange(20, 600)], "max_tokens": rng.randrange(8, 64), "stream": True}
    if kind == "session":
        body["session"] = f"client-{client}"
    begun = time.monotonic()
    reader, writer, status = await request(port, body)
    try:
        if status != 200:
            return status
        seen, ended = False, False
        while line := await reader.readline():
            if line.startswith(b"data: ") and not seen:
                seen = True
                tally.first.append(time.monotonic() - begun)
                if kind == "leave" and rng.random() < 0.8:
                    return "left"
                if kind == "stall":
                    await asyncio.sleep(rng.uniform(0, 2 * PATIENCE))
            if b'"error"' in line:
                raise RuntimeError(line.decode())
            ended |= line.startswith(b"data: [DONE]")
        if not ended:
            if kind == "stall":
                return "closed after stalling"
            raise RuntimeError("a stream ended without [DONE]")
        return 200
    finally:
        writer.close()


async def client(port, number, until, tally, documents):
    rng = random.Random(number)
    kind = ["read", "read", "session", "leave", "stall"][number % 5]
    while time.monotonic() < until:
        try:
            outcome = await stream(port, kind, number, tally, documents, rng)
            tally.count(outcome)
            if isinstance(outcome, int) and outcome not in DOCUMENTED:
                tally.faults.append(f"{kind}: status {outcome}")
            if outcome == 429:
                await asyncio.sleep(rng.uniform(0.5, 1.5))
        except (OSError, RuntimeError, ValueError, IndexError) as e:
            if time.monotonic() < until:
                tally.faults.append(f"{kind}: {type(e).__name__}: {e}")
        await asyncio.sleep(rng.uniform(0, 0.2))


def resident(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


async def watch(pid, until, tally, every):
    while time.monotonic() < until:
        await asyncio.sleep(every)
        tally.memory.append(resident(pid))
        print(f"{tally.memory[-1]:.0f} MiB, {len(tally.first)} first tokens, {len(tally.faults)} faults", flush=True)


async def run(args, pid, port):
    tally, begun = Tally(), time.monotonic()
    until = begun + args.seconds
    letters = "the quick brown fox jumps over the lazy dog and packs a box with five dozen liquor jugs "
    documents = [(letters * 8)[i : i + 600] for i in range(16)]
    clients = [client(port, n, until, tally, documents) for n in range(args.streams)]
    every = max(1, args.seconds / 20)
    await asyncio.wait_for(asyncio.gather(watch(pid, until, tally, every), *clients), args.seconds + 120)
    return tally


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--listen", "127.0.0.1:0", "--max-requests", str(args.streams + 24), "--timeout", str(PATIENCE)]
        flags += ["--cache", "64", "--sessions", os.path.join(folder, "sessions")]
        server = subprocess.Popen([args.program, "serve", args.model, *flags], stdout=subprocess.PIPE, text=True)
        try:
            port = int(re.search(r":(\d+)/v1", server.stdout.readline())[1])
            tally = asyncio.run(run(args, server.pid, port))
        finally:
            server.terminate()
            code = server.wait(120)
    print(f"{args.streams} clients, {args.seconds:.0f} s: {tally.outcomes}; the server ended with {code}")
    print(f"first token: median {quantile(tally.first, 0.5):.3f} s, p99 {quantile(tally.first, 0.99):.3f} s, of {len(tally.first)}")
    half = tally.memory[len(tally.memory) // 2 :]
    print(f"memory: {tally.memory[0]:.0f} MiB after 5 %, {half[0]:.0f} at half time, {half[-1]:.0f} at the end")
    for fault in tally.faults[:10]:
        print(fault)
    sys.exit(bool(tally.faults) or code != 0 or half[-1] > 1.1 * half[0] + 16)


if __name__ == "__main__":
    main()
