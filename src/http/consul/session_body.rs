//! The body of `PUT /v1/session/create`: what a session is to be like.

use serde::de::{Deserialize, MapAccess};

use super::fields::{Fields, Object, set};
use super::{duration, refusal};
use crate::http::reply::Response;
use crate::state::kv::{Behavior, NewSession, SessionId};

const SECOND_NS: i64 = 1_000_000_000;
/// Shortest and longest lifetime, in seconds.
const TTL_S: std::ops::RangeInclusive<i64> = 10..=86_400;
/// How long a lock that a session lost cannot be taken, unless it says so; and at most.
const LOCK_DELAY_DEFAULT_MS: u64 = 15_000;
const LOCK_DELAY_MAX_MS: u64 = 60_000;
/// Go reads a number as nanoseconds; below this it was surely meant as seconds.
const SECONDS_BELOW: i64 = 1000;
/// The check that Consul's sessions depend on if nothing is said; here it is only shown.
const CHECK_DEFAULT: &str = "serfHealth";

/// A body as it was sent.
#[derive(Debug, Default)]
struct Asked {
    name: String,
    node: String,
    lock_delay: Option<LockDelay>,
    behavior: String,
    ttl: String,
    /// The older name for the next one.
    checks: Option<Vec<String>>,
    node_checks: Option<Vec<String>>,
    service_checks: Vec<Object<ServiceCheck>>,
}

#[derive(Debug, Default)]
struct ServiceCheck {
    id: String,
    namespace: String,
}

/// A duration in Go's words, or a number.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum LockDelay {
    Text(String),
    Number(f64),
}

impl Default for LockDelay {
    fn default() -> Self {
        Self::Number(0.0)
    }
}

impl Fields for Asked {
    const NAME: &'static str = "a session";

    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "name" => set(&mut self.name, map),
            "node" => set(&mut self.node, map),
            "lockdelay" => set_option(&mut self.lock_delay, map),
            "behavior" => set(&mut self.behavior, map),
            "ttl" => set(&mut self.ttl, map),
            "checks" => set_option(&mut self.checks, map),
            "nodechecks" => set_option(&mut self.node_checks, map),
            "servicechecks" => set(&mut self.service_checks, map),
            _ => Ok(false),
        }
    }
}

impl Fields for ServiceCheck {
    const NAME: &'static str = "a service check";

    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "id" => set(&mut self.id, map),
            "namespace" => set(&mut self.namespace, map),
            _ => Ok(false),
        }
    }
}

fn set_option<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    field: &mut Option<T>,
    map: &mut A,
) -> Result<bool, A::Error> {
    *field = map.next_value()?;
    Ok(true)
}

/// The session that a body asks for, on `node` unless it says otherwise.
///
/// # Errors
/// The refusal, naming the field.
pub(super) fn session(body: &[u8], id: SessionId, node: &str) -> Result<NewSession, Response> {
    let asked = if body.is_empty() {
        Asked::default()
    } else {
        let asked: Option<Object<Asked>> = serde_json::from_slice(body)
            .map_err(|error| refusal(400, &format!("Request decode failed: {error}")))?;
        asked.unwrap_or_default().0
    };
    let behavior = match asked.behavior.as_str() {
        "" | "release" => Behavior::Release,
        "delete" => Behavior::Delete,
        other => return Err(refusal(500, &format!("Invalid Behavior setting {other:?}"))),
    };
    let checks = match (asked.node_checks, asked.checks) {
        (None, None) => vec![CHECK_DEFAULT.to_owned()],
        (new, old) => union(new.unwrap_or_default(), old.unwrap_or_default()),
    };
    let service_checks = asked.service_checks.into_iter();
    Ok(NewSession {
        id,
        name: asked.name,
        node: if asked.node.is_empty() { node.to_owned() } else { asked.node },
        ttl_ms: ttl(&asked.ttl)?,
        lock_delay_ms: asked.lock_delay.map_or(Ok(LOCK_DELAY_DEFAULT_MS), |it| lock_delay(&it))?,
        behavior,
        node_checks: checks,
        service_checks: service_checks.map(|Object(it)| (it.id, it.namespace)).collect(),
    })
}

