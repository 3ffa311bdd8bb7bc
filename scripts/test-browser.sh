#!/usr/bin/env bash
# The link board as people use it: in a real browser, on three real nodes, over the loss of any of them:
#
#   scripts/test-browser.sh [SCENARIO…]        the names are those of scripts/browser/scenarios; or all
#   scripts/test-browser.sh --screenshots      takes the pictures of docs/screenshots anew
#
# Needs Chromium (Debian's chromium; CHROMIUM names another one; root gets it by apt when it is missing),
# node 20 or newer, and npm. playwright-core, which drives it, is installed once as package-lock.json of
# scripts/browser says, below target/browser (BOWLINE_BROWSER names another place); that takes a network.
# BOWLINE names another program than the debug build of this directory. What is said is one line for each
# step; of what fails, pictures and pages are left in target/browser/failed. With Debian's libfaketime
# the posts in the pictures of docs/screenshots are of the last days, without it all of this minute.
set -euo pipefail
cd "$(dirname "$0")/.."

here=scripts/browser
there=${BOWLINE_BROWSER:-target/browser}
mkdir -p "$there"

if [ -z "${CHROMIUM:-}" ]; then
    find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
    if ! CHROMIUM=$(find_chromium) && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >&2
        CHROMIUM=$(find_chromium)
    fi
    [ -n "$CHROMIUM" ] || { echo "there is no Chromium; on Debian: apt-get install chromium" >&2; exit 2; }
fi

if [ -z "${BOWLINE:-}" ]; then
    cargo build --quiet --bin bowline
    BOWLINE=${CARGO_TARGET_DIR:-target}/debug/bowline
fi

# A place that is named after all that goes into it, so that an old one is never taken for it.
modules=$there/$(cat $here/package*.json <(node --version) | sha256sum | cut -c 1-12)
if [ ! -e "$modules/installed" ]; then
    rm -rf "$modules" && mkdir -p "$modules"
    cp $here/package*.json "$modules"
    npm ci --prefix "$modules" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    touch "$modules/installed"
fi

# It is this process from here on, and ends all that it starts, also when it is told to end.
export CHROMIUM BOWLINE
BOWLINE=$(realpath "$BOWLINE")
BOWLINE_MODULES=$(realpath "$modules")
BOWLINE_EVIDENCE=$(realpath "$there")/failed
export BOWLINE_MODULES BOWLINE_EVIDENCE
rm -rf "$BOWLINE_EVIDENCE"
exec node $here/run.mjs "$@"
