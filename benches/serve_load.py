"""Drives `hh-runtime serve` with many streams on loopback: clients that read, stall, leave and come back.

    python benches/serve_load.py target/release/hh-runtime MODEL [--streams 1000] [--seconds 600]

Starts the server, keeps that many clients at work, kills it with SIGKILL at half time and starts it again.
Prints the outcomes, times to the first token and the server's memory. At the end every session whose turns
were all acknowledged is compared with one that is told the same again. Exits with 1 if anything but a
documented answer comes, if a session is lost, or if memory grows. Needs Python 3.11 and nothing else.
"""

import argparse
import asyncio
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time

# The server closes the connection of a client that reads nothing for this long.
PATIENCE = 5
DOCUMENTED = {200, 408, 409, 429}
# Sessions that are compared at the end.
COMPARED = 20


class Tally:
    def __init__(self):
        self.first, self.outcomes, self.faults, self.memory = [], {}, [], []
        # Turns of each session that were acknowledged: request and text; and the request that was cut off, if one was.
        self.sessions, self.unsure, self.before = {}, {}, set()
        # While the server is down, connections may fail.
        self.down = False

    def count(self, outcome):
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


class Server:
    """The program, which can be killed and started again on the same port."""

    def __init__(self, args, folder):
        flags = ["--max-requests", str(args.streams + 24), "--timeout", str(PATIENCE), "--cache", "64"]
        self.command = [args.program, "serve", args.model, *flags, "--sessions", os.path.join(folder, "sessions")]
        self.port = 0

    def start(self):
        command = [*self.command, "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+)/v1", self.process.stdout.readline())[1])

    def memory(self):
        """Resident memory in MiB."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1024


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


async def stream(port, kind, body, tally, rng):
    """One request of a client: its outcome and its text."""
    begun = time.monotonic()
    reader, writer, status = await request(port, body)
    try:
        if status != 200:
            return status, ""
        seen, ended, text = False, False, ""
        while line := await reader.readline():
            if b'"error"' in line:
                raise RuntimeError(line.decode())
            if line.startswith(b"data: {"):
                text += json.loads(line[6:])["choices"][0]["text"]
                if not seen:
                    seen = True
                    tally.first.append(time.monotonic() - begun)
                    if kind == "leave" and rng.random() < 0.8:
                        return "left", text
                    if kind == "stall":
                        await asyncio.sleep(rng.uniform(0, 2 * PATIENCE))
            ended |= line.startswith(b"data: [DONE]")
        if not ended:
            if kind == "stall":
                return "closed after stalling", text
            raise RuntimeError("a stream ended without [DONE]")
        return 200, text
    finally:
        writer.close()


async def client(server, number, until, tally, documents):
    rng, turn, session = random.Random(number), 0, 0
    kind = ["read", "read", "session", "leave", "stall"][number % 5]
    while time.monotonic() < until:
        prompt = rng.choice(documents)[: rng.randrange(20, 600)]
        body = {"prompt": prompt, "max_tokens": rng.randrange(8, 64), "stream": True, "seed": rng.randrange(1 << 30)}
        name = f"client-{number}-{session}"
        if kind == "session":
            body["session"] = name
        try:
            outcome, text = await stream(server.port, kind, body, tally, rng)
            tally.count(outcome)
            if outcome == 200 and kind == "session":
                tally.sessions.setdefault(name, []).append((body, text))
            if isinstance(outcome, int) and outcome not in DOCUMENTED:
                tally.faults.append(f"{kind}: status {outcome}")
            if outcome == 429:
                await asyncio.sleep(rng.uniform(0.5, 1.5))
        except (OSError, RuntimeError, ValueError, IndexError) as e:
            # Whether this turn belongs to the session is not known: begin another.
            tally.unsure[name] = body
            session += 1
            if tally.down:
                tally.count("cut off by the kill")
                await asyncio.sleep(rng.uniform(0.5, 1.5))
            else:
                tally.faults.append(f"{kind}: {type(e).__name__}: {e}")
        await asyncio.sleep(rng.uniform(0, 0.2))


async def watch(server, until, tally, every):
    while time.monotonic() < until:
        await asyncio.sleep(every)
        if not tally.down:
            tally.memory.append(server.memory())
            print(f"{tally.memory[-1]:.0f} MiB, {len(tally.first)} first tokens, {len(tally.faults)} faults", flush=True)


async def kill(server, at, tally):
    """Kills the server at half time. What its clients notice of it comes within seconds."""
    await asyncio.sleep(at - time.monotonic())
    tally.down = True
    tally.before = set(tally.sessions)
    server.process.kill()
    server.process.wait()
    server.start()
    await asyncio.sleep(3)
    tally.down = False


async def compare(server, tally):
    """Tells sessions from before the kill the same again under other names; how many were compared."""

    async def say(body, name):
        return (await stream(server.port, "session", {**body, "session": name}, tally, random))[1]

    last = {"prompt": "and then", "max_tokens": 40, "stream": True, "seed": 1}
    lived = [name for name in tally.sessions if name in tally.before][:COMPARED]
    for name in lived:
        turns = [body for body, _ in tally.sessions[name]]
        found = [*(text for _, text in tally.sessions[name]), await say(last, name)]
        wanted = [[await say(body, f"again-{name}") for body in [*turns, last]]]
        # A turn that was cut off may have been kept before its acknowledgement was sent.
        if cut := tally.unsure.get(name):
            more = [await say(body, f"more-{name}") for body in [*turns, cut, last]]
            wanted.append([*more[:-2], more[-1]])
        if found not in wanted:
            tally.faults.append(f"session {name} is another after {len(turns)} turns")
    return len(lived)


async def run(args, server):
    tally, begun = Tally(), time.monotonic()
    until = begun + args.seconds
    letters = "the quick brown fox jumps over the lazy dog and packs a box with five dozen liquor jugs "
    documents = [(letters * 8)[i : i + 600] for i in range(16)]
    clients = [client(server, n, until, tally, documents) for n in range(args.streams)]
    every = max(1, args.seconds / 20)
    others = [watch(server, until, tally, every), kill(server, begun + args.seconds / 2, tally)]
    await asyncio.wait_for(asyncio.gather(*others, *clients), args.seconds + 300)
    first, tally.first = tally.first, []
    compared = await compare(server, tally)
    tally.first = first
    return tally, compared


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] if values else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600)
    args = parser.parse_args()
    # A connection is an open file, here and in the server, which inherits the limit.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args, folder)
        server.start()
        try:
            tally, compared = asyncio.run(run(args, server))
        finally:
            server.process.terminate()
            code = server.process.wait(120)
    print(f"{args.streams} clients, {args.seconds:.0f} s: {tally.outcomes}; the server ended with {code}")
    print(f"first token: median {quantile(tally.first, 0.5):.3f} s, p99 {quantile(tally.first, 0.99):.3f} s, of {len(tally.first)}")
    # The second half has a server of its own, from the kill on.
    half = tally.memory[len(tally.memory) // 2 :]
    middle = half[len(half) // 2]
    print(f"memory: {tally.memory[0]:.0f} MiB after 5 %, {middle:.0f} after 75 %, {half[-1]:.0f} at the end, {max(tally.memory):.0f} at most")
    print(f"{compared} sessions from before the kill compared")
    for fault in tally.faults[:10]:
        print(fault)
    sys.exit(bool(tally.faults) or code != 0 or half[-1] > 1.1 * middle + 16)


if __name__ == "__main__":
    main()
