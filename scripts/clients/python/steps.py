"""What every client must be able to do: keys and values, compare-and-set, lists, waiting."""

import time

from common import Blocked, ClientError, ConsulException, Watch, eventually, fails, get, same


def everywhere(nodes, key, **options):
    """What a key's read gives, which must be the same on every node."""
    answers = [get(node.client, key, **options) for node in nodes]
    for index, data in answers:
        same(data, answers[0][1], f"{key} on another node")
        # What is not there has the index of the whole store, which others move.
        assert data is None or index == answers[0][0], f"{key} has another index on another node"
    return answers[0]


def status(nodes, area):
    leaders = {node.client.status.leader() for node in nodes}
    same(len(leaders), 1, f"number of leaders in {leaders}")
    for node in nodes:
        peers = node.client.status.peers()
        same(len(peers), 3, "number of peers")
        assert leaders <= set(peers), f"{leaders} is none of {peers}"


def agent_members(nodes, area):
    up = {node.name for node in nodes}

    def look():
        for node in nodes:
            members = {it["Name"]: it for it in node.client.agent.members()}
            same(set(members), {"n1", "n2", "n3"}, "names")
            states = {name: it["Status"] for name, it in members.items()}
            same(states, {name: 1 if name in up else 4 for name in members}, "states")
            own = members[node.name]
            same(f"{own['Addr']}:{own['Port']}", node.peer, "address")

    eventually("agent members", look)


def agent_self(nodes, area):
    for node in nodes:
        own = node.client.agent.self()
        same(own["Config"]["NodeName"], node.name, "NodeName")
        same(own["Member"]["Name"], node.name, "Member.Name")
        same(own["Stats"]["consul"]["leader_addr"], node.client.status.leader(), "leader_addr")


def kv(nodes, area):
    one, other, key = nodes[0].client, nodes[-1].client, area + "kv"
    index, entry = get(other, key)
    same(entry, None, "a key that was never put")
    same(one.kv.put(key, "one", flags=42), True)
    made, entry = everywhere(nodes, key)
    assert made > index, f"{made} after {index}"
    wanted = {"LockIndex": 0, "Key": key, "Flags": 42, "Value": b"one"}
    same(entry, {**wanted, "CreateIndex": made, "ModifyIndex": made}, "entry")
    same(other.kv.put(key, "two"), True)
    changed, entry = everywhere(nodes, key)
    assert changed > made, f"{changed} after {made}"
    wanted.update(Flags=0, Value=b"two")
    same(entry, {**wanted, "CreateIndex": made, "ModifyIndex": changed}, "entry")


def names(nodes, area):
    values = {"plain": b"x", "späße/дом/家": "größer".encode(), "a b": bytes(range(256)),
              "100%2F": b"percent", "q?&=#+;": b"signs", "deep/er/": b"slash", "nothing": b""}
    for name, value in values.items():
        same(nodes[0].client.kv.put(area + "names/" + name, value), True)
    for name, value in values.items():
        same(everywhere(nodes, area + "names/" + name)[1]["Value"], value or None, name)
    _, found = get(nodes[-1].client, area + "names/", recurse=True)
    keys = sorted((area + "names/" + name for name in values), key=lambda key: key.encode())
    same([entry["Key"] for entry in found], keys, "keys in order")
    same(nodes[0].client.kv.put(area + "names/none", None), True)
    same(everywhere(nodes, area + "names/none")[1]["Value"], None)


def unchanged(nodes, area):
    key = area + "unchanged"
    for value, flags in (("same", 7), ("same", 7)):
        same(nodes[0].client.kv.put(key, value, flags=flags), True)
        before = everywhere(nodes, key)
    same(nodes[-1].client.kv.put(key, "same", flags=7), True)
    same(everywhere(nodes, key), before, "entry after a put of the same")
    same(nodes[-1].client.kv.put(key, "same", flags=8), True)
    assert everywhere(nodes, key)[0] > before[0], "other flags are a change"


