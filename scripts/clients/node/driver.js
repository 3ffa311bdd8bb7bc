"use strict";
// Works on three nodes through the package `consul`: all steps before the leader is lost, while it is
// gone, and when it is back. See run.py for what is said and asked.

const { nodes, orders } = require("./common");
const locks = require("./locks");
const { loss } = require("./loss");
const steps = require("./steps");

const ALL = {
  "status": steps.status, "agent members": steps.agentMembers, "agent self": steps.agentSelf,
  "kv": steps.kv, "names": steps.names, "unchanged": steps.unchanged, "limits": steps.limits,
  "cas": steps.cas, "recurse": steps.recurse, "keys": steps.keys, "delete": steps.remove,
  "blocking key": steps.blockingKey, "blocking missing key": steps.blockingMissingKey,
  "blocking prefix": steps.blockingPrefix, "watch": steps.watch, "sessions": locks.sessions,
  "locks": locks.locks, "session ends": locks.sessionEnds, "txn": locks.txn,
  "txn refused": locks.txnRefused, "consistency": steps.consistency, "errors": steps.errors,
};

let failed = false;

/** Says whether a step passed, and goes on. */
async function step(name, run) {
  try {
    await run();
    console.log(`PASS ${name}`);
  } catch (error) {
    failed = true;
    const words = `${error.message} ${error.response?.body ?? ""}`;
    console.log(`FAIL ${name}: ${words.replace(/\s+/g, " ").slice(0, 600)}`);
    console.error(error.stack);
  }
}

async function phase(name, some) {
  for (const [what, run] of Object.entries(ALL)) {
    await step(`${name}: ${what}`, () => run(some, `${name}/`));
  }
}

async function main() {
  const all = nodes();
  await phase("before", all);
  await loss(all, (name, run) => step(`loss: ${name}`, run), (left) => phase("during", left));
  await phase("after", all);
  orders.close();
  process.exit(failed ? 1 : 0);
}

main().catch((error) => {
  console.error(error.stack);
  process.exit(1);
});
