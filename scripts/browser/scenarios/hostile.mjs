// What people type who mean harm, or who only type a lot: it is text, wherever it is shown.

import assert from "node:assert/strict";

export const title = "bad input";

const SCRIPT = "<script>globalThis.harmed=1</script>";
const HANDLER = `"><img src=x onerror="globalThis.harmed=1"><b id='`;
const TURNED = "\u202eright to left\u2066 and \u05e9\u05dc\u05d5\u05dd";
const EMOJI = "\u{1f9f6} yarn \u{1f468}\u200d\u{1f469}\u200d\u{1f467} \u{1f3f4}\u200d\u2620\ufe0f";

export async function run({ people, cluster, step }) {
  const [one, two, three] = cluster.nodes;
  const scripts = { javaScriptEnabled: true };
  const mallory = await people.person("mallory", scripts);
  const bob = await people.person("bob-hostile", scripts);
  const posts = new Map();

  /** On the page that somebody looks at, nothing of it has run. */
  const unharmed = async (person) => {
    assert.equal(await person.page.evaluate(() => globalThis.harmed), undefined, "a script ran");
    assert.equal(await person.page.locator("script, main img, iframe, object").count(), 0);
  };

  await step("titles of all sorts are shown to the other as they were typed", async () => {
    await mallory.goTo(one, "/b");
    await mallory.signUp();
    for (const [at, title] of [SCRIPT, HANDLER, TURNED, EMOJI, "&amp;lt; &#x27;"].entries()) {
      posts.set(await mallory.post(title, `https://example.com/${at}?q=<script>${encodeURI(title)}`), title);
      await unharmed(mallory);
    }
    for (const [key, title] of posts) {
      await bob.sees(two, "/b/newest", title, async () => (await bob.keys()).includes(key));
      const link = (await bob.around(key)).locator("a.title");
      assert.equal(await link.textContent(), title);
      assert.equal(await link.locator("bdi").count(), 1, "its direction stays its own");
      await unharmed(bob);
      await bob.goTo(three, `/b/p/${key}`);
      await bob.expectText(title);
      await unharmed(bob);
    }
  });

  await step("so are comments", async () => {
    const key = [...posts.keys()][0];
    await bob.goTo(two, "/b");
    await bob.signUp();
    await bob.comment(key, `${SCRIPT}\n${HANDLER}\n${TURNED} ${EMOJI}`);
    await mallory.sees(three, `/b/p/${key}`, "his comment", async () => {
      return (await mallory.main()).includes(HANDLER);
    });
    await mallory.expectText(SCRIPT);
    await mallory.expectText(TURNED);
    await unharmed(mallory);
  });

  await step("addresses that are none of the web's are refused beside the field", async () => {
    const bad = [
      "javascript:globalThis.harmed=1", "data:text/html,<script>1</script>", "ftp://example.com/",
      "//example.com", "http://", "file:///etc/passwd", "JaVaScRiPt://example.com/%0aglobalThis.harmed=1",
    ];
    for (const url of bad) {
      await mallory.goTo(two, "/b/post");
      await refused(mallory, "Post", { title: `A link to ${url}`, url }, "url");
      await unharmed(mallory);
    }
  });

  await step("too much, or nothing, is refused beside the field, and kept", async () => {
    const url = "https://example.com/long";
    for (const title of ["x".repeat(10_000), "\u{1f9f6}".repeat(10_000), "   ", " \u00a0"]) {
      await mallory.goTo(three, "/b/post");
      await refused(mallory, "Post", { title, url }, "title");
    }
    await mallory.goTo(one, `/b/p/${[...posts.keys()][0]}`);
    await refused(mallory, "Comment", { text: "word ".repeat(2_000) + SCRIPT }, "text");
    await unharmed(mallory);
  });

  await step("names that are none are refused beside the field", async () => {
    const eve = await people.person("eve", scripts);
    for (const name of [SCRIPT, "a", "-x", "name with spaces", "x".repeat(10_000), "\u0430dmin"]) {
      await eve.goTo(two, "/b/signup");
      await refused(eve, "Sign up", { name }, "name", { password: eve.password });
      await unharmed(eve);
    }
    await refused(eve, "Sign up", { name: "eve-hostile" }, "password", { password: "short" });
  });

  await step("what is in an address is text too", async () => {
    const part = encodeURIComponent(SCRIPT);
    const paths = [
      `/b/post?title=${part}&url=${encodeURIComponent("javascript:globalThis.harmed=1")}`,
      `/b/u/${part}`, `/b/host/${part}`, `/b/p/${part}`, `/b/newest?after=${part}`, `/b/${part}`,
      `/b/login?next=${part}`, "/b/top/%00", "/b/u/%ff%fe", `/b/host/${"x".repeat(2_000)}`,
    ];
    for (const path of paths) {
      await mallory.goTo(three, path);
      assert.ok(mallory.status < 500, `${path} is answered ${mallory.status}`);
      await unharmed(mallory);
    }
  });

  await step("after logging in nobody is sent elsewhere", async () => {
    const elsewhere = ["https://example.com/", "//example.com/b", "/b/../../evil", "/\\example.com", "/bad"];
    for (const next of elsewhere) {
      const bobs = await people.again(bob, scripts);
      await bobs.goTo(one, `/b/login?next=${encodeURIComponent(next)}`);
      await bobs.send({ name: bobs.name, password: bobs.password }, "Log in");
      assert.equal(new URL(bobs.page.url()).origin, one.url(""));
      await bobs.expectUser();
      await bobs.press("Log out");
    }
  });
}

/** Sends it, and is told beside the field what is wrong with it; what was typed is still there. */
async function refused(person, button, fields, wrong, secrets = {}) {
  // A browser would keep some of it back; whoever means harm has another one.
  const plain = (form) => {
    form.noValidate = true;
    for (const field of form.elements) field.removeAttribute("maxlength");
  };
  await person.page.locator("main form", { has: person.button(button) }).evaluate(plain);
  await person.fill({ ...fields, ...secrets });
  await person.press(button);
  assert.equal(person.status, 422, `${button} with ${JSON.stringify(fields).slice(0, 80)}`);
  const field = person.page.locator(`#${wrong}`);
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  const described = (await field.getAttribute("aria-describedby")).split(" ");
  assert.ok(described.includes(`${wrong}-error`), `${wrong} is described by ${described}`);
  assert.ok((await person.page.locator(`#${wrong}-error`).innerText()).length > 5);
  for (const [name, value] of Object.entries(fields)) {
    assert.equal(await person.page.locator(`#${name}`).inputValue(), value, `${name} is kept`);
  }
  for (const name of Object.keys(secrets)) {
    assert.equal(await person.page.locator(`#${name}`).inputValue(), "", `${name} is not sent back`);
  }
}
