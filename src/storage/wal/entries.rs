//! The payload of a record: its entries, one behind the other.

use serde::Deserialize;

use super::Damage;
use super::format::RecordHeader;
use crate::raft::{Entry, Payload};

/// Appends an entry to a payload.
pub fn encode(entry: &Entry, payload: &mut Vec<u8>) {
    rmp_serde::encode::write(payload, entry).expect("an entry always has an encoding");
}

/// The entries of a record, checked against its header.
///
/// # Errors
/// When they are not what the header promises, although all checksums were right.
pub fn decode(header: &RecordHeader, payload: &[u8]) -> Result<Vec<Entry>, Damage> {
    let mut input = rmp_serde::Deserializer::from_read_ref(payload);
    let mut entries = Vec::with_capacity((header.entries as usize).min(payload.len()));
    for index in header.first..=header.last() {
        let entry = Entry::deserialize(&mut input).map_err(|_| Damage("an entry is unreadable"))?;
        if entry.index != index {
            return Err(Damage("an entry has the wrong index"));
        }
        entries.push(entry);
    }
    if entries.last().map(|entry| entry.term) != Some(header.term) {
        return Err(Damage("an entry has the wrong term"));
    }
    Ok(entries)
}

/// About how many bytes an entry takes, for limits on batches and memory.
#[must_use]
pub fn weight(entry: &Entry) -> usize {
    const FIXED: usize = 48;
    FIXED
        + match &entry.payload {
            Payload::Noop => 0,
            Payload::Command(command) => command.len(),
            Payload::Configuration(configuration) => 256 * configuration.members.len(),
        }
}
