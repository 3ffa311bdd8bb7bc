"use strict";
// What the steps share: the nodes as the client sees them, and ways to wait without sleeping blindly.

const assert = require("node:assert/strict");
const { EventEmitter } = require("node:events");
const http = require("node:http");
const readline = require("node:readline");

const Consul = require("consul");

// Milliseconds for anything to come about.
const PATIENCE = 30_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A node, and a client that talks to it. */
class Node {
  constructor(told) {
    this.name = told.name;
    this.peer = told.peer;
    const [host, port] = told.http.split(":");
    this.at = { host, port: Number(port) };
    this.client = new Consul(this.at);
  }

  /** How many blocking reads wait on this node. */
  watches() {
    return new Promise((done, failed) => {
      const asked = http.get({ ...this.at, path: "/metrics", agent: false }, (answer) => {
        let page = "";
        answer.on("data", (part) => (page += part));
        answer.on("end", () => {
          const line = page.split("\n").find((it) => it.startsWith("bowline_watches "));
          if (line) done(Number(line.split(" ")[1]));
          else failed(new Error("the node does not count its watches"));
        });
      });
      asked.on("error", failed);
    });
  }
}

const nodes = () => JSON.parse(process.env.BOWLINE_NODES).map((told) => new Node(told));

const orders = readline.createInterface({ input: process.stdin });
const answers = orders[Symbol.asyncIterator]();

/** Has something done to a node. */
async function order(what) {
  console.log(`DO ${what}`);
  const { value } = await answers.next();
  assert.equal(JSON.parse(value).done, true);
}

/** Calls with the answer's index beside what the client makes of it. */
async function indexed(call) {
  const context = new EventEmitter();
  context.includeResponse = true;
  const [response, data] = await call(context);
  const index = Number(response.headers["x-consul-index"]);
  assert.ok(index >= 1, `index ${response.headers["x-consul-index"]}`);
  return { index, data };
}

/** Makes sure that the answer to a call is `false`, of which the package makes `undefined`. */
async function refused(call, what) {
  const context = new EventEmitter();
  context.includeResponse = true;
  const [, data] = await call(context);
  assert.equal(data, false, what);
}

/** The index and the entry of a key; with `recurse` of all keys behind it. */
const get = (client, key, options = {}) =>
  indexed((ctx) => client.kv.get({ key, ctx, ...options }));

/** Asks until it does not fail, and gives the answer. */
async function eventually(what, ask) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > end) throw new Error(`${what}: ${error.message}`);
    }
    await pause(20);
  }
}

/** The error of a call, which must have this status and hold this text. */
async function fails(status, call, text = "") {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    const body = String(error.response?.body ?? error.message);
    if (status) assert.equal(error.statusCode, status, body || error.message);
    else assert.ok(error.statusCode >= 400, `no error of the server: ${error.message}`);
    assert.ok(body.includes(text), `${text} is not in ${body}`);
    return error;
  }
  throw new Error(`this was taken, and gave ${JSON.stringify(answer)}`);
}

/** Begins a call that is known to wait at a node once this comes back; gives how to end it. */
async function blocked(node, call) {
  const before = await node.watches();
  let over = false;
  const calling = call(node.client);
  const settled = calling.then(
    (answer) => ((over = true), { answer }),
    (error) => ((over = true), { error }),
  );
  await eventually("a blocking read", async () => {
    if (over) throw new Error("it did not wait");
    assert.ok((await node.watches()) > before, "it does not wait yet");
  });
  return async () => {
    const late = pause(PATIENCE).then(() => ({ error: new Error("the read still waits") }));
    const { answer, error } = await Promise.race([settled, late]);
    if (error) throw new Error(`the read failed: ${error.message}`);
    return answer;
  };
}

/** Follows a key with the package's own watch. */
class Watch {
  constructor(node, key) {
    this.values = [];
    this.indexes = [];
    const options = { key, wait: "2s" };
    const { client } = node;
    this.watch = client.watch({ method: client.kv.get, options, backoffFactor: 10 });
    this.watch.on("change", (data, response) => {
      this.values.push(data?.Value);
      this.indexes.push(Number(response.headers["x-consul-index"]));
    });
    this.watch.on("error", (error) => (this.error = error));
  }

  async sees(value) {
    await eventually("the watch", async () => {
      assert.equal(this.values.at(-1), value, `${this.error ?? ""}`);
    });
  }

  end() {
    this.watch.end();
    const ordered = [...new Set(this.indexes)].sort((left, right) => left - right);
    assert.deepEqual(this.indexes, ordered, "the order of indexes");
  }
}

module.exports = {
  Watch, assert, blocked, eventually, fails, get, indexed, nodes, order, orders, pause, refused,
};
