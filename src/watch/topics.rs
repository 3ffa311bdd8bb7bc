//! From a row's key to the watches it concerns, without a look at the others.
//!
//! Watched rows and watched prefixes are two ordered maps. The watched prefixes of a row are found from
//! the longest to the shortest: the greatest watched prefix that is not above the row either begins it,
//! or shows by what it shares with the row how long any other may be. So a row costs a few searches,
//! however many watches there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use super::Topic;

type Watchers = BTreeMap<Bytes, BTreeSet<u64>>;

/// Which watches are about what.
#[derive(Debug, Default)]
pub(super) struct Topics {
    rows: Watchers,
    prefixes: Watchers,
}

impl Topics {
    /// The watch is about this, too.
    pub fn add(&mut self, topic: &Topic, id: u64) {
        let (map, key) = self.place(topic);
        map.entry(key.clone()).or_default().insert(id);
    }

    /// The watch is not about this any more.
    pub fn remove(&mut self, topic: &Topic, id: u64) {
        let (map, key) = self.place(topic);
        if let Some(ids) = map.get_mut(key) {
            ids.remove(&id);
            if ids.is_empty() {
                map.remove(key);
            }
        }
    }

    /// Calls for each watch that a change of this row concerns; more than once for one with several
    /// topics.
    pub fn concerned(&self, row: &[u8], mut call: impl FnMut(u64)) {
        let mut tell = |ids: &BTreeSet<u64>| ids.iter().copied().for_each(&mut call);
        if let Some(ids) = self.rows.get(row) {
            tell(ids);
        }
        let mut rest = row;
        loop {
            let up_to = (Bound::Unbounded, Bound::Included(rest));
            let Some((prefix, ids)) = self.prefixes.range::<[u8], _>(up_to).next_back() else {
                return;
            };
            let shared = prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
            let is_prefix = shared == prefix.len();
            if is_prefix {
                tell(ids);
            }
            // After a prefix of the row only shorter ones are left.
            let Some(left) = shared.checked_sub(usize::from(is_prefix)) else { return };
            rest = &rest[..left];
        }
    }

    /// Whether nothing is watched.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.prefixes.is_empty()
    }

    fn place<'a>(&mut self, topic: &'a Topic) -> (&mut Watchers, &'a Bytes) {
        match topic {
            Topic::Row(key) => (&mut self.rows, key),
            Topic::Rows(prefix) => (&mut self.prefixes, prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Few letters, so that prefixes are shared often; both ends of the range of bytes among them.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![Just(0), Just(b'a'), Just(b'b'), Just(0xff)], 0..5)
    }

    proptest! {
        #[test]
        fn exactly_the_watches_concerned_are_found(
            watched in vec((any::<bool>(), keys()), 0..40),
            gone in vec(any::<bool>(), 40),
            row in keys(),
        ) {
            let mut topics = Topics::default();
            let topic = |whole: bool, key: &[u8]| {
                let key = Bytes::copy_from_slice(key);
                if whole { Topic::Row(key) } else { Topic::Rows(key) }
            };
            for (id, (whole, key)) in (0..).zip(&watched) {
                topics.add(&topic(*whole, key), id);
            }
            for ((id, (whole, key)), _) in (0..).zip(&watched).zip(&gone).filter(|(_, gone)| **gone) {
                topics.remove(&topic(*whole, key), id);
            }
            let mut found = Vec::new();
            topics.concerned(&row, |id| found.push(id));
            found.sort_unstable();
            let stays = (0..).zip(&watched).zip(&gone).filter(|(_, gone)| !**gone);
            let hit = stays.filter(|((_, (whole, key)), _)| {
                if *whole { *key == row } else { row.starts_with(key) }
            });
            let expected: Vec<u64> = hit.map(|((id, _), _)| id).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
