//! Conditional requests (RFC 9110, section 13): entity tags are revisions.
//!
//! The tag of a key is the revision that changed it last, or that of the restore that brought it, when
//! that is later. No two states of a key have the same, and every number that the surface shows can
//! be used as a tag.

use super::super::reply::{Problem, Value};
use super::super::wire::Request;

/// What a request asks to be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    None,
    /// The key is not there (`If-None-Match: *`).
    Absent,
    /// It is (`If-Match: *`).
    Present,
    /// Its tag is one of these (`If-Match`); what can be no tag of ours is left out.
    OneOf(Vec<u64>),
}

/// The header's value for a revision.
pub(super) fn etag(revision: u64) -> Value {
    Value::Text(format!("\"{revision}\""))
}

/// What a write asks to be so.
///
/// # Errors
/// When a header is malformed, or the headers ask for what cannot be promised.
pub(super) fn of_write(request: &Request) -> Result<Condition, Problem> {
    let wanted = tags(request, "If-Match")?;
    match (wanted, tags(request, "If-None-Match")?) {
        (None, None) => Ok(Condition::None),
        (None, Some(Tags::Any)) => Ok(Condition::Absent),
        (None, Some(Tags::List(_))) => {
            Err(Problem::new(400, "If-None-Match of a write can only be *: the key is not there"))
        }
        (Some(Tags::Any), None) => Ok(Condition::Present),
        // Strong comparison: a weak tag matches nothing.
        (Some(Tags::List(list)), None) => Ok(Condition::OneOf(
            list.iter().filter(|tag| !tag.weak).filter_map(|tag| tag.revision).collect(),
        )),
        (Some(_), Some(_)) => {
            Err(Problem::new(400, "If-Match and If-None-Match exclude each other"))
        }
    }
}

/// Whether the reader has this revision already (`If-None-Match`).
///
/// # Errors
/// When the header is malformed.
pub(super) fn has(request: &Request, revision: u64) -> Result<bool, Problem> {
    Ok(match tags(request, "If-None-Match")? {
        None => false,
        Some(Tags::Any) => true,
        // Weak comparison: what has been compressed on its way is still the same value.
        Some(Tags::List(list)) => list.iter().any(|tag| tag.revision == Some(revision)),
    })
}

#[derive(Debug, PartialEq)]
enum Tags {
    Any,
    List(Vec<Tag>),
}

#[derive(Debug, PartialEq)]
struct Tag {
    weak: bool,
    /// None when no revision looks like this.
    revision: Option<u64>,
}

fn tags(request: &Request, name: &'static str) -> Result<Option<Tags>, Problem> {
    let mut found = None;
    for value in request.headers(name) {
        let wrong = || {
            let detail =
                format!("{name} is * or a list of entity tags in quotes, as ETag tells them");
            Problem::new(400, detail)
        };
        let tags = parse(value).ok_or_else(wrong)?;
        found = Some(match (found, tags) {
            (None, tags) => tags,
            (Some(Tags::List(mut list)), Tags::List(more)) => {
                list.extend(more);
                Tags::List(list)
            }
            (Some(_), _) => return Err(wrong()),
        });
    }
    Ok(found)
}

/// Reads `*`, or tags with commas between.
fn parse(value: &[u8]) -> Option<Tags> {
    let mut rest = value.trim_ascii();
    if rest == b"*" {
        return Some(Tags::Any);
    }
    let mut list = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix(b",") {
            rest = tail.trim_ascii_start();
            continue;
        }
        let (weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(tail) => (true, tail),
            None => (false, rest),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = inner.iter().position(|byte| *byte == b'"')?;
        list.push(Tag { weak, revision: revision(&inner[..end]) });
        rest = inner[end + 1..].trim_ascii_start();
        if !rest.is_empty() && rest[0] != b',' {
            return None;
        }
    }
    (!list.is_empty()).then_some(Tags::List(list))
}

/// The revision that a tag's inside is, if it is written as we write it.
fn revision(opaque: &[u8]) -> Option<u64> {
    let text = str::from_utf8(opaque).ok()?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(weak: bool, revision: impl Into<Option<u64>>) -> Tag {
        Tag { weak, revision: revision.into() }
    }

    #[test]
    fn lists_of_tags_are_read_as_the_standard_has_them() {
        for (text, tags) in [
            ("*", Tags::Any),
            (" \"57\" ", Tags::List(vec![tag(false, 57)])),
            ("W/\"57\"", Tags::List(vec![tag(true, 57)])),
            (
                "\"1\",\"2\" , ,W/\"3\"",
                Tags::List(vec![tag(false, 1), tag(false, 2), tag(true, 3)]),
            ),
            ("\"a,b\"", Tags::List(vec![tag(false, None)])),
            ("\"007\", \"+7\"", Tags::List(vec![tag(false, None), tag(false, None)])),
            ("\"99999999999999999999\"", Tags::List(vec![tag(false, None)])),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(tags), "{text}");
        }
        for text in ["", ",", "57", "\"57", "\"1\" \"2\"", "*, \"1\"", "w/\"1\"", "\"1\"x"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
