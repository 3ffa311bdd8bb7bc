// Everything without a mouse: Tab, Enter, and letters; and one always sees where one is.

import assert from "node:assert/strict";

export const title = "with the keyboard alone";

/** More stops than any page of a few posts has. */
const STOPS_MAX = 80;

export async function run({ people, cluster, step }) {
  const [one, two, three] = cluster.nodes;
  const ada = await people.person("ada-keys");
  const bob = await people.person("bob-keys");
  let key;

  await step("the first stop of a page leads past the navigation", async () => {
    await ada.goTo(one, "/b");
    await ada.page.keyboard.press("Tab");
    const target = await ada.page.locator(":focus").getAttribute("href");
    assert.match(target, /^#./);
    assert.equal(await ada.page.locator(target).count(), 1, `${target} is there`);
  });

  await step("she signs up", async () => {
    await tabTo(ada, "Sign up", "header");
    await ada.leads(() => ada.page.keyboard.press("Enter"));
    await typeInto(ada, "name", ada.name);
    await typeInto(ada, "password", ada.password);
    await ada.leads(() => ada.page.keyboard.press("Enter"));
    await ada.expectUser();
  });

  await step("she posts, and he sees it on another node", async () => {
    await tabTo(ada, "Post", "header");
    await ada.leads(() => ada.page.keyboard.press("Enter"));
    await typeInto(ada, "title", "Keyboards of the world");
    await typeInto(ada, "url", "https://www.x.org/releases/X11R7.7/doc/libX11/XKB/xkblib.html");
    await tabTo(ada, "Post", "main");
    await ada.leads(() => ada.page.keyboard.press("Enter"));
    key = /^\/b\/p\/([\w-]+)/.exec(ada.path)?.[1];
    assert.ok(key, await ada.text());
    await bob.sees(two, "/b/newest", "her post", async () => (await bob.keys()).includes(key));
  });

  await step("he signs up and likes it from the list, and she sees it on a third", async () => {
    await tabTo(bob, "Sign up", "header");
    await bob.leads(() => bob.page.keyboard.press("Enter"));
    await typeInto(bob, "name", bob.name);
    await typeInto(bob, "password", bob.password);
    await tabTo(bob, "Sign up", "main");
    await bob.leads(() => bob.page.keyboard.press("Enter"));
    await bob.open("/b/newest");
    await tabTo(bob, "Like", `[id="p-${key}"]`);
    await bob.leads(() => bob.page.keyboard.press("Enter"));
    await ada.sees(three, "/b/newest", "his like", async () => (await ada.likes(key)) === 1);
  });
}

/** What has the focus, and whether that can be seen. */
async function focused(person) {
  return person.page.locator(":focus").evaluate((it) => {
    const style = getComputedStyle(it);
    const outlined = style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 1;
    const box = it.getBoundingClientRect();
    return {
      id: it.id,
      name: (it.innerText || it.value || it.getAttribute("aria-label") || "").trim(),
      visible: (outlined || style.boxShadow !== "none") && box.width > 1 && box.height > 1,
    };
  });
}

/** Goes on by Tab until this is focused, within what the selector says. */
async function tabTo(person, name, within) {
  const stops = [];
  for (let stop = 0; stop < STOPS_MAX; stop += 1) {
    await person.page.keyboard.press("Tab");
    if ((await person.page.locator(":focus").count()) === 0) continue;
    const at = await focused(person);
    assert.ok(at.visible, `that ${at.name || at.id} has the focus cannot be seen`);
    stops.push(at.name || at.id);
    const there = await person.page.locator(within).locator(":focus").count();
    if (there > 0 && (at.name === name || at.id === name)) return;
  }
  assert.fail(`Tab never comes to ${name} at ${person.path}, but to ${stops.join(", ")}`);
}

/** The field may have the focus already: where there is little else on a page, it should. */
async function typeInto(person, field, text) {
  const has = await person.page.locator(`#${field}:focus`).count();
  if (has === 0) await tabTo(person, field, "main");
  await person.page.keyboard.type(text);
}
