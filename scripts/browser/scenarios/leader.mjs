// The leader is lost between log-in and post, and comes back as one of the others.

import assert from "node:assert/strict";

import { samePages } from "../same.mjs";

export const title = "the leader is killed between log-in and post";

export async function run({ people, cluster, step }) {
  const ada = await people.person("ada-leader");
  const bob = await people.person("bob-leader");
  const [leader, second, third] = await cluster.roles();
  let key;

  await step("both sign up, and each sees the other on another node", async () => {
    await ada.goTo(leader, "/b");
    await ada.signUp();
    await bob.goTo(second, "/b");
    await bob.signUp();
    await bob.sees(third, `/b/u/${ada.name}`, "her page", () => bob.status === 200);
    await ada.sees(second, `/b/u/${bob.name}`, "his page", () => ada.status === 200);
  });

  await step("she logs in on the leader", async () => {
    await ada.press("Log out");
    await ada.expectNobody();
    await ada.goTo(leader, "/b");
    await ada.logIn();
  });

  await step("the leader is killed, and she is still logged in on both others", async () => {
    await cluster.makeLeader(leader);
    await leader.kill();
    for (const node of [second, third]) {
      await ada.goTo(node, "/b");
      await ada.expectUser();
    }
  });

  await step("she posts, and he sees it on the other node that is left", async () => {
    await ada.goTo(second, "/b");
    key = await ada.post("A database of file formats", "https://www.nationalarchives.gov.uk/PRONOM/");
    // Whoever posted sees it wherever she goes, at once; others when their node has come so far.
    await ada.goTo(third, "/b/newest");
    assert.ok((await ada.keys()).includes(key), "she sees it on the node that she comes to");
    await bob.sees(third, "/b/newest", "her post", async () => (await bob.keys()).includes(key));
    await bob.expectUser();
  });

  await step("he likes it, and she sees that", async () => {
    await bob.like(key);
    assert.equal(await bob.likes(key), 1);
    await ada.sees(second, `/b/p/${key}`, "his like", async () => (await ada.likes(key)) === 1);
  });

  await step("the old leader comes back, follows, and shows the same pages", async () => {
    const next = await cluster.leader();
    await cluster.mend();
    await cluster.makeLeader(next);
    const paths = ["/b", "/b/newest", "/b/top/day", `/b/u/${ada.name}`, `/b/p/${key}`];
    await samePages(bob, cluster.nodes, paths);
  });

  await step("she is logged in there too, and what he does there she sees elsewhere", async () => {
    await ada.goTo(leader, "/b");
    await ada.expectUser();
    await bob.goTo(leader, `/b/p/${key}`);
    await bob.like(key, "Unlike");
    await bob.comment(key, "The file command would like this.");
    await ada.sees(third, `/b/p/${key}`, "his comment", async () => {
      return (await ada.likes(key)) === 0 && (await ada.text()).includes("The file command would");
    });
  });

  await step("the leader is killed just as she posts: it is there once, and he sees it once", async () => {
    const [next, ...others] = await cluster.roles();
    await ada.goTo(others[0], "/b/post");
    await cluster.makeLeader(next);
    const link = { title: "Half a sentence, and then", url: "https://www.bl.uk/collection" };
    await Promise.all([ada.send(link, "Post"), next.kill()]);
    assert.equal(ada.status, 200, await ada.text());
    const once = async (person) => {
      const titles = await person.page.locator("li.post a.title").allInnerTexts();
      return titles.filter((title) => title === link.title).length === 1;
    };
    await ada.goTo(others[1], "/b/newest");
    assert.ok(await once(ada), await ada.text());
    await bob.sees(others[1], "/b/newest", "it once", () => once(bob));
    await cluster.mend();
    await samePages(bob, cluster.nodes, ["/b/newest", `/b/u/${ada.name}`]);
  });
}
