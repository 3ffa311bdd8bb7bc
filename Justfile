# The daily loop. `just` alone lists the verbs.
default:
    @just --list

# What a change must pass before it lands.
ci:
    bash .ci/run

# Types and lints, quickly.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# All tests, as the README runs them.
test:
    cargo test --workspace

# Rewrites the golden scripts' outputs; review the difference.
golden:
    UPDATE_GOLDENFILES=1 cargo test --lib raft
    UPDATE_GOLDENFILES=1 cargo test -p bowline-gossip --test scripts

# The simulator over fresh seeds, or over one: `just sim 7`.
sim seed="":
    BOWLINE_SEED={{seed}} BOWLINE_SEEDS=400 cargo test --release --test simulator -- --nocapture

# Separate processes on this machine, with directories that stay: `just cluster 5`.
cluster n="3":
    scripts/cluster.sh {{n}}

# The store's benchmark: checkpoints against the log's fdatasync.
bench:
    cargo bench --bench store

# Three nodes on loopback: rates, latencies, failover. `just bench-cluster --only failover`.
bench-cluster *options:
    cargo bench --bench cluster -- {{options}}

# Real clients of Consul on three real nodes, over the loss of the leader. `just clients py-consul`.
clients *names:
    scripts/test-clients.sh {{names}}

# The link board in a real browser on three real nodes. `just browser leader`, `just browser --screenshots`.
browser *options:
    scripts/test-browser.sh {{options}}

# The key-value store under mixes of reads and writes, by number of nodes; writes docs/experiments/kv.md.
experiments *options:
    scripts/experiments.sh {{options}}
