//! The body of a transaction: what is asked for, and whether it can be asked at all.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::fields::{Fields, Object, set};
use super::refusal;
use super::shapes::session_id;
use crate::http::reply::Response;
use crate::state::kv::{KEY_LEN_EVER, KEY_LEN_MAX, OPS_MAX, Op, SessionId, When};

/// What an operation does, by Consul's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Set,
    Cas,
    Lock,
    Unlock,
    Get,
    GetOrEmpty,
    GetTree,
    CheckIndex,
    CheckSession,
    CheckNotExists,
    Delete,
    DeleteTree,
    DeleteCas,
}

impl Verb {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "set" => Self::Set,
            "cas" => Self::Cas,
            "lock" => Self::Lock,
            "unlock" => Self::Unlock,
            "get" => Self::Get,
            "get-or-empty" => Self::GetOrEmpty,
            "get-tree" => Self::GetTree,
            "check-index" => Self::CheckIndex,
            "check-session" => Self::CheckSession,
            "check-not-exists" => Self::CheckNotExists,
            "delete" => Self::Delete,
            "delete-tree" => Self::DeleteTree,
            "delete-cas" => Self::DeleteCas,
            _ => return None,
        })
    }

    /// Whether it may change anything.
    pub fn writes(self) -> bool {
        match self {
            Self::Set | Self::Cas | Self::Lock | Self::Unlock => true,
            Self::Delete | Self::DeleteTree | Self::DeleteCas => true,
            Self::Get | Self::GetOrEmpty | Self::GetTree => false,
            Self::CheckIndex | Self::CheckSession | Self::CheckNotExists => false,
        }
    }
}

/// An operation as it was sent.
#[derive(Debug, Default)]
pub(super) struct Asked {
    verb: String,
    key: String,
    value: Value,
    flags: u64,
    index: u64,
    session: String,
}

impl Fields for Asked {
    const NAME: &'static str = "a KV operation";

    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "verb" => set(&mut self.verb, map),
            "key" => set(&mut self.key, map),
            "value" => set(&mut self.value, map),
            "flags" => set(&mut self.flags, map),
            "index" => set(&mut self.index, map),
            "session" => set(&mut self.session, map),
            _ => Ok(false),
        }
    }
}

