//! How the harness writes things down: short, and with nothing that a script would not look at.

use crate::raft::{Append, Entry, Envelope, Index, Message, Payload, ReadFailure, Write};

/// An envelope as `n1@2 → n2 …`; one that is lost has its arrow struck through.
pub(super) fn envelope(envelope: &Envelope, lost: bool) -> String {
    let arrow = if lost { "↛" } else { "→" };
    let Envelope { from, to, term, message: what } = envelope;
    format!("n{from}@{term} {arrow} n{to} {}", message(what))
}

/// A message.
pub(super) fn message(message: &Message) -> String {
    let name = message.name();
    match message {
        Message::PreVote { last_index, last_term } => format!("{name} {last_index}@{last_term}"),
        Message::Vote { last_index, last_term, transfer } => {
            let by = if *transfer { " transfer" } else { "" };
            format!("{name} {last_index}@{last_term}{by}")
        }
        Message::PreVoteResponse { granted } | Message::VoteResponse { granted } => {
            format!("{name} {}", if *granted { "yes" } else { "no" })
        }
        Message::Append(Append { prev_index, prev_term, entries: new, commit }) => {
            format!("{name} {prev_index}@{prev_term} [{}] commit={commit}", entries(new))
        }
        Message::AppendAccepted { match_index } => format!("{name} {match_index}"),
        Message::AppendRejected { prev_index, hint_index, hint_term } => {
            format!("{name} {prev_index} hint={hint_index}@{hint_term}")
        }
        Message::Heartbeat { commit, round } => format!("{name} round={round} commit={commit}"),
        Message::HeartbeatResponse { round, last_index, full } => {
            let full = if *full { " full" } else { "" };
            format!("{name} round={round} durable={last_index}{full}")
        }
        Message::TimeoutNow => name.to_string(),
        // The number itself is drawn at random.
        Message::ReadIndex { .. } => name.to_string(),
        Message::ReadIndexResponse { index, .. } => match index {
            Some(index) => format!("{name} {index}"),
            None => format!("{name} none"),
        },
        Message::FetchState { start } => format!("{name} start={start}"),
        // The nonce is drawn at random.
        Message::Recovering { last_index, .. } => format!("{name} holds={last_index}"),
        Message::RecoverTo { index, .. } => format!("{name} {index}"),
        Message::Holds { index, term, nonce } => {
            let by = if *nonce == 0 { "" } else { " recovering" };
            format!("{name} {index}@{term}{by}")
        }
        Message::Removed { index } => format!("{name} {index}"),
    }
}

/// Entries, as `index@term payload`.
pub(super) fn entries(entries: &[Entry]) -> String {
    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
}

/// One entry.
pub(super) fn entry(entry: &Entry) -> String {
    let payload = match &entry.payload {
        Payload::Noop => "noop".to_string(),
        Payload::Command(bytes) if bytes.len() > 16 => format!("{} bytes", bytes.len()),
        Payload::Command(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Payload::Configuration(configuration) => {
            let voters: Vec<_> = configuration.voters().collect();
            let learners: Vec<_> = configuration.learners().collect();
            format!("voters={voters:?} learners={learners:?}")
        }
    };
    format!("{}@{} {payload}", entry.index, entry.term)
}

/// A write, with what will be sent when it is durable.
pub(super) fn write(write: &Write) -> String {
    let mut parts = Vec::new();
    if let Some(hard_state) = &write.hard_state {
        let vote = hard_state.vote.map_or("nobody".to_string(), |vote| format!("n{vote}"));
        parts.push(format!("term={} vote={vote}", hard_state.term));
    }
    if let Some((index, term)) = write.restart {
        parts.push(format!("log begins behind {index}@{term}"));
    }
    if write.recovered {
        parts.push("recovered".to_string());
    }
    if !write.entries.is_empty() {
        parts.push(format!("[{}]", entries(&write.entries)));
    }
    if parts.is_empty() {
        parts.push("nothing".to_string());
    }
    for held in &write.release {
        parts.push(format!(
            "then n{}@{} → n{} {}",
            held.from,
            held.term,
            held.to,
            message(&held.message)
        ));
    }
    parts.join(" ")
}

/// The answer to a read.
pub(super) fn result(result: Result<Index, ReadFailure>) -> String {
    match result {
        Ok(index) => index.to_string(),
        Err(ReadFailure::NoLeader) => "no leader".to_string(),
        Err(ReadFailure::Interrupted) => "interrupted".to_string(),
    }
}
