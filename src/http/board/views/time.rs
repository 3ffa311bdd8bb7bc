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
