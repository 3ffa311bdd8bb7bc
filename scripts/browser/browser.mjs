// The browser itself: whichever Chromium is there, and playwright-core to drive it.

import { createRequire } from "node:module";

/** Starts it. BOWLINE_MODULES is where `npm ci` has put what package-lock.json names. */
export async function launch() {
  const { chromium } = createRequire(`${process.env.BOWLINE_MODULES}/`)("playwright-core");
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    // No name leads anywhere: a page that wants something from elsewhere does not get it, and is found out.
    args: ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-dev-shm-usage"],
    // Whoever ends this program ends it too; see run.mjs.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
}
