"""What every client must be able to do, part two: sessions, locks, transactions."""

import base64
import json
import time

from common import Blocked, ClientError, ConsulException, NotFound, eventually, fails, get, same
from steps import everywhere

NOBODY = "00000000-1111-2222-3333-444444444444"


def session_of(node, id):
    return node.client.session.info(id)[1]


def sessions(nodes, area):
    one, other = nodes[0], nodes[-1]
    index = int(one.client.session.list()[0])
    blocked = Blocked(one, lambda client: client.session.list(index=index, wait="60s"))
    id = other.client.session.create(name=area + "s", ttl=60, lock_delay=3, behavior="delete")
    later, listed = blocked.end()
    assert int(later) > index, f"index {later} after {index}"
    assert id in [it["ID"] for it in listed], f"{id} is not in {listed}"
    wanted = {"ID": id, "Name": area + "s", "Node": other.name, "LockDelay": 3 * 10**9,
              "Behavior": "delete", "TTL": "60s"}
    for node in nodes:
        found = session_of(node, id)
        same({name: found.get(name) for name in wanted}, wanted, "session")
        same(found["CreateIndex"], int(later), "CreateIndex")
        assert id in [it["ID"] for it in node.client.session.node(other.name)[1]], "not on its node"
    plain = one.client.session.create()
    assert plain not in [it["ID"] for it in one.client.session.node(other.name)[1]], "on no other"
    same(session_of(one, plain)["LockDelay"], 15 * 10**9, "the default of LockDelay")
    same(one.client.session.renew(id)["ID"], id, "renewed")
    for gone in (id, plain):
        same(other.client.session.destroy(gone), True)
        same(session_of(one, gone), None, "a destroyed session")
        same(other.client.session.destroy(gone), True, "destroying what is gone")
        fails(NotFound, lambda: one.client.session.renew(gone))
    fails(ConsulException, lambda: one.client.session.create(node="nowhere"))


def locks(nodes, area):
    one, other, key = nodes[0].client, nodes[-1].client, area + "lock"
    first, second = one.session.create(lock_delay=0), other.session.create(lock_delay=0)

    def stands(value, session, lock_index):
        entry = everywhere(nodes, key)[1]
        same((entry["Value"], entry.get("Session"), entry["LockIndex"]), (value, session, lock_index))

    same(one.kv.put(key, "1", acquire=first), True)
    stands(b"1", first, 1)
    same(other.kv.put(key, "2", acquire=second), False, "a second holder")
    same(one.kv.put(key, "3", acquire=first), True, "the same holder again")
    stands(b"3", first, 1)
    same(other.kv.put(key, "4"), True, "a put beside the lock")
    stands(b"4", first, 1)
    same(other.kv.put(key, "5", release=second), False)
    same(one.kv.put(key, "6", release=NOBODY), False)
    stands(b"4", first, 1)
    same(one.kv.put(key, "7", release=first), True)
    stands(b"7", None, 1)
    same(other.kv.put(key, "8", acquire=second), True)
    stands(b"8", second, 2)
    same(other.session.destroy(second), True)
    stands(b"8", None, 2)
    fails(ConsulException, lambda: other.kv.put(key, "9", acquire=second), "invalid session")
    fails(ConsulException, lambda: one.kv.put(key, "9", acquire=NOBODY), "invalid session")
    same(one.session.destroy(first), True)


def session_ends(nodes, area):
    one, other = nodes[0].client, nodes[-1].client
    fleeting, key = one.session.create(behavior="delete", lock_delay=0), area + "fleeting"
    same(one.kv.put(key, "x", acquire=fleeting), True)
    index, _ = everywhere(nodes, key)
    blocked = Blocked(nodes[-1], lambda client: get(client, key, index=index, wait="60s"))
    same(one.session.destroy(fleeting), True)
    same(blocked.end()[1], None, "a key that went with its session")
    delaying, patient = one.session.create(lock_delay=1), other.session.create(lock_delay=0)
    key = area + "delayed"
    same(one.kv.put(key, "x", acquire=delaying), True)
    start = time.monotonic()
    same(other.session.destroy(delaying), True)
    same(everywhere(nodes, key)[1].get("Session"), None, "the holder")

    def take():
        assert other.kv.put(key, "y", acquire=patient), "the lock cannot be had yet"

    eventually("the end of a lock delay", take)
    took = time.monotonic() - start
    assert took > 0.99, f"a lock delay of 1 s ended after {took:.3f} s"
    same(other.session.destroy(patient), True)


