"use strict";
// The loss of the leader: what was begun before it must come out right behind it.

const { Watch, assert, blocked, eventually, get, order, pause, refused } = require("./common");
const { open } = require("./locks");

const same = assert.deepEqual;
// Increments that must be acknowledged, most of them behind the loss.
const INCREMENTS = 40;

/** A number that is counted up by compare-and-set, at each node in turn, come what may. */
class Counter {
  constructor(nodes, key) {
    Object.assign(this, { nodes, key, value: 0, indexes: [], turn: 0 });
  }

  client() {
    return this.nodes[this.turn++ % this.nodes.length].client;
  }

  async count() {
    const index = await eventually("counting", async () => {
      let { index, data } = await get(this.client(), this.key);
      const found = data ? Number(data.Value) : 0;
      // A try that was answered with an error may have been done all the same.
      assert.ok(found === this.value || found === this.value + 1, `${found}, not ${this.value}`);
      if (found === this.value) {
        const put = { key: this.key, value: String(found + 1), cas: data ? data.ModifyIndex : 0 };
        assert.equal(await this.client().kv.set(put), true, "a lost race");
        ({ index, data } = await get(this.client(), this.key));
        assert.equal(Number(data.Value), found + 1, "the number just written");
      }
      return index;
    });
    this.indexes.push(index);
    this.value += 1;
  }
}

function leaderOf(nodes) {
  return eventually("a leader", async () => {
    const leaders = new Set();
    for (const node of nodes) leaders.add(await node.client.status.leader());
    assert.equal(leaders.size, 1, `${[...leaders]}`);
    const leader = nodes.find((node) => leaders.has(node.peer));
    assert.ok(leader, `${[...leaders]} does not run`);
    return leader;
  });
}

/** Has everything under way, at nodes that stay and through the one that goes. */
async function begin(left) {
  const [one, other] = left;
  const counter = new Counter(left, "loss/counter");
  for (let count = 0; count < 5; count += 1) await counter.count();
  const watch = new Watch(one, "loss/counter");
  assert.equal(await one.client.kv.set("loss/blocked", "old"), true);
  const asked = (await get(one.client, "loss/blocked")).index;
  const wait = { index: asked, wait: "100s" };
  const endOfWait = await blocked(one, (client) => get(client, "loss/blocked", wait));
  const sessions = {
    holder: await open(one.client, { lockdelay: "0s" }),
    living: await open(one.client, { ttl: "10s", lockdelay: "0s" }),
  };
  const forgot = Date.now();
  sessions.dying = await open(other.client, { ttl: "10s", lockdelay: "0s" });
  for (const [name, acquire] of Object.entries(sessions)) {
    assert.equal(await one.client.kv.set({ key: "loss/" + name, value: name, acquire }), true);
  }
  const written = {};
  for (let number = 0; number < 20; number += 1) {
    written[`loss/values/${number}`] = String(number);
    assert.equal(await other.client.kv.set(`loss/values/${number}`, String(number)), true);
  }
  const before = await get(one.client, "loss/values/", { recurse: true });
  return { counter, watch, asked, endOfWait, sessions, forgot, written, before };
}

/** Keeps a session of 10 seconds alive through whichever node takes it; gives how to stop. */
function renewing(nodes, id) {
  let ended = false;
  const run = async () => {
    for (let at = 0; !ended; await pause(500)) {
      await nodes[at % nodes.length].client.session.renew(id).catch(() => (at += 1));
    }
  };
  const running = run();
  return () => ((ended = true), running);
}

/** One after the other; `during` is what else must work while a node is missing. */
async function loss(nodes, tell, during) {
  const victim = await leaderOf(nodes);
  const left = nodes.filter((node) => node !== victim);
  const [one, other] = left;
  const begun = await begin(left);
  const { counter, watch, asked, endOfWait, sessions, forgot, written, before } = begun;
  const stop = renewing(left, sessions.living);
  const held = async (name, session) => {
    for (const { client } of left) {
      assert.equal((await get(client, "loss/" + name)).data.Session, session, name);
    }
  };
  await order(`kill ${victim.name}`);
  await tell("another leads", () => leaderOf(left));
  await tell("writes go on", async () => {
    for (let count = 0; count < INCREMENTS; count += 1) await counter.count();
  });
  await tell("blocked read", async () => {
    assert.equal(await other.client.kv.set("loss/blocked", "new"), true);
    const { index, data } = await endOfWait();
    assert.equal(data.Value, "new", "what was waited for");
    assert.ok(index > asked, `${index} after ${asked}`);
  });
  await tell("watch goes on", async () => {
    await watch.sees(String(counter.value));
    watch.end();
  });
  await tell("indexes", async () => {
    const ordered = [...new Set(counter.indexes)].sort((left, right) => left - right);
    same(counter.indexes, ordered);
    for (const { client } of left) {
      assert.equal((await get(client, "loss/counter")).index, counter.indexes.at(-1));
    }
  });
  await tell("lock is held", async () => {
    await held("holder", sessions.holder);
    const rival = await open(other.client, { lockdelay: "0s" });
    const key = "loss/holder";
    const take = (ctx) => other.client.kv.set({ ctx, key, value: "x", acquire: rival });
    await refused(take, "a rival");
    const release = sessions.holder;
    assert.equal(await one.client.kv.set({ key, value: "free", release }), true);
    assert.equal(await other.client.kv.set({ key, value: "mine", acquire: rival }), true);
  });
  await during(left);
  await tell("renewed session", async () => {
    // Longer than it would live without being renewed.
    await eventually("ten seconds", async () => assert.ok(Date.now() - forgot > 10_500));
    await held("living", sessions.living);
    await stop();
  });
  await tell("forgotten session", async () => {
    if (Date.now() - forgot < 9_000) await held("dying", sessions.dying);
    await eventually("the end of a session", async () => {
      assert.equal((await get(one.client, "loss/dying")).data.Session, undefined);
    });
    const took = (Date.now() - forgot) / 1000;
    assert.ok(took >= 10 && took < 40, `a session of 10 s ended after ${took} s`);
    assert.equal(await other.client.session.info(sessions.dying), undefined, "the session");
  });
  await tell("values", async () => {
    for (const { client } of left) {
      same(await get(client, "loss/values/", { recurse: true }), before);
    }
    same(Object.fromEntries(before.data.map((it) => [it.Key, it.Value])), written);
  });
  await order(`restart ${victim.name}`);
  await tell("node is back", async () => {
    for (const { client } of nodes) {
      const all = { recurse: true };
      same(await get(client, "loss/", all), await get(one.client, "loss/", all));
      const stale = async () => same(await get(client, "loss/values/", { ...all, stale: true }), before);
      await eventually("the node that is back", stale);
    }
  });
}

module.exports = { loss };
