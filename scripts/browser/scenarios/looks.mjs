// How pages are made: small, alone, readable on anything, in the dark and by day, whoever reads.

import assert from "node:assert/strict";

import { audit } from "../audit.mjs";

export const title = "looks";

/** Bytes that the front page may be, with all that it needs, as they go over the wire. */
const FRONT_BYTES_MAX = 30 * 1024;
/** Posts of a full page. */
const PAGE_POSTS = 30;
/** What the policy of each page says at least. */
const RULES = ["default-src 'none'", "style-src 'self'", "form-action 'self'", "base-uri 'none'",
  "frame-ancestors 'none'"];

export async function run({ people, cluster, step }) {
  const [one, two, three] = cluster.nodes;
  const authors = [];
  const keys = [];
  const reader = await people.person("reader", { javaScriptEnabled: true });

  await step("more is posted than fits on a page, and another one pages through it", async () => {
    for (const at of [0, 1, 2, 3]) {
      const author = await people.person(`author-${at}`);
      authors.push(author);
      await author.goTo(cluster.nodes[at % 3], "/b");
      await author.signUp();
      for (let number = 0; number < 8; number += 1) keys.push(await author.post(...link(at, number)));
    }
    await authors[1].comment(keys[0], `${"a long word ".repeat(40)}${"x".repeat(300)}\n\nAnd a last line.`);
    await reader.sees(three, "/b/newest", "the last one", async () => {
      return (await reader.keys()).includes(keys.at(-1));
    });
    const pages = [await reader.keys()];
    assert.equal(pages[0].length, PAGE_POSTS);
    while (keys.some((key) => !pages.flat().includes(key))) {
      // Each page from another node: where one goes on does not hang on who said so.
      reader.node = cluster.nodes[pages.length % 3];
      const href = await reader.page.locator("a.more[rel=next]").getAttribute("href");
      await reader.open(new URL(href, reader.page.url()).href.replace(/^http:\/\/[^/]+/, ""));
      pages.push(await reader.keys());
      assert.ok(pages.at(-1).length > 0);
    }
    assert.equal(new Set(pages.flat()).size, pages.flat().length, "nothing comes twice");
  });

  await step("all pages, at 360 px and on a desktop, by day and in the dark", async () => {
    const author = authors[0];
    await author.open("/b");
    await reader.context.addCookies((await author.context.storageState()).cookies);
    const own = keys[0];
    const paths = [
      "/b", "/b/newest", "/b/top/day", `/b/u/${author.name}`, "/b/host/example.org", `/b/p/${own}`,
      "/b/post", `/b/edit/${own}`, `/b/delete/${own}`, "/b/settings", "/b/log", "/b/about", "/b/no-such-page",
    ];
    const faults = [];
    for (const path of paths) faults.push(...(await faultsOf(reader, two, path)));
    await reader.context.clearCookies();
    for (const path of ["/b", "/b/signup", "/b/login", "/b/post", `/b/p/${own}`]) {
      faults.push(...(await faultsOf(reader, three, path)));
    }
    await reader.goTo(one, "/b/signup");
    await reader.page.locator("main form").evaluate((form) => (form.noValidate = true));
    await reader.press("Sign up");
    assert.equal(reader.status, 422);
    faults.push(...(await inAllLights(reader, "sign-up with errors")));
    assert.equal(faults.join("\n"), "");
  });

  await step("every page says what a browser may do with it", async () => {
    for (const path of ["/b", "/b/login", `/b/p/${keys[0]}`, "/b/no-such-page"]) {
      const headers = (await reader.goTo(one, path)).headers();
      assert.match(headers["content-type"], /^text\/html; *charset=utf-8$/i);
      const policy = headers["content-security-policy"];
      for (const rule of RULES) {
        assert.ok(policy?.includes(rule), `${path}: ${policy}`);
      }
      assert.doesNotMatch(policy, /unsafe|script-src|\*/);
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.equal(headers["referrer-policy"], "same-origin");
      assert.match(headers["cache-control"], /private/);
    }
  });

  await step("the front page is under 30 KB with all that it needs", async () => {
    const fresh = await people.person("fresh", { javaScriptEnabled: true });
    const tools = await fresh.context.newCDPSession(fresh.page);
    await tools.send("Network.enable");
    let bytes = 0;
    tools.on("Network.loadingFinished", (loaded) => (bytes += loaded.encodedDataLength));
    await fresh.goTo(two, "/b");
    await fresh.page.waitForLoadState("networkidle");
    assert.equal((await fresh.keys()).length, PAGE_POSTS);
    assert.ok(bytes > 1_000 && bytes < FRONT_BYTES_MAX, `${bytes} bytes`);
    return `${bytes} bytes`;
  });
}

function link(author, number) {
  const words = "Notes on a replicated log that outlives any of the machines it was written on, part";
  const title = `${number % 3 === 0 ? words : "A short note"} ${author}.${number}`;
  const unbroken = `${"Donaudampfschifffahrtsgesellschaftskapitän".repeat(3)} ${author}`;
  return [number === 5 ? unbroken : title, `https://www.example.org/${author}/${number}`];
}

async function faultsOf(person, node, path) {
  await person.goTo(node, path);
  return inAllLights(person, path);
}

async function inAllLights(person, what) {
  const faults = [];
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1100]) {
      await person.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await person.page.setViewportSize({ width, height: 740 });
      const found = await audit(person.page);
      faults.push(...found.map((fault) => `${what}, ${colorScheme}, ${width} px: ${fault}`));
    }
  }
  return faults;
}
