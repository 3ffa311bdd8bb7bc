//! Marks of removed keys, with a limit that is reached.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::rows;
use super::*;
use crate::state::Digest;
use crate::state::ledger::Ledger;
use crate::storage::{Rows, Table};

const MAX: u64 = 16;

#[derive(Default)]
struct Fixture {
    rows: MemoryStore,
    digest: Digest,
    counters: Counters,
    revision: u64,
}

impl Fixture {
    fn run(&mut self, ops: Vec<Op>) {
        let ledger = Ledger::new(&mut self.rows, &mut self.digest);
        let (counters, mut changes) = (&mut self.counters, Changes::default());
        let mut keeper = Keeper::new(ledger, counters, &mut changes, 0, self.revision);
        keeper.marks_max = MAX;
        assert!(matches!(keeper.run(ops), Ok(KvReply::Done { .. })));
        self.revision = keeper.finish().unwrap();
    }

    fn set_and_delete(&mut self, key: &str) -> u64 {
        self.run(vec![set(key, "v")]);
        self.run(vec![delete(key)]);
        self.revision
    }

    fn marks(&self) -> BTreeMap<String, u64> {
        let mut marks = BTreeMap::new();
        scan_tombstones(&self.rows, b"", None, &mut |key, revision| {
            marks.insert(String::from_utf8(key.to_vec()).unwrap(), revision);
            true
        })
        .unwrap();
        marks
    }

    fn places(&self) -> u64 {
        self.counters.next_mark - self.counters.oldest_mark
    }
}

#[test]
fn when_there_are_too_many_an_eighth_goes_in_one_step() {
    let mut fixture = Fixture::default();
    let mut gone = Vec::new();
    for number in 0..MAX {
        gone.push(fixture.set_and_delete(&format!("{number:02}")));
    }
    assert_eq!((fixture.counters.reaped, fixture.marks().len()), (0, 16));
    fixture.run(vec![set("last", "v")]);
    assert_eq!(fixture.counters.reaped, 0, "what is set leaves no mark");
    fixture.run(vec![delete("last")]);
    assert_eq!(fixture.counters.reaped, gone[2], "seventeen are too many, fourteen remain");
    assert_eq!(fixture.marks().len(), 14);
    assert_eq!(fixture.counters.prefix_index(0), gone[2]);
    assert!(fixture.counters.key_since(None, None, gone[2] - 1), "it may have come and gone");
    assert!(!fixture.counters.key_since(None, None, gone[2]));
}

#[test]
fn many_at_once_go_a_few_at_a_time() {
    let mut fixture = Fixture::default();
    let keys: Vec<_> = (0..100).map(|number| format!("tree/{number:02}")).collect();
    fixture.run(keys.iter().map(|key| set(key, "v")).collect());
    fixture.run(vec![delete_tree("tree/")]);
    assert_eq!(fixture.counters.reaped, fixture.revision, "all of them in one step");
    assert_eq!(fixture.places(), 92);
    let mut places = 92;
    while places > 14 {
        fixture.run(vec![set("k", &places.to_string())]);
        let left = fixture.places();
        assert!(left < places && left + 8 >= places);
        places = left;
    }
    assert_eq!(fixture.places(), 14);
    assert_eq!(fixture.marks().len(), 14);
}

#[test]
fn a_place_that_is_out_of_date_leads_nowhere() {
    let mut fixture = Fixture::default();
    let first = fixture.set_and_delete("k");
    let second = fixture.set_and_delete("k");
    assert_eq!(fixture.marks(), BTreeMap::from([("k".into(), second)]));
    assert_eq!(fixture.places(), 2);
    for number in 0..MAX - 1 {
        fixture.set_and_delete(&number.to_string());
    }
    // The first place goes, and two behind it.
    assert!(fixture.counters.reaped > first);
    assert!(!fixture.marks().contains_key("k"));
    assert_eq!(fixture.marks().len() as u64, fixture.places());
}

#[test]
fn a_place_that_is_missing_is_damage() {
    let mut fixture = Fixture::default();
    for number in 0..MAX {
        fixture.set_and_delete(&number.to_string());
    }
    let first = rows::mark_order_row(2);
    assert!(fixture.rows.get(&first).unwrap().is_some());
    fixture.rows.delete(&first);
    let ledger = Ledger::new(&mut fixture.rows, &mut fixture.digest);
    let mut changes = Changes::default();
    let mut keeper = Keeper::new(ledger, &mut fixture.counters, &mut changes, 0, fixture.revision);
    keeper.marks_max = MAX / 2;
    keeper.finish().unwrap_err();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is set and removed: a mark is there exactly for what is gone, unless it was given up,
    /// and there are never many more than may be.
    #[test]
    fn a_key_that_is_gone_is_known_to_be_or_may_have_been_forgotten(
        steps in prop::collection::vec((0u8..40, any::<bool>()), 0..300),
    ) {
        let mut fixture = Fixture::default();
        let mut gone: BTreeMap<String, u64> = BTreeMap::new();
        for (key, is_set) in steps {
            let key = key.to_string();
            if is_set {
                fixture.run(vec![set(&key, "v")]);
                gone.remove(&key);
            } else {
                let there = get(&fixture.rows, key.as_bytes()).unwrap().is_some();
                fixture.run(vec![delete(&key)]);
                if there {
                    gone.insert(key, fixture.revision);
                }
            }
            let marks = fixture.marks();
            for (key, revision) in &gone {
                let known = marks.get(key).copied();
                prop_assert!(known == Some(*revision) || *revision <= fixture.counters.reaped);
            }
            prop_assert!(marks.iter().all(|(key, revision)| gone.get(key) == Some(revision)));
            prop_assert!(fixture.places() <= MAX);
            let computed = crate::state::rows_digest(&fixture.rows, &mut |_, _| true).unwrap();
            prop_assert_eq!(computed, Some(fixture.digest));
        }
    }
}
