"""The loss of the leader: what was begun before it must come out right behind it."""

import threading
import time

from common import TROUBLE, Blocked, Watch, do, eventually, get, same

# Increments that must be acknowledged, most of them behind the loss.
INCREMENTS = 40


class Renewing:
    """Keeps a session of 10 seconds alive through whichever node takes it."""

    def __init__(self, nodes, id):
        self.ended = threading.Event()
        clients = [node.connect() for node in nodes]
        self.thread = threading.Thread(target=self.run, args=(clients, id), daemon=True)
        self.thread.start()

    def run(self, clients, id):
        at = 0
        while not self.ended.wait(0.5):
            try:
                clients[at % len(clients)].session.renew(id)
            except TROUBLE:
                at += 1


class Counter:
    """A number that is counted up by compare-and-set, at each node in turn, come what may."""

    def __init__(self, nodes, key):
        self.nodes, self.key, self.value, self.indexes, self.turn = nodes, key, 0, [], 0

    def next_client(self):
        self.turn += 1
        return self.nodes[self.turn % len(self.nodes)].client

    def count(self):
        def attempt():
            index, entry = get(self.next_client(), self.key)
            found = int(entry["Value"]) if entry else 0
            # A try that was answered with an error may have been done all the same.
            assert found in (self.value, self.value + 1), f"{found} is there, {self.value} was"
            if found == self.value:
                cas = entry["ModifyIndex"] if entry else 0
                assert self.next_client().kv.put(self.key, str(found + 1), cas=cas), "a lost race"
                index, entry = get(self.next_client(), self.key)
                same(int(entry["Value"]), found + 1, "the number just written")
            self.indexes.append(index)

        eventually("counting", attempt)
        self.value += 1


def leader_of(nodes):
    def look():
        leaders = {node.client.status.leader() for node in nodes}
        same(len(leaders), 1, f"number of leaders in {leaders}")
        found = [node for node in nodes if node.peer in leaders]
        assert found, f"{leaders} does not run"
        return found[0]

    return eventually("a leader", look)


class Loss:
    """One after the other; `during` is what else must work while a node is missing."""

    def __init__(self, nodes, tell, during):
        self.nodes, self.tell, self.during = nodes, tell, during

    def run(self):
        victim = leader_of(self.nodes)
        self.left = [node for node in self.nodes if node is not victim]
        self.begin()
        do(f"kill {victim.name}")
        self.tell("another leads", lambda: same(leader_of(self.left) in self.left, True))
        self.tell("writes go on", lambda: [self.counter.count() for _ in range(INCREMENTS)])
        self.tell("blocked read", self.blocked_read)
        self.tell("watch goes on", self.watch_goes_on)
        self.tell("indexes", self.indexes)
        self.tell("lock is held", self.lock_is_held)
        self.during(self.left)
        self.tell("renewed session", self.renewed)
        self.tell("forgotten session", self.forgotten)
        self.tell("values", self.values)
        do(f"restart {victim.name}")
        self.tell("node is back", self.node_is_back)

    def begin(self):
        """Has everything under way, at nodes that stay and through the one that goes."""
        one, other = self.left
        self.counter = Counter(self.left, "loss/counter")
        for _ in range(5):
            self.counter.count()
        self.watch = Watch(self.left, "loss/counter")
        same(one.client.kv.put("loss/blocked", "old"), True)
        self.asked, _ = get(one.client, "loss/blocked")
        asked = self.asked
        self.blocked = Blocked(
            one, lambda client: get(client, "loss/blocked", index=asked, wait="100s")
        )
        self.holder = one.client.session.create(lock_delay=0)
        self.living = one.client.session.create(ttl=10, lock_delay=0)
        self.forgot = time.monotonic()
        self.dying = other.client.session.create(ttl=10, lock_delay=0)
        for name in ("holder", "living", "dying"):
            same(one.client.kv.put("loss/" + name, name, acquire=getattr(self, name)), True)
        self.renewing = Renewing(self.left, self.living)
        self.written = {f"loss/values/{number}": str(number).encode() for number in range(20)}
        for key, value in self.written.items():
            same(other.client.kv.put(key, value), True)
        self.before = get(one.client, "loss/values/", recurse=True)

    def blocked_read(self):
        same(self.left[1].client.kv.put("loss/blocked", "new"), True)
        index, entry = self.blocked.end()
        same(entry["Value"], b"new", "what was waited for")
        assert index > self.asked, f"{index} after {self.asked}"

    def watch_goes_on(self):
        self.watch.sees(str(self.counter.value).encode())
        self.watch.end()

    def indexes(self):
        seen = self.counter.indexes
        same(seen, sorted(set(seen)), "the order of indexes")
        for node in self.left:
            same(get(node.client, "loss/counter")[0], seen[-1], "index of the counter")

    def held(self, name, session):
        for node in self.left:
            entry = get(node.client, "loss/" + name)[1]
            same(entry.get("Session"), session, f"holder of {name}")

    def lock_is_held(self):
        self.held("holder", self.holder)
        rival = self.left[1].client.session.create(lock_delay=0)
        same(self.left[1].client.kv.put("loss/holder", "x", acquire=rival), False, "a rival")
        same(self.left[0].client.kv.put("loss/holder", "free", release=self.holder), True)
        same(self.left[1].client.kv.put("loss/holder", "mine", acquire=rival), True)

    def renewed(self):
        # Longer than it would live without being renewed.
        eventually("ten seconds", lambda: self.is_past(10.5))
        self.held("living", self.living)
        self.renewing.ended.set()

    def is_past(self, seconds):
        assert time.monotonic() - self.forgot > seconds, "not yet"

    def forgotten(self):
        def look():
            same(get(self.left[0].client, "loss/dying")[1].get("Session"), None, "the holder")

        if time.monotonic() - self.forgot < 9:
            self.held("dying", self.dying)
        eventually("the end of a session", look)
        took = time.monotonic() - self.forgot
        assert 10 <= took < 40, f"a session of 10 s ended after {took:.1f} s"
        same(self.left[1].client.session.info(self.dying)[1], None, "the session")

    def values(self):
        for node in self.left:
            found = get(node.client, "loss/values/", recurse=True)
            same(found, self.before, "what was written before the loss")
        same({entry["Key"]: entry["Value"] for entry in self.before[1]}, self.written)

    def node_is_back(self):
        for node in self.nodes:
            same(get(node.client, "loss/", recurse=True), get(self.left[0].client, "loss/", recurse=True))
            stale = lambda: same(
                get(node.client, "loss/values/", recurse=True, consistency="stale"), self.before
            )
            eventually("the node that is back", stale)