def limits(nodes, area):
    client, key = nodes[-1].client, area + "large"
    most = b"x" * (512 * 1024)
    same(client.kv.put(key, most), True)
    same(everywhere(nodes, key)[1]["Value"], most)
    words = fails(ClientError, lambda: client.kv.put(key, most + b"x"))
    assert "413" in words and "524288" in words, words
    same(everywhere(nodes, key)[1]["Value"], most)
    same(client.kv.delete(key), True)


def cas(nodes, area):
    one, other, key = nodes[0].client, nodes[-1].client, area + "cas"
    same(one.kv.put(key, "never", cas=5), False, "a missing key's CAS")
    same(one.kv.put(key, "first", cas=0), True)
    same(other.kv.put(key, "again", cas=0), False)
    index, entry = everywhere(nodes, key)
    same(entry["Value"], b"first")
    same(other.kv.put(key, "wrong", cas=index - 1), False)
    same(other.kv.put(key, "second", cas=index), True)
    same(one.kv.put(key, "late", cas=index), False)
    later, entry = everywhere(nodes, key)
    same((entry["Value"], entry["CreateIndex"]), (b"second", index))
    assert later > index, f"{later} after {index}"


def recurse(nodes, area):
    area += "tree"
    same(get(nodes[0].client, area + "/", recurse=True)[1], None, "an empty tree")
    for name in ("/b/d", "/a", "/b/c", "x"):
        same(nodes[0].client.kv.put(area + name, name), True)
    index, entries = everywhere(nodes, area + "/", recurse=True)
    same([entry["Key"] for entry in entries], [area + name for name in ("/a", "/b/c", "/b/d")])
    same([entry["Value"] for entry in entries], [b"/a", b"/b/c", b"/b/d"])
    same(index, max(entry["ModifyIndex"] for entry in entries), "index of the tree")
    same(len(everywhere(nodes, area, recurse=True)[1]), 4, "keys by any prefix")


def keys(nodes, area):
    area += "keys/"
    same(get(nodes[0].client, area, keys=True)[1], None, "an empty tree")
    for name in ("a", "b/c", "b/d", "e/f/g"):
        same(nodes[0].client.kv.put(area + name, "x"), True)
    wanted = [area + name for name in ("a", "b/c", "b/d", "e/f/g")]
    same(everywhere(nodes, area, keys=True)[1], wanted)
    wanted = [area + name for name in ("a", "b/", "e/")]
    same(everywhere(nodes, area, keys=True, separator="/")[1], wanted)


def delete(nodes, area):
    one, other, area = nodes[0].client, nodes[-1].client, area + "delete/"
    for name in ("a", "b", "c/d", "c/e"):
        same(one.kv.put(area + name, name), True)
    index, _ = everywhere(nodes, area + "a")
    same(other.kv.delete(area + "a", cas=index - 1), False)
    same(other.kv.delete(area + "a", cas=0), False)
    same(other.kv.delete(area + "a", cas=index), True)
    same(other.kv.delete(area + "a"), True, "deleting what is gone")
    same(everywhere(nodes, area + "a")[1], None)
    before, _ = everywhere(nodes, area, recurse=True)
    same(one.kv.delete(area + "c/", recurse=True), True)
    after, left = everywhere(nodes, area, recurse=True)
    same([entry["Key"] for entry in left], [area + "b"])
    assert after > before, f"index {after} after a deletion at {before}"


