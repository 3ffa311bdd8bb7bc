// Guessing passwords, forging forms, making accounts in masses: refused, on all nodes together.

import assert from "node:assert/strict";

export const title = "too many attempts, and forged forms";

/** More than any limit lets through at once. */
const ATTEMPTS_MAX = 20;

export async function run({ people, cluster, step }) {
  const { nodes } = cluster;
  const ada = await people.person("ada-attempts");
  const mallory = await people.person("mallory-attempts");
  const guessed = "Some-Name";

  await step("a wrong password and an unknown name are told apart by nobody", async () => {
    await ada.goTo(nodes[0], "/b");
    await ada.signUp();
    const told = [];
    for (const name of [ada.name, "nobody-at-all"]) {
      await mallory.goTo(nodes[1], "/b/login");
      await mallory.send({ name, password: "a wrong guess" }, "Log in");
      await mallory.expectNobody();
      assert.equal(await mallory.page.locator("#name").inputValue(), name, "the name is kept");
      assert.equal(await mallory.page.locator("#password").inputValue(), "");
      assert.equal(await mallory.page.locator("header [aria-current]").count(), 0, "this is no list");
      told.push(`${mallory.status} ${(await mallory.main()).replaceAll(name, "NAME")}`);
    }
    assert.equal(told[0], told[1]);
  });

  await step("guesses are counted over all nodes; then it is 429, and says when", async () => {
    let at = 0;
    do {
      await mallory.goTo(nodes[at % nodes.length], "/b/login");
      await mallory.send({ name: guessed, password: `guess ${at}` }, "Log in");
      at += 1;
    } while (mallory.status !== 429 && at < ATTEMPTS_MAX);
    assert.equal(mallory.status, 429, `after ${at} attempts`);
    assert.ok(Number(mallory.answer.headers()["retry-after"]) > 0, "it says when to come again");
    assert.equal(await mallory.page.locator("#name").inputValue(), guessed, "the name is kept");
    // As another user, whoever is not who was guessed at.
    const phone = await people.again(ada);
    await phone.goTo(nodes[2], "/b");
    await phone.logIn();
  });

  await step("accounts are not made in masses", async () => {
    let at = 0;
    do {
      const next = await people.again(mallory, { extraHTTPHeaders: { "X-Forwarded-For": "192.0.2.7" } });
      await next.goTo(nodes[at % nodes.length], "/b/signup");
      await next.send({ name: `mass-${at}`, password: next.password }, "Sign up");
      mallory.answer = next.answer;
      at += 1;
    } while (mallory.status !== 429 && at < ATTEMPTS_MAX);
    assert.equal(mallory.status, 429, `after ${at} attempts`);
    assert.ok(Number(mallory.answer.headers()["retry-after"]) > 0, "it says when to come again");
  });

  await step("a form with another token is 403, and keeps what was typed", async () => {
    const typed = { title: "Knots worth knowing", url: "https://www.animatedknots.com/" };
    await ada.goTo(nodes[1], "/b/post");
    const token = ada.page.locator("main form input[name=csrf]").first();
    await token.evaluate((field) => (field.value = "A".repeat(field.value.length)));
    await ada.fill(typed);
    await ada.press("Post");
    assert.equal(ada.status, 403);
    for (const [name, value] of Object.entries(typed)) {
      assert.equal(await ada.page.locator(`#${name}`).inputValue(), value);
    }
    await ada.press("Post");
    assert.equal(ada.status, 200, "with the new token it goes through");
    const key = /^\/b\/p\/([\w-]+)/.exec(ada.path)[1];
    await mallory.sees(nodes[2], "/b/newest", "her post", async () => (await mallory.keys()).includes(key));
  });
}
