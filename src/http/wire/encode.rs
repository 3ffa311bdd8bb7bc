//! Answers as bytes: one buffer, written once.

use super::{Head, Method, Version};
use crate::http::reply::{Body, Response, Value};

/// The go-ahead for a body (RFC 9110, 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What of a request shapes the form of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The answer goes without its body (HEAD).
    pub head_only: bool,
    /// What the client speaks.
    pub version: Version,
    /// Whether the connection stays open after the answer.
    pub keep_alive: bool,
}

impl Exchange {
    /// The form of the answer to a request.
    #[must_use]
    pub fn of(head: &Head) -> Self {
        Self {
            head_only: head.method == Method::Head,
            version: head.version,
            keep_alive: head.keep_alive,
        }
    }

    /// The form of the answer to what was no request: the connection ends with it.
    #[must_use]
    pub fn refused() -> Self {
        Self { head_only: false, version: Version::Http11, keep_alive: false }
    }
}

/// The `Date` of answers, formatted once a second.
#[derive(Clone, Debug)]
pub struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    /// A clock that stands at this second since 1970.
    #[must_use]
    pub fn at(second: u64) -> Self {
        Self { second, text: http_date(second) }
    }

    /// Moves to this second since 1970.
    pub fn set(&mut self, second: u64) {
        if self.second != second {
            *self = Self::at(second);
        }
    }
}

/// Whether an answer has a body on the wire: not to HEAD, and 204 and 304 end with their head whatever
/// their fields say (RFC 9112, 6.3).
#[must_use]
pub fn has_body(response: &Response, exchange: Exchange) -> bool {
    !(exchange.head_only || is_bodiless(response.status))
}

fn is_bodiless(status: u16) -> bool {
    matches!(status, 204 | 304)
}

/// Appends an answer to `out`; of one that is made while it is sent, only the head.
///
/// Control characters in header values become question marks: whatever a handler passes on, an
/// answer can never be split in two.
pub fn encode(response: &Response, exchange: Exchange, clock: &Clock, out: &mut Vec<u8>) {
    let length = match &response.body {
        Body::Empty => Some(0),
        Body::Static(text) => Some(text.len()),
        Body::Bytes(bytes) => Some(bytes.len()),
        Body::Line(bytes) => Some(bytes.len() + 1),
        Body::Stream(_) => None,
    };
    out.reserve(256 + length.unwrap_or(0));
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(u64::from(response.status), out);
    out.push(b' ');
    out.extend_from_slice(reason(response.status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(clock.text.as_bytes());
    let bodiless = is_bodiless(response.status);
    match length {
        _ if bodiless => {}
        Some(length) => {
            out.extend_from_slice(b"\r\nContent-Length: ");
            push_number(length as u64, out);
        }
        None if exchange.version == Version::Http11 => {
            out.extend_from_slice(b"\r\nTransfer-Encoding: chunked");
        }
        None => {}
    }
    if length != Some(0) && !bodiless {
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(response.content_type.as_bytes());
    }
    if let Some(index) = response.index {
        out.extend_from_slice(b"\r\nX-Bowline-Index: ");
        push_number(index, out);
    }
    for (name, value) in &response.headers {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        match value {
            Value::Static(text) => out.extend_from_slice(text.as_bytes()),
            Value::Number(number) => push_number(*number, out),
            Value::Text(text) => push_clean(text.as_bytes(), out),
            Value::Bytes(bytes) => push_clean(bytes, out),
        }
    }
    match (exchange.keep_alive, exchange.version) {
        (false, _) => out.extend_from_slice(b"\r\nConnection: close"),
        (true, Version::Http10) => out.extend_from_slice(b"\r\nConnection: keep-alive"),
        (true, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n\r\n");
    if !has_body(response, exchange) {
        return;
    }
    match &response.body {
        Body::Empty | Body::Stream(_) => {}
        Body::Static(text) => out.extend_from_slice(text.as_bytes()),
        Body::Bytes(bytes) => out.extend_from_slice(bytes),
        Body::Line(bytes) => {
            out.extend_from_slice(bytes);
            out.push(b'\n');
        }
    }
}

/// Appends a piece of an answer that is sent in chunks (RFC 9112, 7.1); no bytes append nothing.
pub fn push_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    // An empty chunk would be the end.
    out.reserve(bytes.len() + 20);
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The end of an answer that is sent in chunks.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn push_clean(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(value);
    for byte in &mut out[start..] {
        if byte.is_ascii_control() {
            *byte = b'?';
        }
    }
}

fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit fits a byte");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The standard phrase for a status code.
pub(in crate::http) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Unnamed",
    }
}

/// A day and a time of the day, of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Date {
    pub year: u64,
    /// 1 to 12.
    pub month: usize,
    /// 1 to 31.
    pub day: u64,
    pub hour: u64,
    pub minute: u64,
    pub second: u64,
    /// 0 for Thursday, which the first of January 1970 was.
    pub weekday: usize,
}

impl Date {
    /// That of a second since 1970, in UTC.
    pub(in crate::http) fn of(second: u64) -> Self {
        // Later than the year 9999 no format goes.
        let second = second.min(253_402_300_799);
        let (days, time) = (second / 86_400, second % 86_400);
        let weekday = (days % 7) as usize;
        let (mut year, mut day) = (1970, days);
        while day >= days_in_year(year) {
            day -= days_in_year(year);
            year += 1;
        }
        let mut month = 0;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        Self { year, month: month + 1, day: day + 1, hour, minute, second, weekday }
    }
}

/// The date format of HTTP (RFC 9110, 5.6.7), from seconds since 1970.
pub(in crate::http) fn http_date(second: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Date { year, month, day, hour, minute, second, weekday } = Date::of(second);
    let (weekday, month) = (DAYS[weekday], MONTHS[month - 1]);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: usize) -> u64 {
    const DAYS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    DAYS[month] + u64::from(month == 1 && is_leap(year))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_rfc_9110() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(http_date(4_107_542_399), "Sun, 28 Feb 2100 23:59:59 GMT");
        assert_eq!(http_date(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
    }

    #[test]
    fn a_header_value_cannot_split_the_answer() {
        let response = Response::new(200).text_header("Location", "a\r\nSet-Cookie: b");
        let mut out = Vec::new();
        encode(&response, Exchange::refused(), &Clock::at(0), &mut out);
        let text = String::from_utf8_lossy(&out);
        assert!(text.contains("\r\nLocation: a??Set-Cookie: b\r\n"), "{text}");
    }
}
