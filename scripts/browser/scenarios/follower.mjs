// A follower is lost and comes back while people read and like on the others.

import assert from "node:assert/strict";

import { samePages } from "../same.mjs";

export const title = "a follower is killed while people read and like";

export async function run({ people, cluster, step }) {
  const ada = await people.person("ada-follower");
  const bob = await people.person("bob-follower");
  const [leader, lost, other] = await cluster.roles();
  const keys = [];

  await step("she posts on one node, he reads on the one that will be lost", async () => {
    await ada.goTo(leader, "/b");
    await ada.signUp();
    keys.push(await ada.post("Reading a page faster by not reading it", "https://www.sqlite.org/wal.html"));
    keys.push(await ada.post("What every node should forget", "https://jepsen.io/analyses"));
    await bob.goTo(lost, "/b");
    await bob.signUp();
    await bob.sees(lost, "/b/newest", "both posts", async () => {
      const shown = await bob.keys();
      return keys.every((key) => shown.includes(key));
    });
  });

  await step("the follower is killed; he goes on where he was, on another node", async () => {
    await cluster.makeLeader(leader);
    await lost.kill();
    await bob.goTo(other);
    await bob.expectUser();
    const shown = await bob.keys();
    assert.ok(keys.every((key) => shown.includes(key)), "nothing that he has seen is missing");
  });

  await step("he likes both, and she sees it on the leader", async () => {
    for (const key of keys) {
      await bob.open("/b/newest");
      await bob.like(key);
      assert.equal(await bob.likes(key), 1);
      await ada.sees(leader, `/b/p/${key}`, "his like", async () => (await ada.likes(key)) === 1);
    }
  });

  await step("the follower comes back; she sees his likes there, and he himself", async () => {
    await cluster.mend();
    await bob.goTo(lost, `/b/p/${keys[0]}`);
    assert.equal(await bob.likes(keys[0]), 1, "he sees his like as soon as he comes there");
    assert.ok((await bob.button("Unlike").count()) > 0, "it is his");
    for (const key of keys) {
      await ada.sees(lost, `/b/p/${key}`, "his like", async () => (await ada.likes(key)) === 1);
    }
    await samePages(ada, cluster.nodes, ["/b", "/b/newest", ...keys.map((key) => `/b/p/${key}`)]);
  });

  await step("it stops for a while; who posts meanwhile and comes there is never shown less", async () => {
    await cluster.makeLeader(leader);
    await ada.goTo(leader, "/b");
    lost.pause();
    const own = [];
    for (const at of [1, 2, 3]) {
      own.push(await ada.post(`Written meanwhile, ${at}`, `https://www.iana.org/${at}`));
    }
    // It finds the question before it has what it has missed.
    const asked = ada.page.waitForEvent("request");
    const comes = ada.goTo(lost, "/b/newest");
    await asked;
    lost.resume();
    await comes;
    const isThere = async () => {
      const shown = await ada.keys();
      return own.every((key) => shown.includes(key));
    };
    // A node that does not come along in time says so.
    const isBehind = (await ada.text()).includes("This node is behind the others");
    assert.ok(isBehind || (await isThere()), await ada.text());
    await ada.sees(lost, "/b/newest", "them all", isThere);
    await bob.sees(lost, "/b/newest", "them too", async () => {
      const shown = await bob.keys();
      return own.every((key) => shown.includes(key));
    });
  });
}
