//! Which rows changed, for those who wait for a change.

use bytes::Bytes;

/// Row keys that are kept at most; beyond them everybody is told that everything changed, which is
/// never wrong and only costs.
const ROWS_MAX: usize = 65_536;

/// What changed since it was asked last ([`State::take_changes`](super::State::take_changes)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These rows of keys and sessions, in the order of their changes; one may stand there twice.
    Rows(Vec<Bytes>),
    /// Anything may have.
    All,
}

impl Default for Changes {
    fn default() -> Self {
        Self::Rows(Vec::new())
    }
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Rows(rows) if rows.is_empty())
    }

    pub(super) fn note(&mut self, row_key: Vec<u8>) {
        match self {
            Self::Rows(rows) if rows.len() < ROWS_MAX => rows.push(row_key.into()),
            _ => *self = Self::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_list_is_everything() {
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        for _ in 0..ROWS_MAX {
            changes.note(vec![1]);
        }
        assert!(matches!(&changes, Changes::Rows(rows) if rows.len() == ROWS_MAX));
        for _ in 0..2 {
            changes.note(vec![1]);
            assert_eq!(changes, Changes::All);
        }
        assert!(!changes.is_empty());
    }
}