/// Both lists, each name once.
fn union(mut names: Vec<String>, more: Vec<String>) -> Vec<String> {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn ttl(text: &str) -> Result<Option<u64>, Response> {
    if text.is_empty() {
        return Ok(None);
    }
    let Some(nanos) = duration::parse(text) else {
        let why = format!("Session TTL {text:?} invalid: a duration such as 15s is wanted");
        return Err(refusal(500, &why));
    };
    if nanos == 0 {
        return Ok(None);
    }
    if nanos < TTL_S.start() * SECOND_NS || nanos > TTL_S.end() * SECOND_NS {
        let (least, most) = (TTL_S.start(), TTL_S.end());
        let why = format!("Invalid Session TTL {text:?}, must be between {least}s and {most}s");
        return Err(refusal(500, &why));
    }
    Ok(Some(whole_ms(nanos)))
}

fn lock_delay(asked: &LockDelay) -> Result<u64, Response> {
    let nanos = match asked {
        LockDelay::Text(text) => duration::parse(text).ok_or_else(|| {
            let why = "a duration such as 15s is wanted";
            refusal(400, &format!("Request decode failed: LockDelay {text:?}: {why}"))
        })?,
        #[allow(clippy::cast_possible_truncation, reason = "out of range is the nearest there is")]
        LockDelay::Number(number) => *number as i64,
    };
    let nanos = if nanos < SECONDS_BELOW { nanos.saturating_mul(SECOND_NS) } else { nanos };
    Ok(whole_ms(nanos).min(LOCK_DELAY_MAX_MS))
}

/// Milliseconds, rounded up; nothing for less than nothing.
fn whole_ms(nanos: i64) -> u64 {
    u64::try_from(nanos).unwrap_or(0).div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> NewSession {
        session(body.as_bytes(), SessionId::default(), "here").unwrap()
    }

    #[test]
    fn what_is_not_said_has_consuls_defaults() {
        let wanted = NewSession {
            id: SessionId::default(),
            name: String::new(),
            node: "here".into(),
            ttl_ms: None,
            lock_delay_ms: 15_000,
            behavior: Behavior::Release,
            node_checks: vec!["serfHealth".into()],
            service_checks: Vec::new(),
        };
        for body in ["", "{}", "null", r#"{"TTL":"","Behavior":null,"Other":[1],"LockDelay":null}"#]
        {
            assert_eq!(read(body), wanted, "{body}");
        }
    }

    #[test]
    fn names_of_fields_are_of_any_case() {
        let said = read(
            r#"{"name":"n","NODE":"there","lockdelay":"2s","behavior":"delete","ttl":"1m30s",
                "checks":["a"],"nodeChecks":["b","a"],
                "ServiceChecks":[{"id":"web"},{"ID":"db","Namespace":"x"}]}"#,
        );
        let wanted = NewSession {
            id: SessionId::default(),
            name: "n".into(),
            node: "there".into(),
            ttl_ms: Some(90_000),
            lock_delay_ms: 2_000,
            behavior: Behavior::Delete,
            node_checks: vec!["b".into(), "a".into()],
            service_checks: vec![("web".into(), String::new()), ("db".into(), "x".into())],
        };
        assert_eq!(said, wanted);
        assert!(read(r#"{"Checks":[]}"#).node_checks.is_empty());
    }

    #[test]
    fn lock_delays_are_seconds_or_nanoseconds_or_text() {
        for (asked, ms) in [
            ("15", 15_000),
            ("15000000000", 15_000),
            ("0", 0),
            ("-1", 0),
            ("1e300", 60_000),
            ("\"0s\"", 0),
            ("\"20ms\"", 20),
            ("\"1ns\"", 1_000),
            ("\"2us\"", 1),
            ("\"5m\"", 60_000),
        ] {
            assert_eq!(read(&format!("{{\"LockDelay\":{asked}}}")).lock_delay_ms, ms, "{asked}");
        }
        assert_eq!(read(r#"{"TTL":"0s"}"#).ttl_ms, None);
        assert_eq!(read(r#"{"TTL":"86400s"}"#).ttl_ms, Some(86_400_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, status, name) in [
            ("{", 400, "decode"),
            ("[]", 400, "session"),
            ("\"\"", 400, "session"),
            (r#"{"Name":7}"#, 400, "decode"),
            (r#"{"LockDelay":"x"}"#, 400, "LockDelay"),
            (r#"{"LockDelay":[]}"#, 400, "LockDelay"),
            (r#"{"Behavior":"keep"}"#, 500, "Behavior"),
            (r#"{"TTL":"x"}"#, 500, "TTL"),
            (r#"{"TTL":"9s"}"#, 500, "TTL"),
            (r#"{"TTL":"-10s"}"#, 500, "TTL"),
            (r#"{"TTL":"86401s"}"#, 500, "TTL"),
        ] {
            let refused = session(body.as_bytes(), SessionId::default(), "").unwrap_err();
            assert_eq!(refused.status, status, "{body}");
            let crate::http::reply::Body::Bytes(text) = &refused.body else { panic!("{body}") };
            let text = str::from_utf8(text).unwrap();
            assert!(text.contains(name), "{body}: {text}");
        }
    }
}
