//! Server-sent events, read as they come.

use std::io::{self, BufRead, Read};

/// Bytes of the longest line that is read; no event comes near it.
const LINE_MAX: u64 = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// What kind it is.
    pub(super) kind: String,
    /// Its data: one line of JSON.
    pub(super) data: String,
}

/// Reads events, and remembers how far they reach.
pub(super) struct Events<R> {
    input: R,
    /// The last `id:`, for going on after a break.
    pub(super) id: Option<String>,
}

impl<R: BufRead> Events<R> {
    pub(super) fn new(input: R, id: Option<String>) -> Self {
        Self { input, id }
    }

    /// The next event; none at the end.
    ///
    /// # Errors
    /// When the connection breaks, which for a stream that never ends is its usual end.
    pub(super) fn next(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event::default();
        let mut id = None;
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut self.input).take(LINE_MAX).read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                // What has not ended with a blank line has not happened.
                return Ok(None);
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches('\r');
            let (field, value) = text.split_once(':').unwrap_or((text, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.kind),
                "data" => event.data.push_str(value),
                "id" => id = Some(value.to_owned()),
                "" if text.is_empty() => {
                    self.id = id.take().or(self.id.take());
                    if !event.data.is_empty() {
                        return Ok(Some(event));
                    }
                    event = Event::default();
                }
                // A comment, or a field that means nothing here.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_end_with_a_blank_line() {
        let text = ": hello\n\nevent: put\ndata: {}\n\nevent:delete\r\nid:7\r\ndata:{\"a\":1}\r\n\r\n\
                    id: 9\n\nevent: put\ndata: {}\nid: 10\n";
        let mut events = Events::new(text.as_bytes(), Some("5".to_owned()));
        let event = |kind: &str, data: &str| Some(Event { kind: kind.into(), data: data.into() });
        assert_eq!(events.next().unwrap(), event("put", "{}"));
        assert_eq!(events.id.as_deref(), Some("5"));
        assert_eq!(events.next().unwrap(), event("delete", "{\"a\":1}"));
        assert_eq!(events.id.as_deref(), Some("7"));
        assert_eq!(events.next().unwrap(), None, "the last one has not happened");
        assert_eq!(events.id.as_deref(), Some("9"), "an id may come alone");
    }
}
