// Whether nodes show the same.

import { eventually } from "./wait.mjs";

/** Waits until somebody finds the same text on each page, whichever node it comes from. */
export async function samePages(person, nodes, paths) {
  for (const path of paths) {
    // Not at once: a node may be behind, and "1 minute ago" may become 2 between two looks.
    await eventually(`all nodes show the same ${path}`, async () => {
      const shown = new Set();
      for (const node of nodes) {
        const answer = await person.goTo(node, path);
        shown.add(`${answer.status()} ${await person.main()}`);
      }
      if (shown.size > 1) throw new Error([...shown].join("\n---- and elsewhere:\n"));
      return true;
    });
  }
}
