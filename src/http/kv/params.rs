//! What the URL of a key says: the key, and what to do with it.

use super::super::query;
use super::super::reply::Problem;
use super::super::wire::Request;

/// The longest lifetime, in milliseconds: ten years.
const TTL_MAX: u64 = 3650 * DAY;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// What is set besides the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    pub(super) flags: u64,
    pub(super) ttl_ms: Option<u64>,
}

/// The key that a path's part names.
///
/// # Errors
/// When it names none, or a percent sign in it begins no escape.
pub(super) fn key(part: &str) -> Result<Vec<u8>, Problem> {
    if part.is_empty() {
        let detail =
            "the key is missing: a key is what follows /api/kv/, and GET /api/kv lists them";
        return Err(Problem::new(400, detail));
    }
    query::path_bytes(part)
        .ok_or_else(|| Problem::new(400, "in the key's path a % begins no escape; % itself is %25"))
}

/// `?prefix=`, which may be any bytes; all keys without it.
pub(super) fn prefix(request: &Request) -> Vec<u8> {
    query::bytes(request.query(), "prefix").unwrap_or_default().into_owned()
}

/// `?flags=` and `?ttl=`.
///
/// # Errors
/// When one is none; the text names it.
pub(super) fn extras(request: &Request) -> Result<Extras, Problem> {
    let flags = number(request, "flags")?.unwrap_or(0);
    let ttl_ms = match query::value(request.query(), "ttl") {
        None => None,
        Some(text) => Some(duration_ms(&text).ok_or_else(|| {
            Problem::new(400, "ttl is a time such as 500ms, 30s, 5m, 2h or 7d, at most 3650d")
        })?),
    };
    Ok(Extras { flags, ttl_ms })
}

/// A parameter that is a number.
///
/// # Errors
/// When it is none; the text names it.
pub(super) fn number(request: &Request, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query::value(request.query(), name) else { return Ok(None) };
    // No sign: a number has one way to be written.
    let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(Problem::new(400, format!("{name} is a decimal number below 2^64"))),
    }
}

fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => DAY,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (1..=TTL_MAX).contains(&ms).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_any_bytes() {
        assert_eq!(key("a%2Fb/%ff%00+").unwrap(), b"a/b/\xff\0+");
        for none in ["", "%zz%4", "a%"] {
            assert_eq!(key(none).unwrap_err().status, 400, "{none}");
        }
    }

    #[test]
    fn lifetimes_have_units_and_bounds() {
        for (text, ms) in [("1ms", 1), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000)] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        assert_eq!(duration_ms("3650d"), Some(TTL_MAX));
        for text in ["", "30", "s", "0s", "-1s", "1.5s", "1w", "3651d", "99999999999999999999s"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }
}
