//! What happened in the core, with the evidence: the stuff that log lines, metrics and traces are
//! made of. An idle healthy cluster emits nothing.

use std::fmt;

use super::ready::Unfit;
use super::refusal::ProposeError;
use super::{Index, NodeId, Term};

/// What a node is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleKind {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

impl fmt::Display for RoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        })
    }
}

/// Why a node changed its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The election timeout passed without a leader (µs since the last sign of one).
    Timeout(u64),
    /// The leader's process is known to be gone.
    LeaderGone,
    /// It is the only voter.
    OnlyVoter,
    /// The caller wanted an election.
    Asked,
    /// The leader asked it to take over.
    Transfer(NodeId),
    /// Enough voters would vote for it, or did: so many of so many.
    Majority(usize, usize),
    /// Enough voters refused: so many of so many.
    Refused(usize, usize),
    /// The node named here spoke of a higher term.
    HigherTerm(NodeId),
    /// The node named here leads in this term.
    LeaderFound(NodeId),
    /// No majority was heard from for an election timeout.
    QuorumLost,
    /// The configuration that is now committed gives it no vote.
    NoVote,
    /// It is not fit to lead.
    Unfit(Unfit),
    /// A state was installed that its log does not lead to: others are ahead. The state's last index.
    StateAhead(Index),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(us) => write!(f, "no leader heard for {} ms", us / 1000),
            Self::LeaderGone => write!(f, "the leader's process is gone"),
            Self::OnlyVoter => write!(f, "only voter"),
            Self::Asked => write!(f, "asked to campaign"),
            Self::Transfer(from) => write!(f, "leadership handed over by {from}"),
            Self::Majority(yes, all) => write!(f, "{yes} of {all} voters for it"),
            Self::Refused(no, all) => write!(f, "{no} of {all} voters refused"),
            Self::HigherTerm(from) => write!(f, "higher term from n{from}"),
            Self::LeaderFound(leader) => write!(f, "{leader} leads in this term"),
            Self::QuorumLost => write!(f, "lost touch with a majority"),
            Self::NoVote => write!(f, "no longer a voter"),
            Self::Unfit(Unfit::DiskStalled) => write!(f, "its disk does not finish a write"),
            Self::Unfit(Unfit::StateLost) => write!(f, "its state is not to be trusted"),
            Self::StateAhead(index) => write!(f, "its log does not lead to the state of {index}"),
        }
    }
}

