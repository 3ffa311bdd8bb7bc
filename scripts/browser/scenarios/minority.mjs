// One node is left of three: it shows what it has, takes nothing, says so, and loses nothing of what is typed.

import assert from "node:assert/strict";

export const title = "two nodes of three are lost";

export async function run({ people, cluster, step }) {
  const ada = await people.person("ada-minority");
  const bob = await people.person("bob-minority");
  const [left, ...lost] = cluster.nodes;
  const link = { title: "On being alone with a log", url: "https://www.usenix.org/publications/login" };
  let key;

  await step("she posts, he sees it on another node, and then that one and one more are gone", async () => {
    await ada.goTo(left, "/b");
    await ada.signUp();
    key = await ada.post("Before the storm", "https://www.metoffice.gov.uk/weather/learn-about");
    await bob.goTo(lost[0], "/b");
    await bob.signUp();
    await bob.sees(lost[0], "/b/newest", "her post", async () => (await bob.keys()).includes(key));
    await Promise.all(lost.map((node) => node.kill()));
  });

  await step("on the one that is left both read on, as who they are", async () => {
    for (const person of [ada, bob]) {
      await person.goTo(left, "/b/newest");
      assert.equal(person.status, 200);
      assert.ok((await person.keys()).includes(key));
      await person.expectUser();
    }
  });

  await step("what she posts is not taken, which it says, and what she typed is still there", async () => {
    await ada.open("/b/post");
    await ada.fill(link);
    await ada.press("Post");
    assert.ok(ada.isPutOff, `answered ${ada.status}`);
    for (const [name, value] of Object.entries(link)) {
      assert.equal(await ada.page.locator(`#${name}`).inputValue(), value);
    }
  });

  await step("a stranger who logs in is told so too, and is asked for the password again", async () => {
    const phone = await people.again(bob);
    await phone.goTo(left, "/b/login");
    await phone.fill({ name: phone.name, password: phone.password });
    await phone.press("Log in");
    assert.ok(phone.isPutOff, `answered ${phone.status}`);
    assert.equal(await phone.page.locator("#name").inputValue(), phone.name);
    assert.equal(await phone.page.locator("#password").inputValue(), "");
  });

  await step("one comes back: she presses the same button, and he sees the post there", async () => {
    await lost[1].start();
    await ada.send({}, "Post");
    assert.equal(ada.status, 200, await ada.text());
    const isThere = async () => (await bob.text()).includes(link.title);
    await bob.sees(lost[1], "/b/newest", "her post", isThere);
    await bob.expectUser();
    await cluster.mend();
    await bob.sees(lost[0], "/b/newest", "it there as well", isThere);
  });
}
