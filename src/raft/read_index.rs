//! Read indexes: how fresh a state must be to hold every write that was acknowledged before the
//! read began (thesis 6.4).
//!
//! The leader notes its commit index and then starts a round of heartbeats; when a majority has
//! answered that round or a later one, it was still the leader after the read began, and the noted
//! index is good. Rounds are numbered within the term, an answer names its round, and when the
//! leader leaves office every waiting read fails. A new leader first waits for the commit of its
//! own first entry: before, its commit index may be behind.

use std::collections::VecDeque;

use super::leader::Leader;
use super::quorum;
use super::raw::{RawNode, Reader};
use super::ready::ReadFailure;
use super::{Index, NodeId};

/// Reads that may wait at once; further ones fail.
const READS_MAX: usize = 4096;

/// A read that waits for its round.
#[derive(Clone, Debug, PartialEq)]
struct Read {
    reader: Reader,
    /// The commit index when it was registered.
    index: Index,
    /// The round that has to be answered.
    round: u64,
}

/// The reads that wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reads {
    /// For the leader's first entry to be committed.
    early: Vec<Reader>,
    /// For their round, in order of rounds.
    registered: VecDeque<Read>,
}

impl Reads {
    pub(super) fn abandon(self) -> Vec<Reader> {
        let registered = self.registered.into_iter().map(|read| read.reader);
        self.early.into_iter().chain(registered).collect()
    }
}

impl RawNode<Leader> {
    /// Takes a read. All reads that come before the next [`super::Ready`] share one round.
    pub(super) fn read_index(&mut self, reader: Reader) {
        if self.role.reads.early.len() + self.role.reads.registered.len() >= READS_MAX {
            return self.answer(reader, Err(ReadFailure::Interrupted));
        }
        if self.log.commit() < self.role.first {
            return self.role.reads.early.push(reader);
        }
        let index = self.log.commit();
        if self.is_only_voter() {
            return self.answer(reader, Ok(index));
        }
        let round = self.role.round + 1;
        self.role.round_wanted = true;
        self.role.reads.registered.push_back(Read { reader, index, round });
    }

    /// The commit index moved: if it has reached the first entry of this term, the reads that were
    /// early are taken now.
    pub(super) fn admit_reads(&mut self) {
        if self.log.commit() >= self.role.first {
            for reader in std::mem::take(&mut self.role.reads.early) {
                self.read_index(reader);
            }
        }
        self.confirm_reads();
    }

    /// Answers the reads whose round a majority of voters has answered.
    pub(super) fn confirm_reads(&mut self) {
        if self.role.reads.registered.is_empty() {
            return;
        }
        let answered = |id: NodeId| match self.role.progress.get(&id) {
            Some(progress) => progress.round,
            None if id == self.id => self.role.round,
            None => 0,
        };
        let voters = self.configurations.current().voters();
        let confirmed = quorum::reached(voters.map(answered)).expect("there are always voters");
        while let Some(read) = self.role.reads.registered.front()
            && read.round <= confirmed
        {
            let (reader, index) = (read.reader, read.index);
            self.role.reads.registered.pop_front();
            self.answer(reader, Ok(index));
        }
    }
}
