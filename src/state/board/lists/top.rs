//! The best posts of a time.
//!
//! They stand by likes within each day, and once more within each month of 30 days; the days of a week
//! or the months of a year are merged as they are read. Of the oldest day or month only a part lies
//! within the time, so posts in it may have to be stepped over: so many a page and no more, for which a
//! page may be short.
//!
//! Days and months without a post are not even looked at. There are at most 14 with one, unless the wall
//! clock went back and some lie in its future; those beyond [`TIMES_MAX`] are left out, the farthest in
//! the future.

use super::super::rows::{self, Width};
use super::super::{Cursor, Span};
use super::behind;
use crate::state::scan::{scan_prefix, scan_range};
use crate::storage::{Rows, StoreError};

/// Days or months that are merged at most.
const TIMES_MAX: usize = 16;
/// Posts that are stepped over for one page at most.
const SKIPPED_MAX: usize = 500;

const HOUR_MS: u64 = 3_600_000;

impl Span {
    /// How long it is, in ms of the wall clock.
    #[must_use]
    pub fn ms(self) -> u64 {
        match self {
            Self::Day => 24 * HOUR_MS,
            Self::Week => 7 * 24 * HOUR_MS,
            Self::Year => 365 * 24 * HOUR_MS,
        }
    }

    fn width(self) -> Width {
        match self {
            Self::Day | Self::Week => Width::Day,
            Self::Year => Width::Month,
        }
    }
}

/// What was found so far, of all days or months.
struct Merge<'a> {
    after: Option<&'a Cursor>,
    /// Posts of this time and before are too old; none are while the clock shows less than the span.
    too_old_ms: Option<u64>,
    max: usize,
    /// Place in the order, and post's key.
    found: Vec<(Vec<u8>, String)>,
    /// Up to here all are known.
    horizon: Option<Vec<u8>>,
}

/// Keys of the best posts, and where the next page begins.
pub(super) fn keys(
    rows: &(impl Rows + ?Sized),
    span: Span,
    after: Option<&Cursor>,
    now_ms: u64,
    max: usize,
) -> Result<(Vec<String>, Option<Cursor>), StoreError> {
    let (width, found) = (span.width(), Vec::new());
    let too_old_ms = now_ms.checked_sub(span.ms());
    let mut merge = Merge { after, too_old_ms, max, found, horizon: None };
    let mut from = width.number(too_old_ms.unwrap_or(0));
    for _ in 0..TIMES_MAX {
        let Some(number) = first_time(rows, width, from)? else { break };
        merge.read(rows, &rows::top(width, number))?;
        from = number.saturating_add(1);
    }
    Ok(merge.finish())
}

/// The first day or month from this one on that has a post.
fn first_time(
    rows: &(impl Rows + ?Sized),
    width: Width,
    from: u64,
) -> Result<Option<u64>, StoreError> {
    let mut first = None;
    scan_range(rows, &rows::top(width, from), &rows::top_end(width), &mut |row, _| {
        first = Some(rows::top_number(row)?);
        Ok(false)
    })?;
    Ok(first)
}

impl Merge<'_> {
    /// Takes in the best of one day or month, one more than fits on the page.
    fn read(&mut self, rows: &(impl Rows + ?Sized), prefix: &[u8]) -> Result<(), StoreError> {
        let (mut taken, mut skipped) = (0, 0);
        scan_prefix(rows, prefix, behind(prefix, self.after), &mut |key, row| {
            let place = key[prefix.len()..].to_vec();
            let (wall_ms, key) = rows::decode_timed("list", row)?;
            if self.too_old_ms.is_some_and(|too_old_ms| wall_ms <= too_old_ms) {
                skipped += 1;
                if skipped == SKIPPED_MAX {
                    self.horizon = Some(place);
                }
                return Ok(skipped < SKIPPED_MAX);
            }
            self.found.push((place, key));
            taken += 1;
            Ok(taken <= self.max)
        })
    }

    fn finish(self) -> (Vec<String>, Option<Cursor>) {
        let Self { max, mut found, horizon, .. } = self;
        found.sort_unstable();
        let mut next = None;
        if let Some(horizon) = horizon {
            found.retain(|(place, _)| *place < horizon);
            next = Some(Cursor(horizon));
        }
        if found.len() > max {
            found.truncate(max);
            next = Some(Cursor(found.last().map(|(place, _)| place.clone()).unwrap_or_default()));
        }
        (found.into_iter().map(|(_, key)| key).collect(), next)
    }
}
