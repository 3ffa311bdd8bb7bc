//! The parameters that all of Consul's reads share: how fresh, and whether to wait for news.

use std::time::Duration;

use super::{duration, refusal};
use crate::http::query;
use crate::http::reply::Response;

/// The only datacenter there is; Consul's name for one that was given none.
pub(super) const DATACENTER: &str = "dc1";

/// How long a read waits for news unless it says so itself, and at most.
const WAIT_DEFAULT: Duration = Duration::from_secs(5 * 60);
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consistency {
    /// As fresh as the cluster was when it was asked; asked for by nothing, or by `leader`.
    Leader,
    /// The same, and `consistent` asked for it.
    Consistent,
    /// As this node has it, provided that it heard from its leader within this many milliseconds.
    Stale(u64),
}

impl Consistency {
    /// As `X-Consul-Effective-Consistency` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Consistent => "consistent",
            Self::Stale(_) => "stale",
        }
    }
}

/// The parameters of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadOptions {
    pub consistency: Consistency,
    /// Wait for something newer than this; 0 for no waiting.
    pub index: u64,
    /// How long to wait for it.
    pub wait: Duration,
    /// Indented for people.
    pub pretty: bool,
}

impl ReadOptions {
    /// # Errors
    /// The refusal, naming the parameter that is wrong.
    pub fn of(query: &str) -> Result<Self, Response> {
        check_datacenter(query)?;
        Ok(Self {
            consistency: consistency(query)?,
            index: index(query)?,
            wait: wait(query)?,
            pretty: query::flag(query, "pretty"),
        })
    }
}

/// Refuses what is meant for another datacenter.
pub(super) fn check_datacenter(query: &str) -> Result<(), Response> {
    match query::value(query, "dc") {
        Some(dc) if !dc.is_empty() && dc != DATACENTER => {
            Err(refusal(500, "No path to datacenter (dc)"))
        }
        _ => Ok(()),
    }
}

/// A parameter that is a number, if it is there.
///
/// # Errors
/// The refusal, naming the parameter.
pub(super) fn number(query: &str, name: &str) -> Result<Option<u64>, Response> {
    let Some(text) = query::value(query, name) else { return Ok(None) };
    match decimal(&text) {
        Some(number) => Ok(Some(number)),
        None => {
            Err(refusal(500, &format!("Invalid {name}: a decimal number below 2^64 is wanted")))
        }
    }
}

/// Digits and nothing else: no sign, as Go has it.
fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn consistency(query: &str) -> Result<Consistency, Response> {
    let consistent = query::flag(query, "consistent");
    let stale = match query::value(query, "max_stale").filter(|text| !text.is_empty()) {
        None => query::flag(query, "stale").then_some(u64::MAX),
        Some(text) => {
            let Some(nanos) = duration::parse(&text) else {
                return Err(refusal(400, "Invalid max_stale: a duration such as 10s is wanted"));
            };
            let most = u64::try_from(nanos / 1_000_000).ok().filter(|_| nanos > 0);
            most.or_else(|| query::flag(query, "stale").then_some(u64::MAX))
        }
    };
    match (stale, consistent) {
        (Some(_), true) => {
            Err(refusal(400, "Cannot specify ?stale with ?consistent, conflicting semantics."))
        }
        (Some(most), false) => Ok(Consistency::Stale(most)),
        (None, true) => Ok(Consistency::Consistent),
        (None, false) => Ok(Consistency::Leader),
    }
}

fn index(query: &str) -> Result<u64, Response> {
    match query::value(query, "index").filter(|text| !text.is_empty()) {
        None => Ok(0),
        Some(text) => decimal(&text).ok_or_else(|| refusal(400, "Invalid index")),
    }
}

fn wait(query: &str) -> Result<Duration, Response> {
    let nanos = match query::value(query, "wait").filter(|text| !text.is_empty()) {
        None => 0,
        Some(text) => {
            duration::parse(&text).ok_or_else(|| refusal(400, "Invalid wait time (wait)"))?
        }
    };
    // Nothing and less than nothing are no wish at all.
    Ok(match u64::try_from(nanos) {
        Ok(nanos) if nanos > 0 => Duration::from_nanos(nanos).min(WAIT_MAX),
        _ => WAIT_DEFAULT,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> ReadOptions {
        ReadOptions::of(query).unwrap()
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let plain = options("");
        let wanted = ReadOptions {
            consistency: Consistency::Leader,
            index: 0,
            wait: WAIT_DEFAULT,
            pretty: false,
        };
        assert_eq!(plain, wanted);
        assert_eq!(options("index=&wait=&max_stale=&dc=&leader&token=x"), wanted);
        assert_eq!(options("wait=0s&dc=dc1"), wanted);
        assert_eq!(options("wait=-5s"), wanted);
    }

    #[test]
    fn what_is_said_counts() {
        let said = options("index=7&wait=20ms&consistent&pretty=0");
        let wanted = ReadOptions {
            consistency: Consistency::Consistent,
            index: 7,
            wait: Duration::from_millis(20),
            pretty: true,
        };
        assert_eq!(said, wanted);
        assert_eq!(options("wait=11m").wait, WAIT_MAX);
        assert_eq!(options("wait=1h30m").wait, WAIT_MAX);
        assert_eq!(options("stale").consistency, Consistency::Stale(u64::MAX));
        assert_eq!(options("stale=False").consistency, Consistency::Stale(u64::MAX));
        assert_eq!(options("max_stale=2s").consistency, Consistency::Stale(2000));
        assert_eq!(options("max_stale=0s").consistency, Consistency::Leader);
        assert_eq!(options("max_stale=0s&stale").consistency, Consistency::Stale(u64::MAX));
        assert_eq!(options("index=18446744073709551615").index, u64::MAX);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, status, name) in [
            ("index=x", 400, "index"),
            ("index=-1", 400, "index"),
            ("index=+1", 400, "index"),
            ("index=18446744073709551616", 400, "index"),
            ("wait=x", 400, "wait"),
            ("wait=10", 400, "wait"),
            ("max_stale=x", 400, "max_stale"),
            ("stale&consistent", 400, "stale"),
            ("max_stale=1s&consistent", 400, "stale"),
            ("dc=dc2", 500, "dc"),
        ] {
            let refused = ReadOptions::of(query).unwrap_err();
            assert_eq!(refused.status, status, "{query}");
            let crate::http::reply::Body::Bytes(text) = &refused.body else { panic!("{query}") };
            assert!(str::from_utf8(text).unwrap().contains(name), "{query}");
        }
        assert_eq!(number("cas=12", "cas").unwrap(), Some(12));
        assert_eq!(number("", "cas").unwrap(), None);
        assert!(number("cas", "cas").is_err() && number("cas=-1", "cas").is_err());
    }
}
