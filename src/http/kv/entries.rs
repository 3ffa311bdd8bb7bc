//! Keys as JSON and as lines of text.
//!
//! In JSON, a key that is no UTF-8 stands under `key_base64` instead of `key`, so that nobody takes
//! something similar for it; values are always base64. In text, a key stands as in a URL's path: what
//! is listed can be put behind `/api/kv/` as it is, and is always one line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::state::kv::{Entry, SessionId};

/// How much is told of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Its name.
    Name,
    /// All but the value, of which there is the size.
    Meta,
    /// All.
    Full,
}

/// What a number means that only the whole state knows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context {
    /// The state's clock, in ms.
    pub(super) now_ms: u64,
    /// No key has been changed before this revision, as far as readers are concerned.
    pub(super) floor: u64,
}

impl Context {
    /// The revision that a key's tag is.
    pub(super) fn revision(&self, entry: &Entry) -> u64 {
        entry.modify.max(self.floor)
    }

    /// The lifetime that a key has left, in ms.
    pub(super) fn ttl_ms(&self, entry: &Entry) -> Option<u64> {
        entry.expires_ms.map(|at| at.saturating_sub(self.now_ms))
    }
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    name: Name<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    flags: u64,
    create: u64,
    modify: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lock_index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Name<'a> {
    Key(&'a str),
    KeyBase64(String),
}

impl<'a> Name<'a> {
    fn of(key: &'a [u8]) -> Self {
        match str::from_utf8(key) {
            Ok(text) => Self::Key(text),
            Err(_) => Self::KeyBase64(STANDARD.encode(key)),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A session as everybody writes it: a UUID.
pub(super) fn session_name(id: SessionId) -> String {
    uuid::Uuid::from_bytes(id.0).to_string()
}

/// Appends a key as JSON: an object, or for the name alone a string where that can be.
pub(super) fn push_json(out: &mut Vec<u8>, entry: &Entry, context: &Context, detail: Detail) {
    let name = Name::of(&entry.key);
    match (detail, &name) {
        (Detail::Name, Name::Key(text)) => return push(out, text),
        (Detail::Name, Name::KeyBase64(_)) => return push(out, &name),
        (Detail::Meta | Detail::Full, _) => {}
    }
    let full = detail == Detail::Full;
    let object = Object {
        name,
        value: full.then(|| STANDARD.encode(&entry.value)),
        size: (!full).then_some(entry.value.len()),
        flags: entry.flags,
        create: entry.create,
        modify: context.revision(entry),
        lock_index: entry.lock_index,
        session: entry.session.map(session_name),
        ttl_ms: context.ttl_ms(entry),
    };
    push(out, &object);
}

/// Appends the account of a key that was removed.
pub(super) fn push_removed(out: &mut Vec<u8>, key: &[u8], revision: u64) {
    #[derive(Serialize)]
    struct Removed<'a> {
        #[serde(flatten)]
        name: Name<'a>,
        modify: u64,
    }
    push(out, &Removed { name: Name::of(key), modify: revision });
}

fn push(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value)
        .expect("our own plain structs with text keys can always be written to memory");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::Id128;

    fn entry(key: &'static [u8]) -> Entry {
        Entry {
            key: Bytes::from_static(key),
            value: Bytes::from_static(b"hi\xff"),
            flags: 7,
            create: 3,
            modify: 9,
            lock_index: 0,
            session: None,
            expires_ms: None,
        }
    }

    fn json(entry: &Entry, detail: Detail) -> String {
        let mut out = Vec::new();
        push_json(&mut out, entry, &Context { now_ms: 1000, floor: 5 }, detail);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_key_is_told_in_three_ways() {
        let plain = entry(b"a/\"b\"");
        assert_eq!(json(&plain, Detail::Name), r#""a/\"b\"""#);
        assert_eq!(
            json(&plain, Detail::Full),
            r#"{"key":"a/\"b\"","value":"aGn/","flags":7,"create":3,"modify":9}"#
        );
        let mut odd = entry(b"\xff");
        assert_eq!(json(&odd, Detail::Name), r#"{"key_base64":"/w=="}"#);
        (odd.modify, odd.lock_index, odd.expires_ms) = (4, 2, Some(1500));
        odd.session = Some(Id128([0x11; 16]));
        assert_eq!(
            json(&odd, Detail::Meta),
            "{\"key_base64\":\"/w==\",\"size\":3,\"flags\":7,\"create\":3,\"modify\":5,\
             \"lock_index\":2,\"session\":\"11111111-1111-1111-1111-111111111111\",\"ttl_ms\":500}"
        );
        odd.expires_ms = Some(999);
        assert!(json(&odd, Detail::Meta).ends_with("\"ttl_ms\":0}"), "it is about to go");
        let mut out = Vec::new();
        push_removed(&mut out, b"k", 8);
        assert_eq!(out, br#"{"key":"k","modify":8}"#);
    }
}
