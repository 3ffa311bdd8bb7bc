//! The commands of the golden scripts.

use crate::raft::{Index, NodeId, Term};

/// What a script may do.
#[derive(goldenscript::Command)]
pub(super) enum Command {
    /// Starts a cluster with voters 1 to n and learners after them; `leader` is elected quietly.
    Cluster {
        voters: u64,
        #[arg(key)]
        learners: Option<u64>,
        #[arg(key)]
        leader: Option<NodeId>,
        #[arg(key)]
        inflight: Option<usize>,
        #[arg(key)]
        inflight_bytes: Option<usize>,
        #[arg(key)]
        append_bytes: Option<usize>,
        #[arg(key)]
        uncommitted_bytes: Option<usize>,
        #[arg(key)]
        tail_bytes: Option<usize>,
    },
    /// Nodes start elections.
    Campaign(Vec<NodeId>),
    /// Time passes for all, messages arrive at once. Heartbeats are not told.
    Run { ms: u64 },
    /// Time passes for some nodes (all), which tick; no message arrives.
    Advance {
        ms: u64,
        #[arg(optional)]
        nodes: Vec<NodeId>,
    },
    /// Time jumps for all, without ticks: everybody was stopped.
    Pause { ms: u64 },
    /// The wall clocks jump.
    Wall { ms: i64 },
    /// Nodes tick.
    Tick(Vec<NodeId>),
    /// Messages that are on their way now arrive at some nodes (all).
    Deliver {
        #[arg(optional)]
        nodes: Vec<NodeId>,
        #[arg(key)]
        from: Option<NodeId>,
        #[arg(key)]
        kind: Option<String>,
        #[arg(key)]
        max: Option<usize>,
    },
    /// Messages that are on their way now, to some nodes (all), are lost.
    Drop {
        #[arg(optional)]
        nodes: Vec<NodeId>,
        #[arg(key)]
        from: Option<NodeId>,
        #[arg(key)]
        kind: Option<String>,
        #[arg(key)]
        max: Option<usize>,
    },
    /// Messages that are on their way now will arrive twice: the copies come last.
    Repeat {
        #[arg(optional)]
        nodes: Vec<NodeId>,
        #[arg(key)]
        from: Option<NodeId>,
        #[arg(key)]
        kind: Option<String>,
    },
    /// The order of the messages on their way is reversed.
    Reverse,
    /// Lists the messages on their way.
    Network,
    /// Messages arrive and writes get durable until nothing moves.
    Stabilize,
    /// Cuts the link from one node to another, in that direction.
    Cut { from: NodeId, to: NodeId },
    /// Cuts all links between these nodes and the others.
    Isolate(Vec<NodeId>),
    /// Mends all links.
    Heal,
    /// Proposes commands.
    Propose { id: NodeId, commands: Vec<String> },
    /// Proposes a command of so many bytes.
    ProposeBytes { id: NodeId, size: usize },
    /// Proposes a change of the configuration.
    Change {
        id: NodeId,
        #[arg(key)]
        add: Option<u64>,
        #[arg(key)]
        promote: Option<NodeId>,
        #[arg(key)]
        demote: Option<NodeId>,
        #[arg(key)]
        remove: Option<NodeId>,
        #[arg(key)]
        update: Option<NodeId>,
        #[arg(key)]
        tag: Option<u64>,
        #[arg(key)]
        based_on: Option<Index>,
    },
    /// Asks for read indexes.
    Read { id: NodeId, reads: Vec<u64> },
    /// Hands leadership over.
    Transfer { id: NodeId, to: Option<NodeId> },
    /// Some nodes learn that the process of another is gone.
    Gone { node: NodeId, observers: Vec<NodeId> },
    /// Makes the disks of nodes `manual` (writes wait for `persist`) or `auto`.
    Disk { mode: String, nodes: Vec<NodeId> },
    /// Makes writes of a node durable: one, or as many as given.
    Persist { id: NodeId, writes: Option<usize> },
    /// Makes the reads of nodes' logs `manual` or `auto`.
    LogReads { mode: String, nodes: Vec<NodeId> },
    /// Answers a read of a node's log.
    ServeLogRead { id: NodeId },
    /// Lets entries leave a node's memory.
    Release(Vec<NodeId>),
    /// Ends processes; what is not durable is lost.
    Crash(Vec<NodeId>),
    /// Starts processes again.
    Restart(Vec<NodeId>),
    /// Starts the process of a node that was admitted.
    Join { id: NodeId },
    /// Takes a node's state, and drops its log up to there.
    Purge { id: NodeId, index: Index },
    /// Brings a node the state of another.
    Install {
        id: NodeId,
        #[arg(key)]
        from: NodeId,
        #[arg(key)]
        at: Index,
    },
    /// Ends a process; its disk loses the entries that were written last; it starts again.
    Forget { id: NodeId, entries: usize },
    /// A node is unfit to lead because of its `disk` or its `state`, or `fit` again.
    Unfit { why: String, nodes: Vec<NodeId> },
    /// The disks of nodes are full, or have room again.
    Full { full: bool, nodes: Vec<NodeId> },
    /// Tells the state of nodes (all).
    Status {
        #[arg(optional)]
        nodes: Vec<NodeId>,
    },
    /// Tells the logs of nodes (all).
    Log {
        #[arg(optional)]
        nodes: Vec<NodeId>,
    },
    /// Tells the stamps in the log of a node.
    Stamps { id: NodeId },
    /// Tells what a leader knows of its followers.
    Progress { id: NodeId },
    /// A message out of nowhere, as nobody may send it.
    Inject {
        from: NodeId,
        to: NodeId,
        term: Term,
        kind: String,
        #[arg(key)]
        prev: Option<String>,
        #[arg(key)]
        entries: Option<String>,
        #[arg(key)]
        commit: Option<Index>,
        #[arg(key)]
        index: Option<Index>,
        #[arg(key)]
        hint: Option<String>,
        #[arg(key)]
        round: Option<u64>,
        #[arg(key)]
        nonce: Option<u64>,
    },
}
