//! A fingerprint of the state that is kept up to date as rows come and go.
//!
//! The digest is the sum, modulo 2^128, of the hashes of all rows. A sum does not care for order and
//! can be undone, so adding, replacing or removing a row costs one or two hashes however many rows
//! there are; and two nodes that applied the same index must show the same digest, which is how a
//! node whose copy has gone astray is noticed. It guards against faults, not against forgers: with
//! enough freedom in the rows, sums of this width can be made to collide on purpose.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::table;
use crate::storage::{Rows, StoreError};

/// The sum of the hashes of a set of rows; zero for no rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(pub u128);

impl Digest {
    /// Takes a row in.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_add(hash(key, value));
    }

    /// Takes a row out that was taken in before.
    pub fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.0 = self.0.wrapping_sub(hash(key, value));
    }

    /// The digest of both sets of rows together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The digest of all rows of a state, computed from the rows alone: to check one that was kept up to
/// date, which does not see the rot of a disk. `visit` sees each row (key, value) after it was taken
/// in, and ends the work by returning false; then there is no digest.
///
/// # Errors
/// When the store cannot be read.
pub fn rows_digest(
    rows: &(impl Rows + ?Sized),
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<Option<Digest>, StoreError> {
    let mut digest = Digest::default();
    let mut whole = true;
    rows.scan(&[table::LINKS], Some(&[table::SCALARS]), &mut |key, value| {
        digest.add(key, value);
        whole = visit(key, value);
        whole
    })?;
    Ok(whole.then_some(digest))
}

/// The first 128 bits of SHA-256 over key and value, each behind its length as a `u64`, so that no
/// byte can move from one to the other unnoticed.
fn hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Sha256::new();
    for part in [key, value] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let first = hash.first_chunk().expect("SHA-256 gives 32 bytes");
    u128::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn kept_up_to_date_equals_computed_anew(
            ops in prop::collection::vec((0u8..8, prop::option::of(any::<Vec<u8>>())), 0..60),
        ) {
            let mut rows: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
            let mut kept = Digest::default();
            for (key, value) in ops {
                let old = match &value {
                    Some(new) => rows.insert(key, new.clone()),
                    None => rows.remove(&key),
                };
                if let Some(old) = old {
                    kept.remove(&[key], &old);
                }
                if let Some(new) = value {
                    kept.add(&[key], &new);
                }
            }
            let mut anew = Digest::default();
            for (key, value) in &rows {
                anew.add(&[*key], value);
            }
            prop_assert_eq!(kept, anew);
        }
    }

    #[test]
    fn a_byte_that_moves_from_key_to_value_shows() {
        let mut left = Digest::default();
        left.add(b"ab", b"c");
        let mut right = Digest::default();
        right.add(b"a", b"bc");
        assert_ne!(left, right);
        assert_eq!(left.to_string().len(), 32);
    }
}
