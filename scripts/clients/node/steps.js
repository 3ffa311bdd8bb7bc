"use strict";
// What every client must be able to do: keys and values, compare-and-set, lists, waiting.

const { Watch, assert, blocked, eventually, fails, get, indexed, refused } = require("./common");

const same = assert.deepEqual;

/** What a key's read gives, which must be the same on every node. */
async function everywhere(nodes, key, options = {}) {
  const answers = [];
  for (const node of nodes) answers.push(await get(node.client, key, options));
  for (const answer of answers) {
    same(answer.data, answers[0].data, `${key} on another node`);
    // What is not there has the index of the whole store, which others move.
    if (answer.data) assert.equal(answer.index, answers[0].index, `${key} on another node`);
  }
  return answers[0];
}

const ends = (nodes) => [nodes[0].client, nodes.at(-1).client];

async function status(nodes) {
  const leaders = new Set();
  for (const node of nodes) leaders.add(await node.client.status.leader());
  assert.equal(leaders.size, 1, `${[...leaders]}`);
  for (const node of nodes) {
    const peers = await node.client.status.peers();
    assert.equal(peers.length, 3);
    assert.ok(peers.includes([...leaders][0]), `${[...leaders]} is none of ${peers}`);
  }
}

async function agentMembers(nodes) {
  const up = nodes.map((node) => node.name);
  await eventually("agent members", async () => {
    for (const node of nodes) {
      const members = await node.client.agent.members();
      same(members.map((it) => it.Name).sort(), ["n1", "n2", "n3"]);
      for (const it of members) assert.equal(it.Status, up.includes(it.Name) ? 1 : 4, it.Name);
      const own = members.find((it) => it.Name === node.name);
      assert.equal(`${own.Addr}:${own.Port}`, node.peer);
    }
  });
}

async function agentSelf(nodes) {
  for (const node of nodes) {
    const own = await node.client.agent.self();
    assert.equal(own.Config.NodeName, node.name);
    assert.equal(own.Member.Name, node.name);
    assert.equal(own.Stats.consul.leader_addr, await node.client.status.leader());
  }
}

async function kv(nodes, area) {
  const [one, other] = ends(nodes);
  const key = area + "kv";
  const before = await get(other, key);
  assert.equal(before.data, undefined, "a key that was never put");
  assert.equal(await one.kv.set({ key, value: "one", flags: 42 }), true);
  const made = await everywhere(nodes, key);
  assert.ok(made.index > before.index, `${made.index} after ${before.index}`);
  const wanted = { LockIndex: 0, Key: key, Flags: 42, Value: "one", CreateIndex: made.index };
  same(made.data, { ...wanted, ModifyIndex: made.index });
  assert.equal(await other.kv.set(key, "two"), true);
  const changed = await everywhere(nodes, key);
  assert.ok(changed.index > made.index, `${changed.index} after ${made.index}`);
  same(changed.data, { ...wanted, Flags: 0, Value: "two", ModifyIndex: changed.index });
  const raw = await one.kv.get({ key, raw: true });
  assert.equal(raw.toString(), "two", "the raw value");
}

async function names(nodes, area) {
  const [one, other] = ends(nodes);
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
  const values = {
    plain: Buffer.from("x"), "späße/дом/家": Buffer.from("größer"), "a b": bytes,
    "100%2F": Buffer.from("percent"), "q?&=#+;": Buffer.from("signs"), "deep/er/": Buffer.from("s"),
  };
  for (const [name, value] of Object.entries(values)) {
    assert.equal(await one.kv.set(area + "names/" + name, value), true);
  }
  for (const [name, value] of Object.entries(values)) {
    const { data } = await everywhere(nodes, area + "names/" + name, { buffer: true });
    same(data.Value, value, name);
  }
  const { data } = await get(other, area + "names/", { recurse: true });
  const wanted = Object.keys(values).map((name) => Buffer.from(area + "names/" + name));
  same(data.map((it) => it.Key), wanted.sort(Buffer.compare).map(String), "keys in order");
  assert.equal(await one.kv.set(area + "names/none", ""), true);
  assert.equal((await everywhere(nodes, area + "names/none")).data.Value, null);
}

async function unchanged(nodes, area) {
  const [one, other] = ends(nodes);
  const put = { key: area + "unchanged", value: "same", flags: 7 };
  assert.equal(await one.kv.set({ ...put }), true);
  const before = await everywhere(nodes, put.key);
  assert.equal(await other.kv.set({ ...put }), true);
  same(await everywhere(nodes, put.key), before, "entry after a put of the same");
  assert.equal(await other.kv.set({ ...put, flags: 8 }), true);
  assert.ok((await everywhere(nodes, put.key)).index > before.index, "other flags are a change");
}

