// Logging out everywhere ends it everywhere, and does not come undone.

import assert from "node:assert/strict";

export const title = "logged out everywhere";

export async function run({ people, cluster, step }) {
  const [one, two, three] = cluster.nodes;
  const ada = await people.person("ada-logout");
  const bob = await people.person("bob-logout");
  let phone, thief;

  await step("she is logged in on one node, and with her phone on the third", async () => {
    await ada.goTo(one, "/b");
    await ada.signUp();
    phone = await people.again(ada, { viewport: { width: 390, height: 800 } });
    await phone.goTo(three, "/b");
    await phone.logIn();
    await phone.open("/b/settings");
    await phone.expectUser();
    // Somebody has read her cookies.
    thief = await people.again(ada, { storageState: await ada.context.storageState() });
    await thief.goTo(two, "/b");
    await thief.expectUser();
    await bob.goTo(two, "/b");
    await bob.signUp();
  });

  await step("she logs out everywhere on the second; on the third her phone is logged out", async () => {
    await ada.goTo(two, "/b/settings");
    await ada.press("Log out everywhere");
    await ada.expectNobody();
    await phone.sees(three, "/b", "that it is logged out", async () => !(await phone.userShown()));
    await thief.sees(one, "/b", "that it is over", async () => !(await thief.userShown()));
    await ada.goTo(three, "/b");
    await ada.expectNobody();
  });

  await step("nobody with her old cookies can do anything, and others are as they were", async () => {
    await phone.goTo(three, "/b/settings");
    await phone.expectNobody();
    await thief.goTo(three, "/b/post");
    await thief.expectNobody();
    await bob.goTo(three, "/b");
    await bob.expectUser();
  });

  await step("a form that was open then says so, and keeps what was typed", async () => {
    await phone.goTo(three, "/b");
    await phone.logIn();
    await phone.open("/b/post");
    await ada.goTo(one, "/b");
    await ada.logIn();
    await ada.open("/b/settings");
    await ada.press("Log out everywhere");
    const typed = { title: "Half a thought", url: "https://www.gutenberg.org/" };
    // Her phone's node may not know it yet; what it sends is judged by those who do.
    await phone.fill(typed);
    await phone.press("Post");
    assert.ok([401, 403].includes(phone.status), `answered ${phone.status}`);
    for (const [name, value] of Object.entries(typed)) {
      assert.equal(await phone.page.locator(`#${name}`).inputValue(), value);
    }
    await bob.sees(two, "/b/newest", "nothing of it", async () => {
      return !(await bob.text()).includes("Half a thought");
    });
  });

  await step("she logs in again, and one log-out leaves the other log-in alone", async () => {
    await ada.goTo(two, "/b");
    await ada.logIn();
    await phone.goTo(three, "/b");
    await phone.logIn();
    await phone.press("Log out");
    await phone.expectNobody();
    await ada.goTo(three, "/b");
    await ada.expectUser();
  });
}
