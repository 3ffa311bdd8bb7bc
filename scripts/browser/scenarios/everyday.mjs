// What people do all day: post, like, comment, edit, delete, moderate; one does, another one sees.

import assert from "node:assert/strict";

import { samePages } from "../same.mjs";

export const title = "an ordinary day on three nodes, without JavaScript";

export async function run({ people, cluster, step }) {
  const [one, two, three] = cluster.nodes;
  const ada = await people.person("ada-daily");
  const bob = await people.person("bob-daily");
  const url = "https://www.rfc-editor.org/rfc/rfc9457.html?utm_source=mail#section-3";
  let key;

  await step("they sign up from the front page", async () => {
    for (const [person, node] of [[ada, one], [bob, two]]) {
      await person.goTo(node, "/b");
      await person.follow("Sign up");
      await person.send({ name: person.name, password: person.password }, "Sign up");
      await person.expectUser();
    }
  });

  await step("she posts from the navigation, and he sees title, host and name", async () => {
    await ada.follow("Post", ada.page.locator("header"));
    await ada.send({ title: "  Problem   details for HTTP APIs ", url }, "Post");
    key = /^\/b\/p\/([\w-]+)/.exec(ada.path)?.[1];
    assert.ok(key, await ada.text());
    await bob.sees(three, "/b/newest", "her post", async () => (await bob.keys()).includes(key));
    const entry = await bob.around(key);
    const link = entry.locator("a.title");
    assert.equal(await link.innerText(), "Problem details for HTTP APIs");
    assert.equal(await link.getAttribute("href"), `/${key}`);
    assert.match(await entry.locator(".host").innerText(), /rfc-editor\.org/);
    assert.equal(await entry.getByRole("link", { name: ada.name }).count(), 1);
  });

  await step("its title goes through the short link", async () => {
    const answer = await bob.context.request.get(two.url(`/${key}`), { maxRedirects: 0 });
    assert.equal(Math.trunc(answer.status() / 100), 3);
    assert.equal(answer.headers().location, url);
  });

  await step("he posts the same URL otherwise written, and is led to hers", async () => {
    await bob.goTo(two, "/b/post");
    const again = "http://rfc-editor.org/rfc/rfc9457.html";
    await bob.send({ title: "Have you seen this?", url: again }, "Post");
    assert.ok(bob.path.startsWith(`/b/p/${key}`), bob.path);
    await bob.expectText("Problem details for HTTP APIs");
  });

  await step("he likes and comments, she answers, he sees the answer below his words", async () => {
    await bob.goTo(two, "/b/newest");
    await bob.like(key);
    await bob.comment(key, "Instance URIs are the best part.\nTwo lines of it.");
    await ada.sees(three, `/b/p/${key}`, "his comment", async () => {
      return (await ada.text()).includes("Instance URIs are the best part.");
    });
    assert.equal(await ada.likes(key), 1);
    await ada.follow("Reply", ada.page.locator("main"));
    await ada.send({ text: "And nobody fills them in." }, "Reply");
    await bob.sees(one, `/b/p/${key}`, "her answer", async () => {
      const all = await bob.text();
      return all.indexOf("And nobody fills") > all.indexOf("Instance URIs") && all.includes("And nobody");
    });
    await bob.open("/b/newest");
    assert.match(await (await bob.around(key)).innerText(), /2 comments/);
  });

  await step("she edits the title, and he sees that it was edited", async () => {
    await ada.goTo(two, `/b/edit/${key}`);
    await ada.send({ title: "Problem details for HTTP APIs (2023)" }, "Save");
    await bob.sees(three, "/b/newest", "the new title", async () => {
      const entry = await bob.around(key);
      const mark = await entry.locator(".edited").count();
      return mark === 1 && (await entry.innerText()).includes("(2023)");
    });
  });

  await step("she likes it on two machines at once, on two nodes: that is one like", async () => {
    const phone = await people.again(ada);
    await phone.goTo(three, "/b");
    await phone.logIn();
    await phone.open(`/b/p/${key}`);
    await ada.goTo(two, `/b/p/${key}`);
    await Promise.all([ada.press("Like"), phone.press("Like")]);
    await bob.sees(one, `/b/p/${key}`, "two likes, hers and his", async () => (await bob.likes(key)) === 2);
    await samePages(bob, cluster.nodes, [`/b/p/${key}`]);
    assert.equal(await bob.likes(key), 2);
    await phone.goTo(one, `/b/p/${key}`);
    await phone.like(key, "Unlike");
  });

  await step("he cannot edit it, nor like it once more with a token that is wrong", async () => {
    await bob.goTo(one, `/b/edit/${key}`);
    assert.ok(bob.status >= 400 && bob.status < 500, `answered ${bob.status}`);
    for (const form of [{ csrf: "wrong" }, {}]) {
      const answer = await bob.context.request.post(one.url(`/b/like/${key}`), { form });
      assert.equal(answer.status(), 403);
    }
    await ada.sees(three, `/b/p/${key}`, "one like", async () => (await ada.likes(key)) === 1);
  });

  await step("the lists are there as RSS and JSON, and the page says where", async () => {
    await bob.goTo(three, "/b/newest");
    for (const type of ["application/rss+xml", "application/json"]) {
      const href = await bob.page.locator(`link[rel=alternate][type="${type}"]`).getAttribute("href");
      const answer = await bob.context.request.get(new URL(href, bob.page.url()).href);
      assert.equal(answer.status(), 200, href);
      assert.match(await answer.text(), /Problem details for HTTP APIs \(2023\)/);
    }
  });

  await step("a moderator hides it, says why, and shows it again; the log tells", async () => {
    cluster.moderator(two, "add", bob.name);
    await bob.sees(one, `/b/p/${key}`, "the button", async () => (await bob.button("Hide").count()) > 0);
    const reason = bob.page.locator("form", { has: bob.button("Hide") }).locator("[name=reason]");
    await reason.fill("Off topic today");
    await bob.press("Hide");
    assert.ok(bob.status < 400, await bob.text());
    await ada.sees(three, "/b/newest", "that it is gone", async () => !(await ada.keys()).includes(key));
    const link = await ada.context.request.get(three.url(`/${key}`), { maxRedirects: 0 });
    assert.equal(link.status(), 410);
    await ada.sees(two, "/b/log", "why", async () => (await ada.text()).includes("Off topic today"));
    await bob.goTo(one, `/b/p/${key}`);
    await bob.press("Show");
    await ada.sees(three, "/b/newest", "it again", async () => (await ada.keys()).includes(key));
  });

  await step("she deletes it after being asked, and he finds it gone", async () => {
    await ada.goTo(one, `/b/delete/${key}`);
    await ada.press("Delete");
    assert.ok(ada.status < 400, await ada.text());
    await bob.sees(three, "/b/newest", "that it is gone", async () => !(await bob.keys()).includes(key));
    await bob.sees(two, `/b/p/${key}`, "that it is gone", () => bob.status === 410);
  });

  await step("she changes her password: her other log-ins end, the new one is taken", async () => {
    const phone = await people.again(ada);
    await phone.goTo(three, "/b");
    await phone.logIn();
    await ada.goTo(one, "/b/settings");
    const changed = "a better password";
    await ada.send({ old: ada.password, new: changed }, "Change password");
    assert.equal(ada.status, 200, await ada.text());
    await ada.expectUser();
    await phone.sees(three, "/b", "that it is logged out", async () => !(await phone.userShown()));
    await phone.open("/b/login");
    await phone.send({ name: phone.name, password: phone.password }, "Log in");
    await phone.expectNobody();
    phone.password = changed;
    await phone.logIn();
  });
}
