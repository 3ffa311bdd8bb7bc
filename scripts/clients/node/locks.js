"use strict";
// What every client must be able to do, part two: sessions, locks, transactions.

const { assert, blocked, eventually, fails, get, indexed, refused } = require("./common");
const { ends, everywhere } = require("./steps");

const same = assert.deepEqual;
const NOBODY = "00000000-1111-2222-3333-444444444444";

async function open(client, options) {
  return (await client.session.create(options)).ID;
}

async function sessions(nodes, area) {
  const [one, other] = ends(nodes);
  const list = (client, options = {}) =>
    indexed((ctx) => client.session.list({ ctx, ...options }));
  const { index } = await list(one);
  const end = await blocked(nodes[0], (client) => list(client, { index, wait: "60s" }));
  const node = nodes.at(-1).name;
  const options = { name: area + "s", lockdelay: "3s", behavior: "delete", ttl: "60s" };
  const id = await open(other, options);
  const later = await end();
  assert.ok(later.index > index, `${later.index} after ${index}`);
  assert.ok(later.data.some((it) => it.ID === id), `${id} is not listed`);
  for (const { client } of nodes) {
    const found = await client.session.info(id);
    const wanted = {
      ID: id, Name: area + "s", Node: node, LockDelay: 3e9, Behavior: "delete", TTL: "60s",
    };
    same({ ...found, ...wanted }, found, "session");
    assert.equal(found.CreateIndex, later.index);
    const there = await client.session.node(node);
    assert.ok(there.some((it) => it.ID === id), "not on its node");
  }
  const plain = await open(one, {});
  const there = await one.session.node(node);
  assert.ok(!there.some((it) => it.ID === plain), "on no other");
  assert.equal((await one.session.info(plain)).LockDelay, 15e9, "the default of LockDelay");
  assert.equal((await one.session.renew(id))[0].ID, id, "renewed");
  for (const gone of [id, plain]) {
    await other.session.destroy(gone);
    assert.equal(await one.session.info(gone), undefined, "a destroyed session");
    await other.session.destroy(gone);
    await fails(404, () => one.session.renew(gone));
  }
  await fails(null, () => open(one, { node: "nowhere" }));
}

async function locks(nodes, area) {
  const [one, other] = ends(nodes);
  const key = area + "lock";
  const [first, second] = [
    await open(one, { lockdelay: "0s" }),
    await open(other, { lockdelay: "0s" }),
  ];
  const put = (client, value, options = {}) => client.kv.set({ key, value, ...options });
  const stands = async (value, session, lockIndex) => {
    const { data } = await everywhere(nodes, key);
    same([data.Value, data.Session, data.LockIndex], [value, session, lockIndex]);
  };
  assert.equal(await put(one, "1", { acquire: first }), true);
  await stands("1", first, 1);
  await refused((ctx) => put(other, "2", { ctx, acquire: second }), "a second holder");
  assert.equal(await put(one, "3", { acquire: first }), true, "the same holder again");
  await stands("3", first, 1);
  assert.equal(await put(other, "4"), true, "a put beside the lock");
  await stands("4", first, 1);
  await refused((ctx) => put(other, "5", { ctx, release: second }));
  await refused((ctx) => put(one, "6", { ctx, release: NOBODY }));
  await stands("4", first, 1);
  assert.equal(await put(one, "7", { release: first }), true);
  await stands("7", undefined, 1);
  assert.equal(await put(other, "8", { acquire: second }), true);
  await stands("8", second, 2);
  await other.session.destroy(second);
  await stands("8", undefined, 2);
  await fails(500, () => put(other, "9", { acquire: second }), "invalid session");
  await fails(500, () => put(one, "9", { acquire: NOBODY }), "invalid session");
  await one.session.destroy(first);
}

async function sessionEnds(nodes, area) {
  const [one, other] = ends(nodes);
  const fleeting = await open(one, { behavior: "delete", lockdelay: "0s" });
  let key = area + "fleeting";
  assert.equal(await one.kv.set({ key, value: "x", acquire: fleeting }), true);
  const { index } = await everywhere(nodes, key);
  const end = await blocked(nodes.at(-1), (client) => get(client, key, { index, wait: "60s" }));
  await one.session.destroy(fleeting);
  assert.equal((await end()).data, undefined, "a key that went with its session");
  const delaying = await open(one, { lockdelay: "1s" });
  const patient = await open(other, { lockdelay: "0s" });
  key = area + "delayed";
  assert.equal(await one.kv.set({ key, value: "x", acquire: delaying }), true);
  const start = Date.now();
  await other.session.destroy(delaying);
  assert.equal((await everywhere(nodes, key)).data.Session, undefined, "the holder");
  await eventually("the end of a lock delay", async () => {
    assert.equal(await other.kv.set({ key, value: "y", acquire: patient }), true);
  });
  const took = Date.now() - start;
  assert.ok(took > 990, `a lock delay of 1 s ended after ${took} ms`);
  await other.session.destroy(patient);
}

