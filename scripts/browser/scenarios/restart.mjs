// All nodes are gone at once, in good order or not; what was there is there again.

import assert from "node:assert/strict";

export const title = "all nodes are stopped and started";

export async function run({ people, cluster, step }) {
  const ada = await people.person("ada-restart");
  const bob = await people.person("bob-restart");
  const [one, two, three] = cluster.nodes;
  let key;

  await step("she posts, he likes and comments, each on a node of their own", async () => {
    await ada.goTo(one, "/b");
    await ada.signUp();
    key = await ada.post("Notes on keeping paper dry", "https://www.loc.gov/preservation/");
    await bob.goTo(two, "/b");
    await bob.signUp();
    await bob.sees(two, `/b/p/${key}`, "her post", () => bob.status === 200);
    await bob.like(key);
    await bob.comment(key, "Silica gel, and patience.");
    await ada.sees(three, `/b/p/${key}`, "his like", async () => (await ada.likes(key)) === 1);
  });

  const ends = [["stopped", (node) => node.stop()], ["killed", (node) => node.kill()]];
  for (const [how, end] of ends) {
    await step(`all are ${how} and started: both are still logged in, elsewhere too`, async () => {
      await Promise.all(cluster.nodes.map(end));
      await cluster.mend();
      for (const node of cluster.nodes) {
        await ada.goTo(node, "/b");
        await ada.expectUser();
        await bob.goTo(node, "/b");
        await bob.expectUser();
      }
    });

    await step(`${how}: the post, his like and his words are there on each node`, async () => {
      for (const node of cluster.nodes) {
        await ada.goTo(node, `/b/p/${key}`);
        assert.equal(await ada.likes(key), 1);
        await ada.expectText("Silica gel, and patience.");
        await bob.goTo(node, `/b/p/${key}`);
        assert.ok((await bob.button("Unlike").count()) > 0, "it is still his like");
        await bob.goTo(node, `/b/u/${ada.name}`);
        assert.deepEqual(await bob.keys(), [key]);
      }
    });

    await step(`${how}: the accounts take their passwords`, async () => {
      const elsewhere = await people.again(ada);
      await elsewhere.goTo(three, "/b");
      await elsewhere.logIn();
      await elsewhere.press("Log out");
      await bob.goTo(one, "/b");
      await bob.expectUser();
    });
  }
}
