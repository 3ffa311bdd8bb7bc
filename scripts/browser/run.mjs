// Starts three nodes and a browser, goes through the scenarios, and ends everything whatever happens.
//
//     run.mjs [--screenshots] [SCENARIO…]

import { mkdirSync, writeFileSync } from "node:fs";

import { launch } from "./browser.mjs";
import { Cluster } from "./cluster.mjs";
import { People } from "./people.mjs";

/** In the order in which they run, on one cluster; each leaves three nodes behind. */
const SCENARIOS = ["everyday", "leader", "follower", "minority", "restart", "logout", "attempts", "keyboard",
  "hostile", "looks"];
/** Milliseconds for everything. Catches a hang, not slowness. */
const LIMIT = 15 * 60_000;

const asked = process.argv.slice(2);
const wantsPictures = asked.includes("--screenshots");
const names = asked.filter((it) => it !== "--screenshots");
const unknown = names.filter((name) => !SCENARIOS.includes(name));
if (unknown.length > 0) {
  console.error(`there is no ${unknown.join(", ")}; there are ${SCENARIOS.join(", ")}`);
  process.exit(2);
}

const cluster = new Cluster(process.env.BOWLINE);
let browser;

// However this process ends, the nodes end with it, and so does the browser, as playwright sees to it.
process.on("exit", () => cluster.end());
for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]]) {
  process.on(signal, () => process.exit(code));
}
setTimeout(() => {
  console.error(`FAIL: not done after ${LIMIT / 60_000} minutes`);
  process.exit(1);
}, LIMIT).unref();

const seconds = (since) => `${((performance.now() - since) / 1_000).toFixed(1)} s`;

/** Runs one scenario; says whether all was well. */
async function runs(name) {
  const { title, run } = await import(`./scenarios/${name}.mjs`);
  const people = new People(browser, cluster);
  let doing = "begins";
  const step = async (what, act) => {
    doing = what;
    const start = performance.now();
    const said = await act();
    console.log(`PASS ${name}: ${what}${said ? `: ${said}` : ""} (${seconds(start)})`);
  };
  console.log(`---- ${title}`);
  try {
    await cluster.mend();
    await run({ people, cluster, step });
    doing = "nothing is wrong in any browser";
    await people.leave();
    return true;
  } catch (error) {
    console.log(`FAIL ${name}: ${doing}\n${error.stack}`);
    await leaveEvidence(name, people);
    return false;
  }
}

/** What they all see now, for whoever looks for the reason. */
async function leaveEvidence(name, people) {
  const dir = `${process.env.BOWLINE_EVIDENCE}/${name}`;
  mkdirSync(dir, { recursive: true });
  for (const [at, person] of people.all.entries()) {
    const file = `${dir}/${at}-${person.name}`;
    await person.page.screenshot({ path: `${file}.png`, timeout: 5_000 }).catch(() => {});
    const page = await person.page.content().catch(() => "");
    writeFileSync(`${file}.html`, `<!-- ${person.page.url()} -->\n${page}`);
  }
  for (const node of cluster.nodes) writeFileSync(`${dir}/${node.name}.log`, node.lastWords());
  console.log(`see ${dir}`);
  await people.leave().catch(() => {});
}

const start = performance.now();
const failed = [];
try {
  browser = await launch();
  await cluster.start();
  if (wantsPictures) {
    const { takeAll } = await import("./screenshots.mjs");
    await takeAll(new People(browser, cluster), cluster);
  }
  for (const name of wantsPictures ? names : (names.length > 0 ? names : SCENARIOS)) {
    if (!(await runs(name))) failed.push(name);
  }
} catch (error) {
  console.log(error.stack);
  failed.push("everything");
}
console.log(`${failed.length > 0 ? `FAIL ${failed.join(", ")}` : "PASS"} after ${seconds(start)}`);
process.exit(failed.length > 0 ? 1 : 0);