async function limits(nodes, area) {
  const [, client] = ends(nodes);
  const key = area + "large";
  const most = Buffer.alloc(512 * 1024, "x");
  assert.equal(await client.kv.set(key, most), true);
  same((await everywhere(nodes, key, { buffer: true })).data.Value, most);
  await fails(413, () => client.kv.set(key, Buffer.alloc(512 * 1024 + 1, "x")), "524288");
  same((await everywhere(nodes, key, { buffer: true })).data.Value, most);
  assert.equal(await client.kv.del(key), true);
}

async function cas(nodes, area) {
  const [one, other] = ends(nodes);
  const key = area + "cas";
  await refused((ctx) => one.kv.set({ ctx, key, value: "never", cas: 5 }), "a missing key's CAS");
  assert.equal(await one.kv.set({ key, value: "first", cas: 0 }), true);
  await refused((ctx) => other.kv.set({ ctx, key, value: "again", cas: 0 }));
  const { index, data } = await everywhere(nodes, key);
  assert.equal(data.Value, "first");
  await refused((ctx) => other.kv.set({ ctx, key, value: "wrong", cas: index - 1 }));
  assert.equal(await other.kv.set({ key, value: "second", cas: index }), true);
  await refused((ctx) => one.kv.set({ ctx, key, value: "late", cas: index }));
  const later = await everywhere(nodes, key);
  same([later.data.Value, later.data.CreateIndex], ["second", index]);
  assert.ok(later.index > index, `${later.index} after ${index}`);
}

async function recurse(nodes, area) {
  const [one] = ends(nodes);
  area += "tree";
  const tree = { recurse: true };
  assert.equal((await get(one, area + "/", tree)).data, undefined, "an empty tree");
  for (const name of ["/b/d", "/a", "/b/c", "x"]) {
    assert.equal(await one.kv.set(area + name, name), true);
  }
  const { index, data } = await everywhere(nodes, area + "/", tree);
  same(data.map((it) => it.Key), ["/a", "/b/c", "/b/d"].map((name) => area + name));
  same(data.map((it) => it.Value), ["/a", "/b/c", "/b/d"]);
  assert.equal(index, Math.max(...data.map((it) => it.ModifyIndex)), "index of the tree");
  assert.equal((await everywhere(nodes, area, tree)).data.length, 4, "keys by any prefix");
}

async function keys(nodes, area) {
  const [one] = ends(nodes);
  area += "keys/";
  await fails(404, () => one.kv.keys(area));
  for (const name of ["a", "b/c", "b/d", "e/f/g"]) {
    assert.equal(await one.kv.set(area + name, "x"), true);
  }
  for (const { client } of nodes) {
    const all = ["a", "b/c", "b/d", "e/f/g"].map((name) => area + name);
    same(await client.kv.keys(area), all);
    const cut = ["a", "b/", "e/"].map((name) => area + name);
    same(await client.kv.keys({ key: area, separator: "/" }), cut);
  }
}

async function remove(nodes, area) {
  const [one, other] = ends(nodes);
  area += "delete/";
  for (const name of ["a", "b", "c/d", "c/e"]) {
    assert.equal(await one.kv.set(area + name, name), true);
  }
  const { index } = await everywhere(nodes, area + "a");
  await refused((ctx) => other.kv.del({ ctx, key: area + "a", cas: index - 1 }));
  await refused((ctx) => other.kv.del({ ctx, key: area + "a", cas: 0 }));
  assert.equal(await other.kv.del({ key: area + "a", cas: index }), true);
  assert.equal(await other.kv.del(area + "a"), true, "deleting what is gone");
  assert.equal((await everywhere(nodes, area + "a")).data, undefined);
  const before = await everywhere(nodes, area, { recurse: true });
  assert.equal(await one.kv.del({ key: area + "c/", recurse: true }), true);
  const after = await everywhere(nodes, area, { recurse: true });
  same(after.data.map((it) => it.Key), [area + "b"]);
  assert.ok(after.index > before.index, `${after.index} after ${before.index}`);
}

