//! The leader's sending of entries, and the commit index that follows from what comes back.
//!
//! Nothing is sent while an input is handled: [`RawNode::pump`] runs when the caller asks for work,
//! so all that was proposed until then goes out in one append per follower.

use super::Index;
use super::log::entry_bytes;
use super::message::{Append, Entry, Message};
use super::progress::{Progress, ProgressState, ProgressView};
use super::quorum;
use super::raw::{AnyNode, RawNode};
use super::ready::LogRead;
use super::{NodeId, leader::Leader};

impl RawNode<Leader> {
    /// Sends to every follower what is due: a round of heartbeats, entries, news of the commit
    /// index.
    pub(super) fn pump(&mut self) {
        if std::mem::take(&mut self.role.round_wanted) {
            self.start_round();
            self.confirm_reads();
        }
        let followers: Vec<NodeId> = self.role.progress.keys().copied().collect();
        for follower in followers {
            self.pump_to(follower);
        }
    }

    fn pump_to(&mut self, to: NodeId) {
        self.check_reach(to);
        let last_index = self.log.last_index();
        while let Some(progress) = self.role.progress.get(&to) {
            let probe = progress.state == ProgressState::Probe;
            if !progress.has_room(&self.options) || (progress.next > last_index && !probe) {
                break;
            }
            let next = progress.next;
            // A follower without room still takes what a new leader and its members need.
            let starved = progress.full && self.log.has_commands(next);
            if starved && !probe {
                break;
            }
            if starved || progress.repeats_probe() {
                self.send_append(to, next - 1, Vec::new());
                continue;
            }
            match self.log.entries(next, last_index, self.options.append_bytes_max) {
                Some(entries) => self.send_append(to, next - 1, entries),
                None => self.request_read(to, next),
            }
        }
        // With entries due, they carry the commit index; with none, it goes out on its own, so that
        // an idle follower need not wait for the next heartbeat.
        let Some(progress) = self.role.progress.get(&to) else { return };
        let idle = progress.state == ProgressState::Replicate && progress.next > last_index;
        if idle && progress.commit_sent < self.log.commit() && progress.leaving.is_none() {
            let prev_index = progress.next - 1;
            self.send_append(to, prev_index, Vec::new());
        }
    }

    fn send_append(&mut self, to: NodeId, prev_index: Index, entries: Vec<Entry>) {
        let prev_term = self.log.term_at(prev_index).expect("`next` is within the log");
        let bytes = entries.iter().map(|entry| entry_bytes(&entry.payload)).sum();
        let last = prev_index + entries.len() as u64;
        let (round, commit) = (self.role.round, self.log.commit());
        let progress = self.role.progress.get_mut(&to).expect("only followers are sent to");
        progress.sent(last, bytes, round, commit);
        self.send(to, Message::Append(Append { prev_index, prev_term, entries, commit }));
    }

    /// Asks for entries that have left memory; there is at most one such read per follower.
    fn request_read(&mut self, to: NodeId, first: Index) {
        let last = self.log.memory_start() - 1;
        let bytes_max = self.options.append_bytes_max;
        self.role.progress.get_mut(&to).expect("only followers are sent to").await_read();
        self.output.log_reads.push(LogRead { to, first, last, bytes_max });
    }

    /// Entries that were asked for have been read. By now they may be of no use: the follower may
    /// have got beyond them, or this may be another term.
    pub(super) fn on_log_read(&mut self, read: LogRead, entries: Vec<Entry>) {
        let round = self.role.round;
        let Some(progress) = self.role.progress.get_mut(&read.to) else { return };
        let behind_start = read.first > self.log.start().0;
        if !progress.finish_read(read.first) || !progress.has_room(&self.options) || !behind_start {
            return;
        }
        let fits = |(index, entry): (Index, &Entry)| {
            entry.index == index && self.log.term_at(index) == Some(entry.term)
        };
        if entries.is_empty() || !(read.first..).zip(&entries).all(fits) {
            // Read of another log than this one: try again, but not in a circle with the disk.
            return progress.hold(round);
        }
        self.send_append(read.to, read.first - 1, entries);
    }

    /// Starts a round of heartbeats. The commit index in each is no higher than what its receiver
    /// is known to hold.
    fn start_round(&mut self) {
        self.role.round += 1;
        self.role.heartbeat_at = self.time() + self.options.heartbeat;
        let (round, commit) = (self.role.round, self.log.commit());
        let of = |(to, progress): (&NodeId, &Progress)| (*to, commit.min(progress.match_index));
        let heartbeats: Vec<(NodeId, Index)> = self.role.progress.iter().map(of).collect();
        for (to, commit) in heartbeats {
            self.send(to, Message::Heartbeat { commit, round });
        }
    }