def op(verb, key, value=None, **more):
    kv = {"Verb": verb, "Key": key, **more}
    if value is not None:
        kv["Value"] = base64.b64encode(value).decode()
    return {"KV": kv}


def results(answer):
    same(answer["Errors"], None, "errors")
    return [result["KV"] for result in answer["Results"]]


def txn(nodes, area):
    one, other, area = nodes[0].client, nodes[-1].client, area + "txn/"
    session = one.session.create(lock_delay=0)
    done = results(one.txn.put([
        op("check-not-exists", area + "a"), op("get-or-empty", area + "a"),
        op("set", area + "a", b"1", Flags=9), op("set", area + "b", b"2"),
        op("lock", area + "lock", b"3", Session=session), op("get", area + "a"),
    ]))
    values = [base64.b64decode(it["Value"]) for it in done if it["Value"] is not None]
    same(values, [b"1"], "values that were read")
    index, entry = everywhere(nodes, area + "a")
    same((entry["Value"], entry["Flags"], entry["CreateIndex"]), (b"1", 9, index))
    same({everywhere(nodes, area + name)[0] for name in ("a", "b", "lock")}, {index}, "one index")
    done = results(other.txn.put([
        op("check-index", area + "a", Index=index), op("cas", area + "a", b"10", Index=index),
        op("check-session", area + "lock", Session=session),
        op("unlock", area + "lock", b"free", Session=session),
        op("delete-cas", area + "b", Index=index), op("set", area + "t/x", b"x"),
        op("set", area + "t/y", b"y"), op("get-tree", area + "t/"),
    ]))
    read = {it["Key"]: base64.b64decode(it["Value"]) for it in done if it["Value"] is not None}
    same(read, {area + "t/x": b"x", area + "t/y": b"y"}, "what the tree held")
    later, entry = everywhere(nodes, area + "lock")
    same((entry["Value"], entry.get("Session")), (b"free", None))
    assert later > index, f"{later} after {index}"
    same(everywhere(nodes, area + "b")[1], None)
    results(one.txn.put([op("delete", area + "a"), op("delete-tree", area + "t/")]))
    left = everywhere(nodes, area, recurse=True)[1]
    same([entry["Key"] for entry in left], [area + "lock"])
    same(one.session.destroy(session), True)


def txn_refused(nodes, area):
    client, key = nodes[-1].client, area + "refused"
    same(client.kv.put(key, "x"), True)
    before = everywhere(nodes, key)
    ops = [
        op("set", key, b"never"), op("check-index", key, Index=1), op("check-not-exists", key),
        op("lock", key, b"never", Session=NOBODY), op("get", area + "not there"),
    ]
    words = fails(ClientError, lambda: client.txn.put(ops), "409")
    told = json.loads(words[words.index("{"):])
    failed = {error["OpIndex"] for error in told["Errors"]}
    same(failed, {1, 2, 3, 4}, "operations that failed")
    assert all(error["What"] for error in told["Errors"]), told
    same(everywhere(nodes, key), before, "entry after a refusal")
    many = [op("set", f"{key}/{number}", b"x") for number in range(129)]
    fails(ClientError, lambda: client.txn.put(many), "413")
    same(get(client, key + "/", recurse=True)[1], None)
    results(client.txn.put(many[:128]))
    same(len(everywhere(nodes, key + "/", recurse=True)[1]), 128, "keys of a full transaction")
    fails(ConsulException, lambda: client.txn.put([op("no-such-verb", key)]))
    fails(ConsulException, lambda: client.txn.put([{"KV": {"Verb": "set", "Key": key, "Value": "!"}}]))
