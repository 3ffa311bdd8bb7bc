#!/bin/sh
# Measures the key-value store and writes docs/experiments/kv.md:
#
#   scripts/experiments.sh             all of it, about ten minutes; the machine should have nothing else to do
#   scripts/experiments.sh --smoke     some 20 seconds: whether it works; writes nothing
#
# Further options are those of `cargo bench --bench experiments -- --help`. BENCH_DIR chooses the disk.
set -eu
cd "$(dirname "$0")/.."

case " $* " in
    *" --smoke "*) exec cargo bench --bench experiments -- "$@" ;;
    *) exec cargo bench --bench experiments -- --write docs/experiments/kv.md "$@" ;;
esac