function op(Verb, Key, value, more = {}) {
  const Value = value === undefined ? {} : { Value: Buffer.from(value).toString("base64") };
  return { KV: { Verb, Key, ...Value, ...more } };
}

const decoded = (entry) => Buffer.from(entry.Value, "base64").toString();

async function results(answer) {
  const { Results, Errors } = await answer;
  assert.equal(Errors, null);
  return Results.map((result) => result.KV);
}

async function txn(nodes, area) {
  const [one, other] = ends(nodes);
  area += "txn/";
  const Session = await open(one, { lockdelay: "0s" });
  let done = await results(
    one.transaction.create([
      op("check-not-exists", area + "a"),
      op("get-or-empty", area + "a"),
      op("set", area + "a", "1", { Flags: 9 }),
      op("set", area + "b", "2"),
      op("lock", area + "lock", "3", { Session }),
      op("get", area + "a"),
    ]),
  );
  same(done.filter((it) => it.Value !== null).map(decoded), ["1"], "values that were read");
  const { index, data } = await everywhere(nodes, area + "a");
  same([data.Value, data.Flags, data.CreateIndex], ["1", 9, index]);
  for (const name of ["b", "lock"]) {
    assert.equal((await everywhere(nodes, area + name)).index, index, "one index");
  }
  done = await results(
    other.transaction.create([
      op("check-index", area + "a", undefined, { Index: index }),
      op("cas", area + "a", "10", { Index: index }),
      op("check-session", area + "lock", undefined, { Session }),
      op("unlock", area + "lock", "free", { Session }),
      op("delete-cas", area + "b", undefined, { Index: index }),
      op("set", area + "t/x", "x"),
      op("set", area + "t/y", "y"),
      op("get-tree", area + "t/"),
    ]),
  );
  const read = done.filter((it) => it.Value !== null).map((it) => [it.Key, decoded(it)]);
  same(read, [[area + "t/x", "x"], [area + "t/y", "y"]], "what the tree held");
  const later = await everywhere(nodes, area + "lock");
  same([later.data.Value, later.data.Session], ["free", undefined]);
  assert.ok(later.index > index, `${later.index} after ${index}`);
  assert.equal((await everywhere(nodes, area + "b")).data, undefined);
  await results(one.transaction.create([op("delete", area + "a"), op("delete-tree", area + "t/")]));
  const left = await everywhere(nodes, area, { recurse: true });
  same(left.data.map((it) => it.Key), [area + "lock"]);
  await one.session.destroy(Session);
}

async function txnRefused(nodes, area) {
  const client = nodes.at(-1).client;
  const key = area + "refused";
  assert.equal(await client.kv.set(key, "x"), true);
  const before = await everywhere(nodes, key);
  const ops = [
    op("set", key, "never"),
    op("check-index", key, undefined, { Index: 1 }),
    op("check-not-exists", key),
    op("lock", key, "never", { Session: NOBODY }),
    op("get", area + "not there"),
  ];
  const error = await fails(409, () => client.transaction.create(ops));
  const { Errors } = error.response.body;
  same([...new Set(Errors.map((it) => it.OpIndex))], [1, 2, 3, 4], "operations that failed");
  assert.ok(Errors.every((it) => it.What.length > 0));
  same(await everywhere(nodes, key), before, "entry after a refusal");
  const many = Array.from({ length: 129 }, (_, number) => op("set", `${key}/${number}`, "x"));
  await fails(413, () => client.transaction.create(many));
  assert.equal((await get(client, key + "/", { recurse: true })).data, undefined);
  await results(client.transaction.create(many.slice(1)));
  assert.equal((await everywhere(nodes, key + "/", { recurse: true })).data.length, 128);
  await fails(null, () => client.transaction.create([op("no-such-verb", key)]));
  const broken = [{ KV: { Verb: "set", Key: key, Value: "!" } }];
  await fails(null, () => client.transaction.create(broken));
}

module.exports = { locks, open, sessionEnds, sessions, txn, txnRefused };
