#!/bin/sh
# Runs N nodes on this machine as separate processes, until Ctrl-C:
#
#   scripts/cluster.sh [N]        3 unless said otherwise
#
# Node K keeps its data in ./bowline-cluster/nK, its log in ./bowline-cluster/nK.log, and listens for
# clients on port 7070 + 10 K and for peers on the next one. Running it again goes on with the same
# data; kill or stop a single node as you like (its process id is printed) and start it again with the
# line in its log. BOWLINE names another program than the release build of this directory.
set -eu

count=${1:-3}
case $count in
    [1-9]) ;;
    *) echo "usage: $0 [N], N from 1 to 9" >&2; exit 2 ;;
esac

if [ -z "${BOWLINE:-}" ]; then
    cargo build --release --quiet
    BOWLINE=target/release/bowline
fi

root=./bowline-cluster
mkdir -p "$root"
pids=

start() {
    data=$root/n$1
    http=$((7070 + 10 * $1))
    peer=$((http + 1))
    set -- --name "n$1" --data "$data" --http "127.0.0.1:$http" --peer "127.0.0.1:$peer"
    if [ "$http" -gt 7080 ]; then
        set -- "$@" --join 127.0.0.1:7081
    elif [ ! -d "$data" ]; then
        set -- "$@" --bootstrap
    fi
    echo "$BOWLINE $*" >>"$data.log"
    "$BOWLINE" "$@" >>"$data.log" 2>&1 &
    pids="$pids $!"
    echo "n$(((http - 7070) / 10))  http://127.0.0.1:$http  pid $!  $data.log"
}

stop() {
    trap '' INT TERM
    # A node that is gone already is no trouble.
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait
    exit 0
}
trap stop INT TERM

node=1
while [ "$node" -le "$count" ]; do
    start "$node"
    node=$((node + 1))
done

echo "try:  curl -X PUT --data 'https://example.com/a/long/url' http://127.0.0.1:7080/"
echo "      $BOWLINE status --node http://127.0.0.1:7080"
echo "Ctrl-C stops all."

wait
echo "no node is left; see the logs in $root" >&2
exit 1
