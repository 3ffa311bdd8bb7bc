//! Times as people read them, and as programs do.

use crate::http::wire;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long ago something was, in words; clocks of several nodes may put it a little ahead.
pub(in crate::http::board) fn ago(now_ms: u64, then_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1000;
    if seconds < MINUTE { "just now".to_owned() } else { format!("{} ago", span(seconds)) }
}

/// A time in seconds in words, in its largest whole unit, rounded down.
pub(in crate::http::board) fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..MINUTE => (seconds, "second"),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..DAY => (seconds / HOUR, "hour"),
        _ if seconds < 60 * DAY => (seconds / DAY, "day"),
        _ if seconds < 730 * DAY => (seconds / (30 * DAY), "month"),
        _ => (seconds / (365 * DAY), "year"),
    };
    super::parts::count(count, unit)
}

/// A time in ms since 1970 as RFC 3339 has it, to the second.
pub(in crate::http::board) fn rfc3339(ms: u64) -> String {
    let date = wire::Date::of(ms / 1000);
    let wire::Date { year, month, day, hour, minute, second, .. } = date;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A time in ms since 1970 as HTTP and RSS have it.
pub(in crate::http::board) fn http_date(ms: u64) -> String {
    wire::http_date(ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_whole_unit() {
        for (seconds, words) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3_599, "59 minutes ago"),
            (3_600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "1 day ago"),
            (59 * DAY, "59 days ago"),
            (60 * DAY, "2 months ago"),
            (729 * DAY, "24 months ago"),
            (730 * DAY, "2 years ago"),
        ] {
            let now_ms = 1_790_000_000_000;
            assert_eq!(ago(now_ms, now_ms - seconds * 1000), words);
        }
        assert_eq!(ago(5_000, 9_000_000), "just now", "another node's clock is ahead");
        assert_eq!(span(1), "1 second");
    }

    #[test]
    fn dates_are_written_as_programs_read_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(784_111_777_999), "1994-11-06T08:49:37Z");
        assert_eq!(http_date(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
