"""Starts three real nodes, lets a driver work on them, and ends everything whatever happens.

    run.py --program PATH-OF-BOWLINE NAME COMMAND...

The driver may be written in any language. It learns the nodes from BOWLINE_NODES (JSON: name, http and
peer of each), says what it found on its standard output, one line each, and gets nodes killed and
started again by asking:

    PASS phase: step                DO kill NAME         -> {"done": true}
    FAIL phase: step: why           DO restart NAME      -> {"done": true}

Every step of STEPS must pass in every phase: a driver that leaves one out has failed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

# What a driver does on three nodes, on the two that are left, and on three again.
STEPS = [
    "status", "agent members", "agent self", "kv", "names", "unchanged", "limits", "cas", "recurse",
    "keys", "delete", "blocking key", "blocking missing key", "blocking prefix", "watch", "sessions",
    "locks", "session ends", "txn", "txn refused", "consistency", "errors",
]
# What it does with the leader's loss itself, in between.
LOSS = [
    "another leads", "writes go on", "blocked read", "watch goes on", "indexes", "lock is held",
    "renewed session", "forgotten session", "values", "node is back",
]
EXPECTED = (
    [f"before: {step}" for step in STEPS]
    + [f"loss: {step}" for step in LOSS]
    + [f"during: {step}" for step in STEPS]
    + [f"after: {step}" for step in STEPS]
)
# Seconds for anything to come about, and for the driver to come to its end.
PATIENCE = 60
LIMIT = 150


class Node:
    """One node: its process, and where it listens once it has said so."""

    def __init__(self, program, home, name, flags):
        self.program, self.name, self.flags = program, name, flags
        self.data = os.path.join(home, name)
        self.log = os.path.join(home, name + ".log")
        self.http, self.peer = "127.0.0.1:0", "127.0.0.1:0"
        self.process = None

    def start(self, flags=()):
        command = [self.program, "--data", self.data, "--name", self.name]
        command += ["--http", self.http, "--peer", self.peer, *flags]
        environment = {k: v for k, v in os.environ.items() if k not in ("RUST_LOG", "BOWLINE_NODE")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=environment, text=True,
            )
        addresses = {}
        while len(addresses) < 2:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"{self.name} did not start:\n{self.last_words()}")
            words = line.split()
            if len(words) == 3 and words[0] == "bowline:" and words[1] in ("http", "peer"):
                addresses[words[1]] = words[2].removeprefix("http://")
        self.http, self.peer = addresses["http"], addresses["peer"]
        # Goes on reading, so that the node never writes into a full pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=10) as answer:
            return answer.read()

    def last_words(self):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-40:])


def eventually(what, ask):
    """Asks until the answer is true."""
    end, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        try:
            last = ask()
            if last:
                return
        except (OSError, ValueError, urllib.error.URLError) as error:
            last = error
        time.sleep(0.02)
    raise RuntimeError(f"{what} took too long: {last}")


def settled(nodes):
    """Whether all nodes are ready, and each knows that all of them vote."""
    for node in nodes:
        node.get("/readyz")
        servers = json.loads(node.get("/v1/operator/raft/configuration"))["Servers"]
        if sum(server["Voter"] for server in servers) != len(nodes):
            return False
    return True


def obey(order, nodes):
    """Does what the driver wants done to a node."""
    verb, name = order.split()
    node = next(node for node in nodes if node.name == name)
    if verb == "kill":
        node.kill()
    elif verb == "restart":
        node.start()
        eventually("coming back", lambda: settled(nodes))
    else:
        raise RuntimeError(f"the driver asked for {order!r}")


def drive(name, command, nodes):
    """Runs the driver; gives the steps that passed, and whether all was well."""
    told = [{"name": node.name, "http": node.http, "peer": node.peer} for node in nodes]
    environment = {**os.environ, "BOWLINE_NODES": json.dumps(told), "PYTHONUNBUFFERED": "1"}
    driver = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    watchdog = threading.Timer(LIMIT, driver.kill)
    watchdog.start()
    passed, failed = [], False
    try:
        for line in driver.stdout:
            line = line.rstrip("\n")
            if line.startswith("DO "):
                obey(line.removeprefix("DO "), nodes)
                driver.stdin.write('{"done": true}\n')
                driver.stdin.flush()
                continue
            print(f"{name}: {line}", flush=True)
            if line.startswith("PASS "):
                passed.append(line.removeprefix("PASS "))
            failed |= line.startswith("FAIL ")
        code = driver.wait()
        if code != 0:
            print(f"{name}: FAIL the driver ended with {code}", flush=True)
    finally:
        watchdog.cancel()
        driver.kill()
        driver.wait()
    return passed, not failed and code == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("name")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    home = tempfile.mkdtemp(prefix="bowline-clients-")
    nodes, good, start = [], False, time.monotonic()
    try:
        for number in (1, 2, 3):
            node = Node(options.program, home, f"n{number}", [])
            nodes.append(node)
            node.start(["--join", nodes[0].peer] if number > 1 else ["--bootstrap"])
        eventually("the cluster", lambda: settled(nodes))
        passed, good = drive(options.name, options.command, nodes)
        missing = [step for step in EXPECTED if step not in passed]
        if missing:
            print(f"{options.name}: FAIL steps that did not pass: {', '.join(missing)}")
        good = good and not missing
    finally:
        for node in nodes:
            node.kill()
            if not good and os.path.exists(node.log):
                print(f"---- the end of the log of {node.name}:\n{node.last_words()}", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
    verdict = "PASS" if good else "FAIL"
    print(f"{verdict} {options.name}: {len(passed)} steps in {time.monotonic() - start:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
