#!/usr/bin/env bash
# Real clients of Consul against three real nodes, before, while and after the leader is lost:
#
#   scripts/test-clients.sh [CLIENT…]      py-consul, python-consul2, python-consul, npm-consul; or all
#
# Each is installed in the version that is written down in scripts/clients, into a place of its own
# below target/clients (BOWLINE_CLIENTS names another), once; that takes a network. A client that cannot
# be installed has failed. Needs python3 with venv, node and npm. BOWLINE names another program than the
# debug build of this directory. What is said is one line for each client and step, PASS or FAIL.
set -euo pipefail
cd "$(dirname "$0")/.."

here=scripts/clients
there=${BOWLINE_CLIENTS:-target/clients}
all=(py-consul python-consul2 python-consul npm-consul)
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=("${all[@]}")
export PYTHONDONTWRITEBYTECODE=1

if [ -z "${BOWLINE:-}" ]; then
    cargo build --quiet --bin bowline
    BOWLINE=${CARGO_TARGET_DIR:-target}/debug/bowline
fi

# A place that is named after all that goes into it, so that an old one is never taken for it.
place() { echo "$there/$1-$(cat "${@:2}" | sha256sum | cut -c 1-12)"; }

# install CLIENT DIR: what is written down for it, and nothing else. What is half done is begun anew.
install() {
    local client=$1 dir=$2
    [ ! -e "$dir/installed" ] || return 0
    rm -rf "$dir" && mkdir -p "$dir" || return 1
    if [ "$client" = npm-consul ]; then
        cp $here/node/package*.json "$dir" &&
            npm ci --prefix "$dir" --no-audit --no-fund --loglevel=error
    else
        python3 -m venv "$dir" &&
            "$dir/bin/pip" install --quiet --disable-pip-version-check \
                --requirement "$here/python/$client.txt"
    fi && touch "$dir/installed"
}

# Told to end, it ends what it has started, which ends its nodes.
run=
trap '[ -z "$run" ] || kill "$run" 2>/dev/null || true; wait; exit 130' INT TERM HUP

failed=()
for client in "${wanted[@]}"; do
    if [[ ! " ${all[*]} " == *" $client "* ]]; then
        echo "there is no client $client; there are ${all[*]}" >&2
        exit 2
    fi
    if [ "$client" = npm-consul ]; then
        dir=$(place "$client" $here/node/package*.json <(node --version))
        drive=(env NODE_PATH="$dir/node_modules" node $here/node/driver.js)
    else
        dir=$(place "$client" "$here/python/$client.txt" <(python3 --version))
        drive=("$dir/bin/python" $here/python/driver.py)
    fi
    if ! install "$client" "$dir" >&2; then
        echo "FAIL $client: cannot be installed"
        failed+=("$client")
        continue
    fi
    python3 $here/run.py --program "$BOWLINE" "$client" "${drive[@]}" &
    run=$!
    wait "$run" || failed+=("$client")
    run=
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "FAIL: ${failed[*]}"
    exit 1
fi
echo "PASS: ${wanted[*]}"
