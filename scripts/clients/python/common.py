"""What the steps share: the nodes as the client sees them, and ways to wait without sleeping blindly."""

import json
import os
import sys
import threading
import time
import urllib.request

import consul
import requests

try:
    from consul.exceptions import ClientError, ConsulException, NotFound
except ImportError:
    from consul.base import ClientError, ConsulException, NotFound

# Seconds for anything to come about.
PATIENCE = 30
# What a call may fail with while there is no leader, or its node is gone.
TROUBLE = (ConsulException, requests.exceptions.RequestException)

__all__ = ["ClientError", "ConsulException", "NotFound", "TROUBLE"]


class Node:
    """A node, and a client of the package's own that talks to it."""

    def __init__(self, told):
        self.name, self.peer = told["name"], told["peer"]
        self.host, port = told["http"].split(":")
        self.port = int(port)
        self.client = self.connect()

    def connect(self):
        """A client with connections of its own, as every thread needs one."""
        return consul.Consul(host=self.host, port=self.port)

    def watches(self):
        """How many blocking reads wait on this node."""
        with urllib.request.urlopen(f"http://{self.host}:{self.port}/metrics", timeout=10) as page:
            for line in page.read().decode().splitlines():
                if line.startswith("bowline_watches "):
                    return int(float(line.split()[1]))
        raise AssertionError("the node does not count its watches")


def nodes():
    return [Node(told) for told in json.loads(os.environ["BOWLINE_NODES"])]


def do(order):
    """Has something done to a node."""
    print("DO", order, flush=True)
    answer = json.loads(sys.stdin.readline())
    assert answer["done"], answer


def same(got, wanted, what="value"):
    assert got == wanted, f"{what} is {got!r}, not {wanted!r}"


def get(client, key, **options):
    """(index as a number, what is there)."""
    index, data = client.kv.get(key, **options)
    assert int(index) >= 1, f"index {index}"
    return int(index), data


def eventually(what, ask, patience=PATIENCE):
    """Asks until it does not fail, and gives the answer."""
    end = time.monotonic() + patience
    while True:
        try:
            return ask()
        except (AssertionError, *TROUBLE) as error:
            if time.monotonic() > end:
                raise AssertionError(f"{what}: {error}") from error
        time.sleep(0.02)


def fails(kind, call, text=""):
    """The words of a call's failure, which must be of this kind and hold this text."""
    try:
        answer = call()
    except kind as error:
        assert text in str(error), f"{text!r} is not in {error}"
        return str(error)
    raise AssertionError(f"this was taken, and gave {answer!r}")


class Blocked:
    """A call in a thread of its own, which is known to wait at a node once this is made."""

    def __init__(self, node, call):
        before = node.watches()
        self.answer, self.error, self.start = None, None, time.monotonic()
        self.thread = threading.Thread(target=self.run, args=(node.connect(), call), daemon=True)
        self.thread.start()

        def waits():
            assert self.thread.is_alive(), f"it did not wait: {self.answer or self.error}"
            assert node.watches() > before, "it does not wait yet"

        try:
            eventually("a blocking read", waits)
        except AssertionError as error:
            self.error = self.error or error

    def run(self, client, call):
        try:
            self.answer = call(client)
        except Exception as error:  # told by `end`
            self.error = error
        self.seconds = time.monotonic() - self.start

    def end(self):
        """What the call gave, which must not take long any more."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the read still waits"
        if self.error:
            raise AssertionError(f"the read failed: {self.error!r}")
        return self.answer


class Watch:
    """Follows a key by blocking reads, one behind the other, going to the next node on trouble."""

    def __init__(self, nodes, key):
        self.values, self.indexes, self.error, self.ended = [], [], None, False
        clients = [node.connect() for node in nodes]
        self.thread = threading.Thread(target=self.run, args=(clients, key), daemon=True)
        self.thread.start()

    def run(self, clients, key):
        index, at = 0, 0
        while not self.ended:
            try:
                new, entry = get(clients[at % len(clients)], key, index=index, wait="2s")
            except TROUBLE:
                at += 1
                time.sleep(0.02)
                continue
            except AssertionError as error:
                self.error = error
                return
            if new != index:
                self.values.append(entry and entry["Value"])
                self.indexes.append(new)
                index = new

    def sees(self, value):
        def look():
            assert self.error is None, self.error
            assert self.values and self.values[-1] == value, f"{self.values[-3:]}, not {value!r}"

        eventually("the watch", look)

    def end(self):
        self.ended = True
        same(self.indexes, sorted(set(self.indexes)), "the order of indexes")