/// Bytes in base64.
#[derive(Debug, Default)]
struct Value(Vec<u8>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a Value in base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                // Lines may be broken, as everywhere where Go reads base64.
                let decoded = if text.contains(['\r', '\n']) {
                    STANDARD.decode(text.replace(['\r', '\n'], ""))
                } else {
                    STANDARD.decode(text)
                };
                decoded
                    .map(Value)
                    .map_err(|error| E::custom(format!("Value is not base64: {error}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// One element of the body; Consul knows operations of other kinds as well.
#[derive(Debug, Default)]
struct Element {
    kv: Option<Object<Asked>>,
    foreign: Option<&'static str>,
}

impl Fields for Element {
    const NAME: &'static str = "an operation";

    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "kv" => {
                self.kv = map.next_value()?;
                return Ok(true);
            }
            "node" => self.foreign = Some("Node"),
            "service" => self.foreign = Some("Service"),
            "check" => self.foreign = Some("Check"),
            "session" => self.foreign = Some("Session"),
            _ => {}
        }
        Ok(false)
    }
}

/// The elements, of which no more are kept than there may be.
#[derive(Debug, Default)]
struct Elements {
    kept: Vec<Element>,
    count: usize,
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Elements;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of operations")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Elements, A::Error> {
                let mut elements = Elements::default();
                while elements.count < OPS_MAX {
                    let Some(Object(element)) = list.next_element()? else { return Ok(elements) };
                    elements.kept.push(element);
                    elements.count += 1;
                }
                while list.next_element::<serde::de::IgnoredAny>()?.is_some() {
                    elements.count += 1;
                }
                Ok(elements)
            }

            fn visit_unit<E: Error>(self) -> Result<Elements, E> {
                Ok(Elements::default())
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// What must be remembered of an operation, to tell what came of it.
#[derive(Debug)]
pub(super) struct Told {
    pub verb: Verb,
    pub key: String,
    /// As it was sent; perhaps no session's id at all.
    pub session: String,
    pub index: u64,
}

/// An operation that cannot be done, whatever the state is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hopeless {
    pub op: usize,
    pub what: String,
}

/// A transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub ops: Vec<Op>,
    pub told: Vec<Told>,
    /// If there are any, nothing is to be done.
    pub hopeless: Vec<Hopeless>,
}

impl Transaction {
    /// Reads a body.
    ///
    /// # Errors
    /// The refusal, naming the operation and the field.
    pub fn read(body: &[u8], value_max: usize) -> Result<Self, Response> {
        let Elements { kept, count } = serde_json::from_slice(body)
            .map_err(|error| refusal(400, &format!("Failed to parse body: {error}")))?;
        if count > OPS_MAX {
            let text = format!("Transaction contains too many operations ({count} > {OPS_MAX})");
            return Err(refusal(413, &text));
        }
        let mut transaction = Self::default();
        for (number, element) in kept.into_iter().enumerate() {
            match (element.kv, element.foreign) {
                (Some(Object(asked)), None) => transaction.add(number, asked, value_max)?,
                (_, Some(kind)) => {
                    let text = format!("operation {number}: {kind} is not supported, only KV is");
                    return Err(refusal(400, &text));
                }
                (None, None) => {
                    return Err(refusal(400, &format!("operation {number} has no KV")));
                }
            }
        }
        Ok(transaction)
    }

    /// Whether it may change anything.
    pub fn writes(&self) -> bool {
        self.told.iter().any(|told| told.verb.writes())
    }

    fn add(&mut self, op: usize, asked: Asked, value_max: usize) -> Result<(), Response> {
        let size = asked.value.0.len();
        if size > value_max {
            let Asked { key, .. } = asked;
            let text = format!("Value for key {key:?} is too large ({size} > {value_max} bytes)");
            return Err(refusal(413, &text));
        }
        let Some(verb) = Verb::of(&asked.verb) else {
            let what = format!("unknown KV verb {:?}", asked.verb);
            self.hopeless.push(Hopeless { op, what });
            return Ok(());
        };
        if let Some(what) = impossible(verb, &asked) {
            self.hopeless.push(Hopeless { op, what });
        }
        let Asked { key, session, index, .. } = &asked;
        self.told.push(Told { verb, key: key.clone(), session: session.clone(), index: *index });
        self.ops.push(operation(verb, asked));
        Ok(())
    }
}

/// What is wrong with an operation before anything is looked at.
fn impossible(verb: Verb, asked: &Asked) -> Option<String> {
    let tree = matches!(verb, Verb::GetTree | Verb::DeleteTree);
    if asked.key.is_empty() && !tree {
        return Some("Must provide key (Key)".to_owned());
    }
    let makes = matches!(verb, Verb::Set | Verb::Cas | Verb::Lock);
    let (length, limit) = (asked.key.len(), if makes { KEY_LEN_MAX } else { KEY_LEN_EVER });
    if length > limit {
        return Some(format!("Key is {length} bytes long, the limit is {limit} bytes"));
    }
    let locks = matches!(verb, Verb::Lock | Verb::Unlock);
    (locks && asked.session.is_empty()).then(|| "missing session (Session)".to_owned())
}

fn operation(verb: Verb, asked: Asked) -> Op {
    let Asked { key, value, flags, index, session, .. } = asked;
    let (key, value) = (Bytes::from(key), Bytes::from(value.0));
    // Nobody ever gets the id of zeros, so that what is no id at all is simply not found.
    let session: SessionId = session_id(&session).unwrap_or_default();
    let set = |key, value, when| Op::Set { key, value, flags, ttl_ms: None, when };
    match verb {
        Verb::Set => set(key, value, When::Always),
        Verb::Cas => set(key, value, if index == 0 { When::Absent } else { When::At(index) }),
        Verb::Lock => Op::Lock { key, value, flags, session },
        Verb::Unlock => Op::Unlock { key, value, flags, session },
        Verb::Get => Op::Get { key, or_empty: false },
        Verb::GetOrEmpty => Op::Get { key, or_empty: true },
        Verb::GetTree => Op::GetTree { prefix: key },
        Verb::CheckIndex => Op::CheckIndex { key, index },
        Verb::CheckSession => Op::CheckSession { key, session },
        Verb::CheckNotExists => Op::CheckNotExists { key },
        Verb::Delete => Op::Delete { key, when: When::Always },
        Verb::DeleteTree => Op::DeleteTree { prefix: key },
        Verb::DeleteCas => Op::Delete { key, when: When::At(index) },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::reply::Body;

    fn read(body: &str) -> Transaction {
        Transaction::read(body.as_bytes(), 64).unwrap()
    }

    fn refused(body: &str) -> (u16, String) {
        let response = Transaction::read(body.as_bytes(), 4).unwrap_err();
        let Body::Bytes(text) = &response.body else { panic!("{body}") };
        (response.status, String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn names_of_fields_are_of_any_case_and_null_is_nothing() {
        let transaction = read(
            r#"[{"kv":{"VERB":"set","kEY":"k","Value":"AP\n8=","flags":7,"Session":null,"Other":{}}},
                {"KV":{"Verb":"cas","Key":"c","Value":null,"Index":3}, "Node":null}]"#
                .replace(r#", "Node":null"#, "")
                .as_str(),
        );
        let set = |key: &'static str, value: &'static [u8], flags, when| Op::Set {
            key: key.into(),
            value: Bytes::from_static(value),
            flags,
            ttl_ms: None,
            when,
        };
        assert_eq!(
            transaction.ops,
            [set("k", b"\0\xff", 7, When::Always), set("c", b"", 0, When::At(3))]
        );
        assert!(transaction.writes() && transaction.hopeless.is_empty());
        assert!(!read(r#"[{"KV":{"Verb":"get-tree","Key":""}}]"#).writes());
        assert!(read("[]").ops.is_empty() && read("null").ops.is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, status, name) in [
            ("", 400, "body"),
            ("{", 400, "body"),
            ("{}", 400, "list"),
            ("[null]", 400, "operation"),
            ("[{}]", 400, "KV"),
            ("[] x", 400, "body"),
            (r#"[{"KV":[]}]"#, 400, "KV"),
            (r#"[{"Node":{"Verb":"get"}}]"#, 400, "Node"),
            (r#"[{"KV":{"Verb":"set","Key":"k","Value":"AP8"}}]"#, 400, "base64"),
            (r#"[{"KV":{"Verb":"set","Key":"k","Value":7}}]"#, 400, "Value"),
            (r#"[{"KV":{"Verb":"set","Key":"k","Flags":-1}}]"#, 400, "u64"),
            (r#"[{"KV":{"Verb":"set","Key":"k","Value":"AAAAAAA="}}]"#, 413, "\"k\""),
        ] {
            let (was, text) = refused(body);
            assert_eq!(was, status, "{body}: {text}");
            assert!(text.contains(name), "{body}: {text}");
        }
        let many = format!("[{}]", vec!["{\"KV\":{}}"; OPS_MAX + 2].join(","));
        let (status, text) = refused(&many);
        assert_eq!(status, 413);
        assert!(text.contains("130 > 128"), "{text}");
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..40),
        ) {
            for body in [&bytes[..], words.concat().as_bytes()] {
                match Transaction::read(body, 64) {
                    Ok(Transaction { ops, told, hopeless }) => {
                        prop_assert!(ops.len() == told.len() && ops.len() <= OPS_MAX);
                        prop_assert!(hopeless.len() <= OPS_MAX);
                    }
                    Err(response) => prop_assert!(matches!(response.status, 400 | 413)),
                }
            }
        }
    }

    /// What bodies are made of.
    const WORDS: [&str; 20] = [
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "null",
        "7",
        "-1",
        "1e99",
        "\"KV\"",
        "\"Verb\"",
        "\"set\"",
        "\"Key\"",
        "\"Value\"",
        "\"QQ==\"",
        "\"Flags\"",
        "\"Session\"",
        "\"\\ud800\"",
        " ",
    ];

    #[test]
    fn no_operation_is_about_a_key_that_no_node_could_apply() {
        let long = "k".repeat(KEY_LEN_EVER + 1);
        let verbs = ["get", "get-tree", "check-index", "unlock", "delete", "delete-tree"];
        for verb in verbs {
            let body = |key: &str| {
                format!(r#"[{{"KV":{{"Verb":"{verb}","Key":"{key}","Session":"s"}}}}]"#)
            };
            assert_eq!(read(&body(&long[1..])).hopeless, [], "{verb}");
            let what = "Key is 8193 bytes long, the limit is 8192 bytes".to_owned();
            assert_eq!(read(&body(&long)).hopeless, [Hopeless { op: 0, what }], "{verb}");
        }
    }

    #[test]
    fn what_can_never_be_done_is_told_by_its_number() {
        let long = "k".repeat(KEY_LEN_MAX + 1);
        let transaction = read(&format!(
            r#"[{{"KV":{{"Verb":"get","Key":"k"}}}}, {{"KV":{{"Verb":"Set","Key":"k"}}}},
                {{"KV":{{"Verb":"set"}}}}, {{"KV":{{"Verb":"lock","Key":"k"}}}},
                {{"KV":{{"Verb":"set","Key":"{long}"}}}}, {{"KV":{{"Verb":"get","Key":"{long}"}}}}]"#
        ));
        let told: Vec<_> =
            transaction.hopeless.iter().map(|it| (it.op, it.what.as_str())).collect();
        assert_eq!(told[0], (1, "unknown KV verb \"Set\""));
        assert_eq!(told[1], (2, "Must provide key (Key)"));
        assert_eq!(told[2], (3, "missing session (Session)"));
        assert_eq!(told[3], (4, "Key is 1025 bytes long, the limit is 1024 bytes"));
        assert_eq!(told.len(), 4);
    }
}