def blocking_key(nodes, area):
    node, key = nodes[-1], area + "blocking"
    same(nodes[0].client.kv.put(key, "old"), True)
    index, entry = everywhere(nodes, key)
    start = time.monotonic()
    same(get(node.client, key, index=index, wait="300ms"), (index, entry), "after its time")
    took = time.monotonic() - start
    assert 0.29 < took < PROMPT, f"300 ms took {took:.3f} s"
    blocked = Blocked(node, lambda client: get(client, key, index=index, wait="60s"))
    same(nodes[0].client.kv.put(key + "/other", "noise"), True)
    same(nodes[0].client.kv.put(key, "old"), True)
    same(nodes[0].client.kv.put(key, "new"), True)
    later, entry = blocked.end()
    same(entry["Value"], b"new", "what the wait was for")
    same((later, entry), everywhere(nodes, key))
    assert later > index and blocked.seconds < PATIENT, f"{later} after {blocked.seconds} s"
    blocked = Blocked(node, lambda client: get(client, key, index=later, wait="60s"))
    same(nodes[0].client.kv.delete(key), True)
    gone, entry = blocked.end()
    same(entry, None, "a deleted key")
    assert gone > later, f"index {gone} of a deletion after {later}"


def blocking_missing_key(nodes, area):
    node, key = nodes[0], area + "missing"
    index, entry = get(node.client, key)
    same(entry, None)
    blocked = Blocked(node, lambda client: get(client, key, index=index, wait="60s"))
    same(nodes[-1].client.kv.put(area + "missing-other", "noise"), True)
    same(nodes[-1].client.kv.put(key, "there"), True)
    later, entry = blocked.end()
    same(entry and entry["Value"], b"there", "what the wait was for")
    assert later > index, f"{later} after {index}"


def blocking_prefix(nodes, area):
    node, prefix = nodes[-1], area + "prefix/"
    for name in ("a", "b"):
        same(nodes[0].client.kv.put(prefix + name, "x"), True)
    index, _ = everywhere(nodes, prefix, recurse=True)
    for change, left in (
        (lambda kv: kv.put(prefix + "c", "x"), ["a", "b", "c"]),
        (lambda kv: kv.delete(prefix + "b"), ["a", "c"]),
    ):
        asked = index
        blocked = Blocked(
            node, lambda client: get(client, prefix, recurse=True, index=asked, wait="60s")
        )
        same(nodes[0].client.kv.put(area + "beside", str(asked)), True)
        same(change(nodes[0].client.kv), True)
        index, entries = blocked.end()
        same([entry["Key"] for entry in entries], [prefix + name for name in left])
        assert index > asked, f"{index} after {asked}"


def watch(nodes, area):
    key = area + "watch"
    same(nodes[0].client.kv.put(key, "0"), True)
    watch = Watch([nodes[-1]], key)
    wanted = [str(number).encode() for number in range(6)]
    for value in wanted:
        same(nodes[0].client.kv.put(key, value), True)
        watch.sees(value)
    watch.end()
    same(watch.values, wanted, "what the watch saw")


def consistency(nodes, area):
    key = area + "consistency"
    same(nodes[0].client.kv.put(key, "x"), True)
    wanted = everywhere(nodes, key)
    same(everywhere(nodes, key, consistency="consistent"), wanted)
    for node in nodes:
        eventually("a stale read", lambda: same(get(node.client, key, consistency="stale"), wanted))


def errors(nodes, area):
    client, key = nodes[-1].client, area + "errors"
    fails(ConsulException, lambda: client.kv.put(key, "x", cas="many"), "cas")
    fails(ConsulException, lambda: client.kv.put(key, "x", flags="many"), "flags")
    fails(ConsulException, lambda: client.kv.get(key, index="many"), "index")
    fails(ConsulException, lambda: client.kv.get(key, index=1, wait="long"), "wait")
    fails(ConsulException, lambda: client.kv.get(key, dc="elsewhere"), "datacenter")
    fails(ConsulException, lambda: client.kv.put("", "x"), "Missing key name")
    fails(ConsulException, lambda: client.kv.put("k" * 2000, "x"))
    same(everywhere(nodes, key)[1], None, "after what was refused")


# Seconds: what took longer was no wake-up but luck; and what a wait of 300 ms must not take.
PATIENT = 45
PROMPT = 20
