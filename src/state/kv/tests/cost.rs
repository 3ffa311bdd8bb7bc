//! What an operation costs: so many looks at rows, so many rows written.

use super::*;
use crate::state::Digest;
use crate::state::ledger::Ledger;
use crate::state::tests::counting::Counting;
use crate::storage::StoreError;

#[derive(Default)]
struct Fixture {
    table: Counting,
    digest: Digest,
    counters: Counters,
}

impl Fixture {
    /// (looks, scans, writes) of something done.
    fn cost<R>(
        &mut self,
        act: impl FnOnce(&mut Keeper<'_, Counting>) -> Result<R, StoreError>,
    ) -> (u64, u64, u64) {
        let before = (self.table.gets.get(), self.table.scans.get(), self.table.writes);
        let ledger = Ledger::new(&mut self.table, &mut self.digest);
        let mut changes = Changes::default();
        let revision = self.counters.last.max(self.counters.sessions);
        let mut keeper = Keeper::new(ledger, &mut self.counters, &mut changes, 1_000, revision);
        act(&mut keeper).unwrap();
        keeper.finish().unwrap();
        let after = (self.table.gets.get(), self.table.scans.get(), self.table.writes);
        (after.0 - before.0, after.1 - before.1, after.2 - before.2)
    }

    fn run(&mut self, op: Op) -> (u64, u64, u64) {
        self.cost(|keeper| keeper.run(vec![op]))
    }

    /// What comes of reading all keys.
    fn tree(&mut self) -> KvReply {
        let mut reply = None;
        self.cost(|keeper| {
            reply = Some(keeper.run(vec![Op::GetTree { prefix: Bytes::new() }])?);
            Ok(())
        });
        reply.unwrap()
    }
}

#[test]
fn a_plain_write_is_one_look_and_one_row() {
    let mut fixture = Fixture::default();
    assert_eq!(fixture.run(set("k", "v")), (1, 0, 1));
    assert_eq!(fixture.run(set("k", "w")), (1, 0, 1));
    assert_eq!(fixture.run(set("k", "w")), (1, 0, 0));
    assert_eq!(fixture.run(delete("k")), (1, 0, 3));
    assert_eq!(fixture.run(set("other", "v")), (2, 0, 1), "there might be a mark");
    assert_eq!(fixture.run(set_for("other", "v", 10)), (1, 0, 2));
}

#[test]
fn many_small_keys_count_for_more_than_their_bytes() {
    let mut fixture = Fixture::default();
    let keys = READ_MAX / read_size(b"k0000", b"");
    for number in 0..keys {
        fixture.run(set(&format!("k{number:04x}"), ""));
    }
    assert!(matches!(fixture.tree(), KvReply::Done { given, .. } if given.len() == keys));
    fixture.run(set("one more", ""));
    assert!(matches!(fixture.tree(), KvReply::Refused(_)));
}

#[test]
fn a_lock_and_a_renewal_touch_what_is_theirs() {
    let mut fixture = Fixture::default();
    let new = NewSession { ttl_ms: Some(10_000), lock_delay_ms: 15_000, ..plain(A) };
    assert_eq!(fixture.cost(|keeper| keeper.open_session(new)), (1, 0, 2));
    assert_eq!(fixture.run(lock("k", A)), (3, 0, 2));
    assert_eq!(fixture.cost(|keeper| keeper.renew_session(&A)), (1, 0, 1), "at the same time");
    assert_eq!(fixture.cost(|keeper| keeper.destroy_session(&A)), (2, 1, 6));
}
