//! A backup in the place of all rows.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::state::{Meta, Restore};

/// A backup as a file would carry it: rows, and a meta without what belongs to the cluster.
#[derive(Clone)]
pub struct Backup {
    pub rows: MemoryStore,
    pub meta: Meta,
}

impl Backup {
    pub fn of(bench: &Bench) -> Self {
        Self { rows: bench.state.table().clone(), meta: bench.state.meta().clone() }
    }

    /// The command that restores it.
    pub fn restore(&self, not_after_ms: u64) -> Command {
        Command::Restore(Restore {
            file: Id128([5; 16]),
            sha256: [6; 32],
            not_after_ms,
            revision: self.meta.summary.revision,
            clock_ms: self.meta.kv.now(self.meta.summary.clock_ms),
        })
    }
}

impl Bench {
    /// Restores a backup; gives the revision.
    pub fn restore(&mut self, backup: &Backup) -> u64 {
        let before = self.state.table().clone();
        let reply = self.apply(&backup.restore(self.clock_ms));
        let Reply::Restored { revision } = reply else { panic!("{reply:?}") };
        let restore = self.state.take_restore().expect("one was applied");
        assert_eq!(Command::Restore(restore), backup.restore(self.clock_ms));
        assert_eq!(self.state.take_restore(), None);
        assert_eq!(self.state.replace_rows(backup.rows.clone(), &backup.meta), before);
        self.changes = self.state.take_changes();
        sound::check(&self.state);
        revision
    }
}

#[test]
fn the_rows_are_those_of_the_backup_and_the_revision_is_above_both() {
    for ahead in [false, true] {
        let mut bench = Bench::new();
        bench.apply(&Command::CreateLink { url: bytes("https://example.com/") });
        bench.done(set("kept", "v"));
        let backup = Backup::of(&bench);
        let mut target = if ahead { bench.clone() } else { Bench::new() };
        for number in 0..9 {
            target.done(set("lost", &number.to_string()));
        }
        let highest = target.revision().max(backup.meta.summary.revision);
        let before = target.state.summary();
        let revision = target.restore(&backup);
        assert_eq!((revision, target.revision()), (highest + 1, highest + 1));
        assert_eq!((target.keys(""), target.state.summary().links), (vec!["kept".into()], 1));
        assert_eq!(target.changes, Changes::All);
        let kv = target.counters();
        assert_eq!(kv.key_index(target.get("kept").as_ref()), revision);
        assert_eq!((kv.key_index(None), kv.store_index()), (revision, revision));
        assert_eq!((target.prefix_index("kept"), kv.sessions_index()), (revision, revision));
        assert!(kv.key_since(target.get("kept").as_ref(), None, revision - 1));
        assert!(kv.key_since(None, None, revision - 1) && !kv.key_since(None, None, revision));
        assert!(kv.any_key_since(revision - 1) && !kv.any_key_since(revision));
        // What is the cluster's stays.
        let after = target.state.summary();
        assert_eq!(
            (after.cluster, after.applied, after.term, after.clock_ms),
            (before.cluster, before.applied + 1, before.term, target.clock_ms)
        );
        assert_eq!(target.done(set("kept", "w")), revision + 1);
    }
}

#[test]
fn what_had_ten_seconds_to_live_has_ten_seconds_to_live() {
    for clock_ms in [1, 1_000_000, 900_000_000] {
        let mut bench = Bench::new();
        bench.open(NewSession { ttl_ms: Some(20_000), ..plain(A) });
        bench.done(lock("k", A));
        bench.clock_ms += 10_000;
        bench.done(set("other", "v"));
        let left = bench.state.next_expiry().unwrap() - bench.clock_ms;
        let backup = Backup::of(&bench);

        let mut target = Bench::new();
        target.clock_ms += clock_ms;
        target.done(set_for("lost", "v", 10));
        target.restore(&backup);
        assert_eq!(target.state.next_expiry(), Some(target.clock_ms + left));
        target.clock_ms += left - 1;
        assert_eq!(target.expire(), 0);
        // A backup of that, restored where the clock shows less.
        let again = Backup::of(&target);
        let mut third = Bench::new();
        third.restore(&again);
        assert_eq!(third.state.next_expiry(), Some(third.clock_ms + 1));
        third.clock_ms += 1;
        assert_eq!((third.expire(), third.get("k").unwrap().session), (1, None));
    }
}

#[test]
fn keys_of_writes_age_by_the_clock_of_the_state() {
    let once = |hash| {
        let command = Box::new(Command::CreateLink { url: bytes("https://example.com/") });
        Command::Once { key: "k".into(), hash: [hash; 32], command }
    };
    let mut bench = Bench::new();
    bench.clock_ms += 900_000_000;
    bench.apply(&once(1));
    let backup = Backup::of(&bench);
    let mut target = Bench::new();
    target.restore(&backup);
    let day = crate::state::OnceLimits::DEFAULT.age_ms;
    target.clock_ms += day - 1;
    assert!(matches!(target.apply(&once(1)), Reply::Replayed(_)));
    target.clock_ms += 1;
    assert!(matches!(target.apply(&once(2)), Reply::Link { created: false, .. }));
}

#[test]
fn a_restore_that_comes_late_does_nothing() {
    let mut bench = Bench::new();
    bench.done(set("k", "v"));
    let backup = Backup::of(&bench);
    bench.done(set("k", "w"));
    let before = bench.state.table().clone();
    assert_eq!(bench.apply(&backup.restore(bench.clock_ms - 1)), Reply::RestoreLate);
    assert_eq!((bench.state.take_restore(), bench.revision()), (None, 2));
    assert_eq!(bench.state.table(), &before);
}

#[test]
fn a_restore_happens_once() {
    let mut bench = Bench::new();
    bench.done(set("k", "v"));
    let backup = Backup::of(&bench);
    let command = backup.restore(u64::MAX).encode();
    let write = WriteId { session: 1, seq: 500, floor: 400 };
    let first = bench.state.apply_command(bench.at(), write, &command);
    assert_eq!(first, Ok(Reply::Restored { revision: 2 }));
    bench.state.take_restore().unwrap();
    let _ = bench.state.replace_rows(backup.rows.clone(), &backup.meta);
    assert_eq!(bench.state.apply_command(bench.at(), write, &command), first);
    assert_eq!(bench.state.take_restore(), None);
}

#[test]
fn nothing_is_applied_between_a_restore_and_its_rows() {
    let mut bench = Bench::new();
    let backup = Backup::of(&bench);
    bench.apply(&backup.restore(u64::MAX));
    for take in [false, true] {
        let mut state = bench.state.clone();
        if take {
            state.take_restore().unwrap();
        }
        let at = bench.at();
        catch_unwind(AssertUnwindSafe(|| state.apply_noop(at))).unwrap_err();
    }
    let mut state = bench.state.clone();
    let (rows, mut meta) = (backup.rows, backup.meta);
    let replace = |state: &mut State<MemoryStore>, meta: &Meta| {
        let replaced = AssertUnwindSafe(|| state.replace_rows(rows.clone(), meta));
        catch_unwind(replaced).is_ok()
    };
    assert!(!replace(&mut state, &meta), "it was not taken");
    state.take_restore().unwrap();
    meta.summary.revision += 1;
    assert!(!replace(&mut state, &meta), "it is another backup");
    meta.summary.revision -= 1;
    assert!(replace(&mut state, &meta));
    state.apply_noop(bench.at());
}
