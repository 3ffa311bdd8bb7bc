// Three real nodes: processes of their own, on ports that were free, in a directory that goes away.

import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { eventually } from "./wait.mjs";

/** A node that runs, or ran: its directory and its addresses stay. */
export class Node {
  constructor(program, home, name) {
    this.program = program;
    this.name = name;
    this.data = join(home, name);
    this.log = join(home, `${name}.log`);
    this.http = "127.0.0.1:0";
    this.peer = "127.0.0.1:0";
    this.child = null;
    /** What its environment says besides, for the next start. */
    this.env = {};
  }

  /** Starts it, the first time on ports that it finds, later on the same ones. */
  async start(...flags) {
    const addresses = ["--http", this.http, "--peer", this.peer];
    const { RUST_LOG, BOWLINE_NODE, ...inherited } = process.env;
    const env = { ...inherited, ...this.env };
    const log = openSync(this.log, "a");
    this.child = spawn(
      this.program,
      ["--name", this.name, "--data", this.data, ...addresses, ...flags],
      { env, stdio: ["ignore", "pipe", log] },
    );
    closeSync(log);
    this.ended = once(this.child, "exit");
    const said = {};
    for await (const line of createInterface({ input: this.child.stdout })) {
      const banner = /^bowline: (http|peer) (?:http:\/\/)?(\S+)$/.exec(line);
      if (banner) said[banner[1]] = banner[2];
      if (said.http && said.peer) break;
    }
    if (!said.peer) throw new Error(`${this.name} does not start:\n${this.lastWords()}`);
    Object.assign(this, said);
    // Goes on reading, so that the node never writes into a full pipe.
    this.child.stdout.resume();
  }

  get isUp() {
    return this.child !== null;
  }

  /** SIGKILL: gone in the middle of whatever it does. */
  async kill() {
    await this.#end("SIGKILL");
  }

  /** SIGTERM: gone when it has put everything in order. */
  async stop() {
    const [code] = await this.#end("SIGTERM");
    if (code !== 0) throw new Error(`${this.name} ended with ${code}:\n${this.lastWords()}`);
  }

  /** SIGSTOP: it does nothing any more, and nobody is told. What is sent to it waits. */
  pause() {
    this.child.kill("SIGSTOP");
  }

  /** SIGCONT: it goes on as if nothing had been. */
  resume() {
    this.child.kill("SIGCONT");
  }

  async #end(signal) {
    const { child, ended } = this;
    this.child = null;
    child.kill(signal);
    return ended;
  }

  url(path) {
    return `http://${this.http}${path}`;
  }

  async get(path) {
    return fetch(this.url(path), { redirect: "manual", signal: AbortSignal.timeout(10_000) });
  }

  async json(path) {
    return (await this.get(path)).json();
  }

  lastWords() {
    try {
      return readFileSync(this.log, "utf8").split("\n").slice(-40).join("\n");
    } catch {
      return "(it said nothing)";
    }
  }
}

/** The nodes, all of them voters. */
export class Cluster {
  constructor(program, size = 3) {
    this.program = program;
    this.home = mkdtempSync(join(tmpdir(), "bowline-browser-"));
    this.nodes = Array.from({ length: size }, (_, at) => new Node(program, this.home, `n${at + 1}`));
  }

  async start() {
    const [first, ...others] = this.nodes;
    await first.start("--bootstrap");
    for (const node of others) await node.start("--join", first.peer);
    await this.settled();
  }

  /** Starts what does not run, and waits until all are as they were. */
  async mend() {
    await Promise.all(this.nodes.filter((node) => !node.isUp).map((node) => node.start()));
    await this.settled();
  }

  /** Waits until the nodes that run are ready, and each knows that all of them vote. */
  async settled() {
    for (const node of this.up) {
      await eventually(`${node.name} is ready`, async () => {
        if ((await node.get("/readyz")).status !== 200) return false;
        const { Servers } = await node.json("/v1/operator/raft/configuration");
        return Servers.filter((server) => server.Voter).length === this.nodes.length;
      });
    }
  }

  get up() {
    return this.nodes.filter((node) => node.isUp);
  }

  /** The node that all nodes that run take for the leader. */
  async leader() {
    return eventually("there is one leader", async () => {
      const said = await Promise.all(this.up.map((node) => node.json("/v1/status/leader")));
      return new Set(said).size === 1 && this.up.find((node) => node.peer === said[0]);
    });
  }

  /** The leader, and the others in their order. */
  async roles() {
    const leader = await this.leader();
    return [leader, ...this.up.filter((node) => node !== leader)];
  }

  /** Sees to it that this node leads: on a slow machine another one may have been elected in between. */
  async makeLeader(node) {
    await eventually(`${node.name} leads`, async () => {
      const leader = await this.leader();
      if (leader === node) return true;
      const { Servers } = await leader.json("/v1/operator/raft/configuration");
      const { ID } = Servers.find((server) => server.Address === node.peer);
      const path = `/v1/operator/raft/transfer-leader?id=${ID}`;
      await fetch(leader.url(path), { method: "PUT", signal: AbortSignal.timeout(10_000) });
      return false;
    });
  }

  /** `bowline board moderator …`, as an operator on this node's machine. */
  moderator(node, verb, name) {
    const order = ["board", "moderator", verb, name, "--node", node.url(""), "--data", node.data];
    const { status, stdout, stderr } = spawnSync(this.program, order, { encoding: "utf8" });
    if (status !== 0) throw new Error(`bowline ${order.join(" ")}: ${status}\n${stdout}${stderr}`);
  }

  /** Ends everything at once, whatever state it is in; for the very end, which waits for nothing. */
  end() {
    for (const node of this.up) node.child.kill("SIGKILL");
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}