/// Why a vote or a pre-vote was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The asker's term is behind ours.
    OldTerm,
    /// A leader is alive: heard so many µs ago.
    LeaderAlive(NodeId, u64),
    /// The vote of this term belongs to this node.
    VotedFor(NodeId),
    /// The asker's log lacks entries that ours has.
    LogBehind,
    /// Our own log may lack entries that it had.
    Recovering,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldTerm => write!(f, "its term is old"),
            Self::LeaderAlive(leader, us) => {
                write!(f, "leader {leader} was heard {} ms ago", us / 1000)
            }
            Self::VotedFor(node) => write!(f, "voted for {node}"),
            Self::LogBehind => write!(f, "its log is behind"),
            Self::Recovering => write!(f, "our own log is not whole"),
        }
    }
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The role changed.
    Role {
        /// Term after the change.
        term: Term,
        /// Role before.
        from: RoleKind,
        /// Role after.
        to: RoleKind,
        /// Why.
        reason: Reason,
        /// Last (index, term) of the log.
        last: (Index, Term),
    },
    /// A follower learnt who leads.
    LeaderKnown {
        /// Term.
        term: Term,
        /// Who.
        leader: NodeId,
    },
    /// A follower without a vote heard nothing from its leader for an election timeout.
    LeaderSilent {
        /// Term.
        term: Term,
        /// Who.
        leader: NodeId,
        /// µs since it was last heard.
        silent_us: u64,
    },
    /// The process of the leader is known to be gone.
    LeaderGone {
        /// Term.
        term: Term,
        /// Who.
        leader: NodeId,
        /// On a voter: its rank among the others, and how long it waits with its campaign, µs.
        campaign: Option<(usize, u64)>,
    },
    /// A vote or pre-vote was given.
    VoteGranted {
        /// The term asked for.
        term: Term,
        /// To whom.
        candidate: NodeId,
        /// Whether it was only a pre-vote.
        pre: bool,
        /// The candidate's last (index, term).
        its_last: (Index, Term),
        /// Ours.
        our_last: (Index, Term),
    },
    /// A vote or pre-vote was refused.
    VoteRefused {
        /// The term asked for.
        term: Term,
        /// To whom.
        candidate: NodeId,
        /// Whether it was only a pre-vote.
        pre: bool,
        /// Why.
        why: Refusal,
        /// The candidate's last (index, term).
        its_last: (Index, Term),
        /// Our term and last (index, term).
        ours: (Term, Index, Term),
    },
    /// A leader was not in touch with a majority for an election timeout.
    QuorumLost {
        /// Term.
        term: Term,
        /// The voters it was in touch with, itself included.
        heard: Vec<NodeId>,
        /// How many voters there are.
        voters: usize,
    },
    /// A new configuration is in force.
    ConfigurationAppended {
        /// Term.
        term: Term,
        /// Index of its entry.
        index: Index,
        /// Its voters.
        voters: Vec<NodeId>,
        /// Its learners.
        learners: Vec<NodeId>,
    },
    /// A configuration can no longer be rolled back.
    ConfigurationCommitted {
        /// Term.
        term: Term,
        /// Index of its entry.
        index: Index,
    },
    /// Entries were replaced, and with them the configuration that was in force.
    ConfigurationRolledBack {
        /// Term.
        term: Term,
        /// Index of the configuration that fell.
        index: Index,
        /// Index of the one that is in force again.
        to: Index,
    },
    /// A change of the configuration was refused.
    ChangeRefused {
        /// Term.
        term: Term,
        /// Why.
        why: ProposeError,
    },
    /// Entries of a former leader that never were committed were replaced.
    LogTruncated {
        /// Term.
        term: Term,
        /// First index that was dropped.
        first: Index,
        /// Last index that was dropped.
        last: Index,
        /// Commit index at that time.
        commit: Index,
    },
    /// Leadership is being handed over.
    TransferStarted {
        /// Term.
        term: Term,
        /// To whom.
        target: NodeId,
        /// How many entries it has to receive first.
        lag: u64,
    },
    /// A hand-over did not happen.
    TransferAborted {
        /// Term.
        term: Term,
        /// To whom it would have been.
        target: NodeId,
        /// µs after it began.
        after_us: u64,
    },
    /// The leader's log begins behind what this follower holds: it needs the leader's state.
    StateNeeded {
        /// Term.
        term: Term,
        /// Who leads.
        leader: NodeId,
        /// Index behind which its log begins.
        start: Index,
        /// Our commit index.
        commit: Index,
    },
    /// A follower needs entries that this leader's log holds no more.
    FollowerNeedsState {
        /// Term.
        term: Term,
        /// Which follower.
        follower: NodeId,
        /// First index that it needs.
        next: Index,
        /// Index behind which the log begins.
        start: Index,
    },
    /// An installed state took the place of the log.
    LogReplaced {
        /// Term.
        term: Term,
        /// Where the old log began.
        start: Index,
        /// Last index of it.
        last: Index,
        /// (index, term) of the state's last entry, behind which the log begins now.
        by: (Index, Term),
    },
    /// The log may lack what this node acknowledged; the leader said how far it has to get.
    RecoverTo {
        /// Term.
        term: Term,
        /// Who leads.
        leader: NodeId,
        /// Index to reach.
        index: Index,
    },
    /// The log has again all that this node ever acknowledged.
    Recovered {
        /// Term.
        term: Term,
        /// Index it had to reach.
        index: Index,
    },
    /// A follower may have lost what it acknowledged; it counts again when it holds this index.
    FollowerRecovering {
        /// Term.
        term: Term,
        /// Which follower.
        follower: NodeId,
        /// Index to reach.
        index: Index,
    },
    /// This node was taken out of the cluster. It campaigns no more.
    Removed {
        /// Term.
        term: Term,
        /// Index of the configuration without it.
        index: Index,
    },
    /// The process was stopped for a while: all deadlines were moved.
    Paused {
        /// Term.
        term: Term,
        /// How long it was not called, µs.
        gap_us: u64,
        /// How much of it counts as time, µs.
        credit_us: u64,
    },
    /// A message was dropped that no correct peer sends in this situation.
    Ignored {
        /// Our term.
        term: Term,
        /// Its sender, as it says.
        from: NodeId,
        /// What it was.
        message: &'static str,
        /// Why it was dropped.
        why: &'static str,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role { term, from, to, reason, last } => {
                write!(f, "term {term}: {from} → {to}: {reason} (log {})", At(*last))
            }
            Self::LeaderKnown { term, leader } => write!(f, "term {term}: n{leader} leads"),
            Self::LeaderSilent { term, leader, silent_us } => {
                write!(f, "term {term}: leader n{leader} silent for {} ms", silent_us / 1000)
            }
            Self::LeaderGone { term, leader, campaign } => {
                write!(f, "term {term}: leader n{leader} is gone")?;
                match campaign {
                    Some((rank, us)) => write!(f, "; campaign in {} ms at rank {rank}", us / 1000),
                    None => Ok(()),
                }
            }
            Self::VoteGranted { .. } | Self::VoteRefused { .. } => self.fmt_vote(f),
            Self::QuorumLost { term, heard, voters } => {
                write!(f, "term {term}: in touch with {heard:?} only, of {voters} voters")
            }
            Self::ConfigurationAppended { term, index, voters, learners } => {
                write!(f, "term {term}: configuration {index} in force: ")?;
                write!(f, "voters {voters:?}, learners {learners:?}")
            }
            Self::ConfigurationCommitted { term, index } => {
                write!(f, "term {term}: configuration {index} committed")
            }
            Self::ConfigurationRolledBack { term, index, to } => {
                write!(f, "term {term}: configuration {index} rolled back to {to}")
            }
            Self::ChangeRefused { term, why } => {
                write!(f, "term {term}: configuration change refused: {why}")
            }
            Self::LogTruncated { term, first, last, commit } => {
                write!(f, "term {term}: replaced entries {first} to {last}, ")?;
                write!(f, "never committed (commit {commit})")
            }
            Self::TransferStarted { term, target, lag } => {
                write!(f, "term {term}: handing over to n{target}, {lag} entries behind")
            }
            Self::TransferAborted { term, target, after_us } => {
                write!(f, "term {term}: n{target} did not take over in {} ms", after_us / 1000)
            }
            Self::StateNeeded { .. }
            | Self::FollowerNeedsState { .. }
            | Self::LogReplaced { .. }
            | Self::RecoverTo { .. }
            | Self::Recovered { .. }
            | Self::FollowerRecovering { .. } => self.fmt_repair(f),
            Self::Removed { term, index } => {
                write!(f, "term {term}: removed from the cluster by entry {index}")
            }
            Self::Paused { term, gap_us, credit_us } => {
                write!(f, "term {term}: was stopped for {} ms, ", gap_us / 1000)?;
                write!(f, "of which {} ms count", credit_us / 1000)
            }
            Self::Ignored { term, from, message, why } => {
                write!(f, "term {term}: ignored {message} from n{from}: {why}")
            }
        }
    }
}

