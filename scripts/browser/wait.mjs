// Waiting for things that come about by themselves: never for a time, always for a condition.

/** Milliseconds after which something that should come about never will. Catches a hang, not slowness. */
export const PATIENCE = 60_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Asks until the answer is true in the sense of JavaScript, and gives it. */
export async function eventually(what, ask, patience = PATIENCE) {
  const end = Date.now() + patience;
  let last;
  do {
    try {
      last = await ask();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    await pause(30);
  } while (Date.now() < end);
  const shown = last instanceof Error ? last.message : JSON.stringify(last);
  throw new Error(`waited in vain until ${what}: ${shown}`);
}
