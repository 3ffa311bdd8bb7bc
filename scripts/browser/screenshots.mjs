// Pictures of each page, by day and in the dark, on a phone and on a desktop, for docs/screenshots.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";

import { shrink } from "./png.mjs";
import * as sample from "./sample.mjs";

const DIR = "docs/screenshots";
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1100, height: 800 } };

/** Fills a board as time goes by, and takes the pictures. */
export async function takeAll(people, cluster) {
  const everybody = await fill(people, cluster);
  const reader = everybody.get("mara");
  const visitor = await people.person("visitor");
  await visitor.goTo(cluster.nodes[1], "/b");
  await reader.goTo(cluster.nodes[2], "/b/newest");
  const own = await keyOf(reader, "https://www.sqlite.org/appfileformat.html");
  const talked = await keyOf(reader, sample.TALKED_ABOUT);
  mkdirSync(DIR, { recursive: true });
  for (const old of readdirSync(DIR)) if (old.endsWith(".png")) rmSync(`${DIR}/${old}`);
  const pages = [
    [visitor, "front", "/b"],
    [reader, "newest", "/b/newest"],
    [reader, "top", "/b/top/week"],
    [reader, "user", "/b/u/tomoko"],
    [reader, "host", "/b/host/sqlite.org"],
    [reader, "post", `/b/p/${talked}`],
    [reader, "submit", "/b/post"],
    [visitor, "signup", "/b/signup"],
    [visitor, "login", "/b/login"],
    [reader, "settings", "/b/settings"],
    [reader, "edit", `/b/edit/${own}`],
    [reader, "delete", `/b/delete/${own}`],
    [everybody.get("greta"), "moderator", `/b/p/${talked}`],
    [reader, "log", "/b/log"],
    [visitor, "about", "/b/about"],
    [visitor, "missing", "/b/p/nowhere"],
  ];
  for (const [person, name, path] of pages) {
    await person.open(path);
    await take(person, name);
  }
  await reader.open("/b/post");
  await reader.send(sample.REFUSED, "Post");
  await take(reader, "submit-error");
  writeFileSync(`${DIR}/README.md`, index([...pages.map(([, name]) => name), "submit-error"]));
  await people.leave();
}

/** All pictures on one page. */
function index(names) {
  const kinds = ["light-desktop", "dark-desktop", "light-phone", "dark-phone"];
  const widths = [340, 340, 130, 130];
  const row = (name) => {
    const picture = (kind, at) =>
      `<img src="${name}-${kind}.png" alt="${name}, ${kind}" width="${widths[at]}">`;
    return `## ${name}\n\n${kinds.map(picture).join("\n")}`;
  };
  return [
    "# The link board in pictures",
    "Taken by `scripts/test-browser.sh --screenshots`; posts and people are made up.",
    ...names.map(row),
  ].join("\n\n").concat("\n");
}

async function take(person, name) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      await person.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await person.page.setViewportSize(viewport);
      const picture = await person.page.screenshot({ fullPage: true, animations: "disabled" });
      writeFileSync(`${DIR}/${name}-${colorScheme}-${size}.png`, shrink(picture));
    }
  }
  console.log(`${DIR}/${name}: taken`);
}

async function fill(people, cluster) {
  const everybody = new Map();
  for (const [ago, posts] of sample.DAYS) {
    await goBack(cluster, ago);
    for (const [at, name] of sample.NAMES.entries()) {
      if (everybody.has(name)) continue;
      const person = await people.person(name);
      everybody.set(name, person);
      await person.goTo(cluster.nodes[at % cluster.nodes.length], "/b");
      await person.signUp();
    }
    for (const [author, title, url, likers] of posts) {
      const key = await everybody.get(author).post(title, url);
      for (const liker of likers.split(" ").filter(Boolean)) await likes(everybody.get(liker), key);
    }
    if (ago === sample.TALK_AGO) await talk(everybody);
  }
  cluster.moderator(cluster.nodes[0], "add", sample.NAMES.at(-1));
  await moderate(everybody.get(sample.NAMES.at(-1)));
  const [url, title] = sample.RETITLED;
  const tomoko = everybody.get("tomoko");
  await tomoko.open("/b/newest");
  await tomoko.open(`/b/edit/${await keyOf(tomoko, url)}`);
  await tomoko.send({ title }, "Save");
  return everybody;
}

/** All nodes start anew so many minutes ago, where libfaketime is there; what was is of now where not. */
async function goBack(cluster, minutes) {
  const library = ["x86_64", "aarch64"].map((it) => `/usr/lib/${it}-linux-gnu/faketime/libfaketimeMT.so.1`);
  const found = library.find((it) => existsSync(it));
  if (!found) return;
  await Promise.all(cluster.nodes.map((node) => node.stop()));
  const only = { FAKETIME_DONT_FAKE_MONOTONIC: "1", NO_FAKE_STAT: "1" };
  for (const node of cluster.nodes) node.env = { LD_PRELOAD: found, FAKETIME: `-${minutes}m`, ...only };
  await cluster.mend();
}

async function likes(person, key) {
  await person.sees(person.node, `/b/p/${key}`, "the post", () => person.status === 200);
  await person.like(key);
}

async function talk(everybody) {
  const reader = everybody.get("mara");
  await reader.open("/b/newest");
  const key = await keyOf(reader, sample.TALKED_ABOUT);
  for (const [name, text, answers] of sample.TALK) {
    await everybody.get(name).comment(key, text);
    for (const [other, answer] of answers) {
      const person = everybody.get(other);
      const said = person.page.locator(".comment", { hasText: text.split("\n")[0].slice(0, 40) }).first();
      await person.sees(person.node, `/b/p/${key}`, "what is answered", async () => (await said.count()) > 0);
      await person.follow("Reply", said);
      await person.send({ text: answer }, "Reply");
    }
  }
}

async function moderate(greta) {
  const [url, reason] = sample.HIDDEN;
  await greta.sees(greta.node, "/b/newest", "what to hide", async () => await keyOf(greta, url));
  await greta.open(`/b/p/${await keyOf(greta, url)}`);
  await greta.page.locator("form", { has: greta.button("Hide") }).locator("[name=reason]").fill(reason);
  await greta.press("Hide");
}

/** The key of the post that leads there, in the list that they look at. */
async function keyOf(person, url) {
  for (const key of await person.keys()) {
    const answer = await person.context.request.get(person.node.url(`/${key}`), { maxRedirects: 0 });
    if (answer.headers().location === url) return key;
  }
  return null;
}
