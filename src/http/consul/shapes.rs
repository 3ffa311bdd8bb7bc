//! Keys and sessions as Consul's JSON shows them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::json;
use crate::ids::Id128;
use crate::state::kv::{self, Behavior, Session, SessionId};

/// A key with all that belongs to it; without its value where only its standing was asked for.
pub(super) struct Entry<'a> {
    pub entry: &'a kv::Entry,
    pub with_value: bool,
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { entry, with_value } = *self;
        let shown = 6 + usize::from(entry.session.is_some());
        let mut out = serializer.serialize_struct("Entry", shown)?;
        out.serialize_field("LockIndex", &entry.lock_index)?;
        out.serialize_field("Key", &Key(&entry.key))?;
        out.serialize_field("Flags", &entry.flags)?;
        // An empty value and none look the same.
        let value = (with_value && !entry.value.is_empty()).then(|| STANDARD.encode(&entry.value));
        out.serialize_field("Value", &value)?;
        if let Some(session) = entry.session {
            out.serialize_field("Session", &uuid(session))?;
        }
        out.serialize_field("CreateIndex", &entry.create)?;
        out.serialize_field("ModifyIndex", &entry.modify)?;
        out.end()
    }
}

/// A key: text where it is, with replacements where it is not.
pub(super) struct Key<'a>(pub &'a [u8]);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.serialize_str(&json::text(self.0)),
        }
    }
}

/// A session with all that belongs to it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SessionShape<'a> {
    #[serde(rename = "ID")]
    id: String,
    name: &'a str,
    node: &'a str,
    /// In nanoseconds.
    lock_delay: u64,
    behavior: &'static str,
    #[serde(rename = "TTL")]
    ttl: String,
    node_checks: &'a [String],
    service_checks: Option<Vec<ServiceCheck<'a>>>,
    create_index: u64,
    modify_index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceCheck<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    namespace: &'a str,
}

impl<'a> SessionShape<'a> {
    pub fn of(session: &'a Session) -> Self {
        let new = &session.new;
        let checks =
            new.service_checks.iter().map(|(id, namespace)| ServiceCheck { id, namespace });
        Self {
            id: uuid(new.id),
            name: &new.name,
            node: &new.node,
            lock_delay: new.lock_delay_ms.saturating_mul(1_000_000),
            behavior: match new.behavior {
                Behavior::Release => "release",
                Behavior::Delete => "delete",
            },
            ttl: match new.ttl_ms {
                None => String::new(),
                Some(ms) if ms % 1000 == 0 => format!("{}s", ms / 1000),
                Some(ms) => format!("{ms}ms"),
            },
            node_checks: &new.node_checks,
            service_checks: Some(checks.collect::<Vec<_>>()).filter(|it| !it.is_empty()),
            create_index: session.create,
            modify_index: session.modify,
        }
    }
}

/// A session's id as its clients know it.
pub(super) fn uuid(id: SessionId) -> String {
    uuid::Uuid::from_bytes(id.0).to_string()
}

/// The session that a text names: a UUID of 36 characters, of either case.
pub(super) fn session_id(text: &str) -> Option<SessionId> {
    let id = (text.len() == 36).then(|| uuid::Uuid::try_parse(text).ok())??;
    Some(Id128(id.into_bytes()))
}

/// An id that nobody knows, for a new session: a random UUID (RFC 9562, version 4).
pub(super) fn new_session_id() -> SessionId {
    Id128(uuid::Builder::from_random_bytes(crate::ids::random()).into_uuid().into_bytes())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::state::kv::NewSession;

    fn text(value: &impl Serialize) -> String {
        String::from_utf8(json::document(value, false)).unwrap()
    }

    #[test]
    fn a_key_looks_as_consul_shows_it() {
        let mut entry = kv::Entry {
            key: Bytes::from_static(b"a/<\xff"),
            value: Bytes::from_static(b"\0\xff?>"),
            flags: u64::MAX,
            create: 3,
            modify: 9,
            lock_index: 2,
            session: None,
            expires_ms: Some(7),
        };
        let tail = "\"CreateIndex\":3,\"ModifyIndex\":9}";
        let key = "\"Key\":\"a/\\u003c\u{fffd}\",\"Flags\":18446744073709551615";
        assert_eq!(
            text(&Entry { entry: &entry, with_value: true }),
            format!("{{\"LockIndex\":2,{key},\"Value\":\"AP8/Pg==\",{tail}")
        );
        let id = Id128(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10");
        entry.session = Some(id);
        let shown = "01234567-89ab-cdef-fedc-ba9876543210";
        assert_eq!(
            text(&Entry { entry: &entry, with_value: false }),
            format!("{{\"LockIndex\":2,{key},\"Value\":null,\"Session\":\"{shown}\",{tail}")
        );
        assert_eq!(session_id(shown), Some(id));
        assert_eq!(session_id(&shown.to_uppercase()), Some(id));
        for wrong in ["", "x", &shown.replace('-', ""), &format!("{{{}}}", &shown[..34])] {
            assert_eq!(session_id(wrong), None, "{wrong}");
        }
        assert_ne!(new_session_id(), new_session_id());
    }

    #[test]
    fn a_session_looks_as_consul_shows_it() {
        let id = new_session_id();
        let mut session = Session {
            new: NewSession {
                id,
                name: "n".into(),
                node: "n1".into(),
                ttl_ms: Some(15_000),
                lock_delay_ms: 15_000,
                behavior: Behavior::Release,
                node_checks: vec!["serfHealth".into()],
                service_checks: Vec::new(),
            },
            create: 5,
            modify: 6,
            expires_ms: Some(99),
        };
        let shown = uuid(id);
        assert_eq!(
            text(&SessionShape::of(&session)),
            format!(
                "{{\"ID\":\"{shown}\",\"Name\":\"n\",\"Node\":\"n1\",\"LockDelay\":15000000000,\
                 \"Behavior\":\"release\",\"TTL\":\"15s\",\"NodeChecks\":[\"serfHealth\"],\
                 \"ServiceChecks\":null,\"CreateIndex\":5,\"ModifyIndex\":6}}"
            )
        );
        session.new.ttl_ms = None;
        session.new.behavior = Behavior::Delete;
        session.new.node_checks.clear();
        session.new.service_checks = vec![("web".into(), String::new())];
        let text = text(&SessionShape::of(&session));
        assert!(text.contains(
            "\"Behavior\":\"delete\",\"TTL\":\"\",\"NodeChecks\":[],\
             \"ServiceChecks\":[{\"ID\":\"web\",\"Namespace\":\"\"}]"
        ));
    }
}