    pub(super) fn on_accepted(mut self, from: NodeId, match_index: Index) -> AnyNode {
        let start = self.log.start().0;
        let Some(progress) = self.role.progress.get_mut(&from) else { return self.into() };
        if progress.accepted(match_index, start) {
            self.maybe_timeout_now(from);
            return self.maybe_commit();
        }
        self.into()
    }

    /// Where the logs may still agree: at the follower's hint, or before all entries of ours that
    /// are of later terms than the follower's entry there.
    pub(super) fn on_rejected(
        &mut self,
        from: NodeId,
        prev_index: Index,
        hint_index: Index,
        hint_term: u64,
    ) {
        let next = (self.log.last_index_below(hint_index, hint_term) + 1).min(prev_index);
        if let Some(progress) = self.role.progress.get_mut(&from) {
            progress.rejected(prev_index, next);
        }
    }

    /// A follower answered a round: it is alive, the leader is confirmed, and what it has not
    /// acknowledged by now may be lost. To find out it is sent an empty append after the last entry
    /// sent: if the entries before are on their way to its disk it will acknowledge them all, if
    /// they are not there it refuses, and is probed.
    ///
    /// One that is fetching the state, or recovering, is told so again: the word may be lost.
    pub(super) fn on_heartbeat_response(&mut self, from: NodeId, round: u64, full: bool) {
        let Some(progress) = self.role.progress.get_mut(&from) else { return };
        if round >= progress.round {
            progress.full = full;
        }
        progress.answered(round);
        let fetches = progress.state == ProgressState::Snapshot && progress.leaving.is_none();
        let recovers = progress.is_recovering();
        if progress.suspects_loss(round) {
            let prev_index = progress.next - 1;
            self.send_append(from, prev_index, Vec::new());
        }
        if fetches {
            self.tell_to_fetch(from);
        }
        if recovers {
            self.tell_recover_to(from);
        }
        self.confirm_reads();
    }

    /// Commits what a majority of voters holds durably, if it is of this term: entries of earlier
    /// terms are committed only along with it (thesis 3.6.2, figure 3.7). A leader without a vote
    /// does not count itself.
    pub(super) fn maybe_commit(self) -> AnyNode {
        let voters = self.configurations.current().voters();
        let durable = voters.map(|id| self.match_index(id));
        let index = quorum::reached(durable).expect("there are always voters");
        if index <= self.log.commit() || self.log.term_at(index) != Some(self.term) {
            return self.into();
        }
        self.commit_as_leader(index)
    }

    /// Raises the commit index, with all that follows from it.
    pub(super) fn commit_as_leader(mut self, index: Index) -> AnyNode {
        let configured = self.commit_to(index);
        if configured {
            let (_, committed) = self.configurations.committed(index);
            if !committed.is_voter(self.id) {
                return self.step_down_without_vote().into();
            }
            // The members that this commit admits or removes are told what was committed before
            // they get or lose their place.
            self.pump();
            self.sync_progress();
        }
        self.admit_reads();
        self.into()
    }

    /// What a member is known to hold durably.
    fn match_index(&self, id: NodeId) -> Index {
        if id == self.id {
            return self.log.durable();
        }
        self.role.progress.get(&id).map_or(0, Progress::counted)
    }

    /// Makes the followers fit the configuration. A new learner is served only when its admission
    /// is committed (until then its id may be taken back); a member that is being removed is served
    /// until that is committed, and then sent heartbeats for a while, so that its answers can be
    /// answered with the news.
    pub(super) fn sync_progress(&mut self) {
        let commit = self.log.commit();
        let current = self.configurations.current();
        let fallback = self.configurations.fallback(commit);
        let members = current.members.keys().chain(fallback.iter().flat_map(|c| c.members.keys()));
        let served: Vec<NodeId> = members
            .copied()
            .filter(|id| *id != self.id && !self.configurations.is_provisional(*id, commit))
            .collect();
        let (time, next) = (self.time(), self.log.last_index() + 1);
        let until = time + self.options.election_max;
        for (id, progress) in &mut self.role.progress {
            if !served.contains(id) {
                progress.leaving.get_or_insert(until);
            }
        }
        if self.role.progress.is_empty() {
            self.role.heartbeat_at = time + self.options.heartbeat;
        }
        for id in served {
            self.role.progress.entry(id).or_insert_with(|| Progress::new(next, time));
        }
    }

    /// The followers as the caller may see them.
    pub(super) fn progress_views(&self) -> Vec<ProgressView> {
        let view = |(id, progress): (&NodeId, &Progress)| ProgressView {
            id: *id,
            match_index: progress.match_index,
            next: progress.next,
            active: self.is_active(*id),
            state: progress.state,
            inflight: progress.inflight(),
            recovering: progress.is_recovering(),
            full: progress.full,
        };
        self.role.progress.iter().map(view).collect()
    }
}
