//! Short links.

use bytes::Bytes;

use crate::storage::{Rows, StoreError};

/// A link row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Leads to this URL, byte for byte as stored.
    Live(Bytes),
    /// Existed, and is gone for good.
    Gone,
}

/// The link under a key.
///
/// # Errors
/// When the store cannot be read.
pub fn lookup(rows: &impl Rows, key: &str) -> Result<Option<Link>, StoreError> {
    Ok(rows.get(key.as_bytes())?.map(Link::Live))
}