async function blockingKey(nodes, area) {
  const [one] = ends(nodes);
  const [node, key] = [nodes.at(-1), area + "blocking"];
  assert.equal(await one.kv.set(key, "old"), true);
  const old = await everywhere(nodes, key);
  const start = Date.now();
  same(await get(node.client, key, { index: old.index, wait: "300ms" }), old, "after its time");
  const took = Date.now() - start;
  assert.ok(took > 290 && took < 20_000, `300 ms took ${took} ms`);
  const begin = Date.now();
  const wait = (index) => (client) => get(client, key, { index, wait: "60s" });
  let end = await blocked(node, wait(old.index));
  assert.equal(await one.kv.set(key + "/other", "noise"), true);
  assert.equal(await one.kv.set(key, "old"), true);
  assert.equal(await one.kv.set(key, "new"), true);
  const later = await end();
  assert.equal(later.data.Value, "new", "what the wait was for");
  same(later, await everywhere(nodes, key));
  assert.ok(later.index > old.index && Date.now() - begin < 45_000, `${later.index}`);
  end = await blocked(node, wait(later.index));
  assert.equal(await one.kv.del(key), true);
  const gone = await end();
  assert.equal(gone.data, undefined, "a deleted key");
  assert.ok(gone.index > later.index, `${gone.index} after ${later.index}`);
}

async function blockingMissingKey(nodes, area) {
  const [, other] = ends(nodes);
  const [node, key] = [nodes[0], area + "missing"];
  const { index, data } = await get(node.client, key);
  assert.equal(data, undefined);
  const end = await blocked(node, (client) => get(client, key, { index, wait: "60s" }));
  assert.equal(await other.kv.set(area + "missing-other", "noise"), true);
  assert.equal(await other.kv.set(key, "there"), true);
  const later = await end();
  assert.equal(later.data?.Value, "there", "what the wait was for");
  assert.ok(later.index > index, `${later.index} after ${index}`);
}

async function blockingPrefix(nodes, area) {
  const [one] = ends(nodes);
  const [node, prefix] = [nodes.at(-1), area + "prefix/"];
  for (const name of ["a", "b"]) assert.equal(await one.kv.set(prefix + name, "x"), true);
  let { index } = await everywhere(nodes, prefix, { recurse: true });
  const changes = [
    [() => one.kv.set(prefix + "c", "x"), ["a", "b", "c"]],
    [() => one.kv.del(prefix + "b"), ["a", "c"]],
  ];
  for (const [change, left] of changes) {
    const options = { recurse: true, index, wait: "60s" };
    const end = await blocked(node, (client) => get(client, prefix, options));
    assert.equal(await one.kv.set(area + "beside", String(index)), true);
    assert.equal(await change(), true);
    const later = await end();
    same(later.data.map((it) => it.Key), left.map((name) => prefix + name));
    assert.ok(later.index > index, `${later.index} after ${index}`);
    index = later.index;
  }
}

async function watch(nodes, area) {
  const [one] = ends(nodes);
  const key = area + "watch";
  assert.equal(await one.kv.set(key, "0"), true);
  const watch = new Watch(nodes.at(-1), key);
  const wanted = ["0", "1", "2", "3", "4", "5"];
  for (const value of wanted) {
    assert.equal(await one.kv.set(key, value), true);
    await watch.sees(value);
  }
  watch.end();
  same(watch.values, wanted, "what the watch saw");
}

async function consistency(nodes, area) {
  const [one] = ends(nodes);
  const key = area + "consistency";
  assert.equal(await one.kv.set(key, "x"), true);
  const wanted = await everywhere(nodes, key);
  same(await everywhere(nodes, key, { consistent: true }), wanted);
  for (const { client } of nodes) {
    const stale = async () => same(await get(client, key, { stale: true }), wanted);
    await eventually("a stale read", stale);
  }
}

async function errors(nodes, area) {
  const [, client] = ends(nodes);
  const key = area + "errors";
  await fails(null, () => client.kv.set({ key, value: "x", cas: "many" }), "cas");
  await fails(null, () => client.kv.set({ key, value: "x", flags: "many" }), "flags");
  await fails(400, () => client.kv.keys({ key, index: "many" }), "index");
  await fails(400, () => client.kv.keys({ key, index: 1, wait: "long" }), "wait");
  await fails(500, () => client.kv.keys({ key, dc: "elsewhere" }), "datacenter");
  const both = { key, value: "x", cas: 1, acquire: "00000000-1111-2222-3333-444444444444" };
  await fails(400, () => client.kv.set(both), "onflicting");
  await fails(null, () => client.kv.set("k".repeat(2000), "x"));
  const recurseWithCas = () => client.kv.del({ key, recurse: true, cas: 1 });
  await fails(400, recurseWithCas, "onflicting");
  assert.equal((await everywhere(nodes, key)).data, undefined, "after what was refused");
}

module.exports = {
  agentMembers, agentSelf, blockingKey, blockingMissingKey, blockingPrefix, cas, consistency, ends,
  errors, everywhere, indexed, keys, kv, limits, names, recurse, remove, status, unchanged, watch,
};
