//! Ranges of rows: what stands between two keys, or behind a prefix.

use crate::storage::{Rows, StoreError};

/// Sees a row's key and value, and says whether to go on.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, StoreError> + 'a;

/// Hands the rows from one key on and below another to `visit`, until it says false or fails.
pub(super) fn scan_range(
    rows: &(impl Rows + ?Sized),
    from: &[u8],
    to: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let mut failed = None;
    rows.scan(from, Some(to), &mut |key, row| match visit(key, row) {
        Ok(go_on) => go_on,
        Err(error) => {
            failed = Some(error);
            false
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// Hands the rows whose keys begin with a prefix, and come after `after` if that is given, to `visit`,
/// until it says false or fails.
pub(super) fn scan_prefix(
    rows: &(impl Rows + ?Sized),
    prefix: &[u8],
    after: Option<Vec<u8>>,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    // The next row key there can be.
    let after = after.map(|mut after| {
        after.push(0);
        after
    });
    let from = after.as_deref().filter(|after| *after > prefix).unwrap_or(prefix);
    scan_range(rows, from, &end_of(prefix), visit)
}

/// The row key behind all those that begin with this one; none is ever all ones, for tables are not.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::row_key;

    proptest! {
        #[test]
        fn the_end_of_a_prefix_is_behind_all_that_begins_with_it(
            prefix in any::<Vec<u8>>(), other in any::<Vec<u8>>(),
        ) {
            let (prefix, other) = (row_key(2, &prefix), row_key(2, &other));
            let end = end_of(&prefix);
            prop_assert!([&prefix[..], &other].concat() < end);
            prop_assert_eq!(other >= prefix && other < end, other.starts_with(&prefix));
        }
    }

    #[test]
    fn a_prefix_of_all_ones_ends_where_the_one_before_it_does() {
        assert_eq!(end_of(&row_key(2, b"a\xff\xff")), row_key(2, b"b"));
        assert_eq!(end_of(&[7, 0xff, 0xff]), [8]);
    }
}