impl Event {
    fn fmt_vote(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = |pre: &bool| if *pre { "pre-vote" } else { "vote" };
        match self {
            Self::VoteGranted { term, candidate, pre, its_last, our_last } => {
                write!(f, "term {term}: {} for n{candidate} ", kind(pre))?;
                write!(f, "(log {}, ours {})", At(*its_last), At(*our_last))
            }
            Self::VoteRefused { term, candidate, pre, why, its_last, ours } => {
                let (our_term, index, log_term) = *ours;
                write!(f, "term {our_term}: no {} for n{candidate} in term {term}: ", kind(pre))?;
                write!(f, "{why} (log {}, ours {})", At(*its_last), At((index, log_term)))
            }
            _ => Ok(()),
        }
    }
}

impl Event {
    fn fmt_repair(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateNeeded { term, leader, start, commit } => {
                write!(f, "term {term}: the log of leader n{leader} begins behind {start}, ")?;
                write!(f, "ours ends before (commit {commit}): its state is needed")
            }
            Self::FollowerNeedsState { term, follower, next, start } => {
                write!(f, "term {term}: n{follower} needs entry {next}, ")?;
                write!(f, "the log begins behind {start}: it has to fetch the state")
            }
            Self::LogReplaced { term, start, last, by } => {
                write!(f, "term {term}: a state as of {} in place of the log ", At(*by))?;
                write!(f, "from {start} to {last}")
            }
            Self::RecoverTo { term, leader, index } => {
                write!(f, "term {term}: recovering: whole again at {index}, says leader n{leader}")
            }
            Self::Recovered { term, index } => {
                write!(f, "term {term}: recovered: the log is whole up to {index}")
            }
            Self::FollowerRecovering { term, follower, index } => {
                write!(f, "term {term}: n{follower} may have lost entries, ")?;
                write!(f, "and counts again when it holds {index}")
            }
            _ => Ok(()),
        }
    }
}

/// A position written as `index@term`.
struct At((Index, Term));

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.0.0, self.0.1)
    }
}
