//! A key as the native surface tells of it in JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::super::Error;
use super::keys::Key;

/// One object of a listing, of an event, of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Entry {
    /// The key, when it is text.
    key: Option<String>,
    /// The key in base64, when it is not.
    key_base64: Option<String>,
    /// The value in base64.
    value: Option<String>,
    /// Bytes of the value, when it is left out.
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) flags: u64,
    /// Revision that changed it last.
    #[serde(default)]
    pub(super) modify: u64,
    /// After how many milliseconds it goes by itself.
    pub(super) ttl_ms: Option<u64>,
}

impl Entry {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none; the text says what is wrong with it.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json).map_err(|error| Error::new(format!("this is no key: {error}")))
    }

    /// The key.
    pub(super) fn key(&self) -> Result<Key, Error> {
        match (&self.key, &self.key_base64) {
            (Some(text), None) => Ok(text.clone().into_bytes().into()),
            (None, Some(base64)) => Ok(decode("key_base64", base64)?.into()),
            (Some(_), Some(_)) => Err(Error::new("key and key_base64 are both there")),
            (None, None) => Err(Error::new("there is neither key nor key_base64")),
        }
    }

    /// The value.
    pub(super) fn value(&self) -> Result<Vec<u8>, Error> {
        match &self.value {
            Some(base64) => decode("value", base64),
            None => Err(Error::new("the value is missing")),
        }
    }
}

fn decode(name: &str, base64: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(base64).map_err(|error| Error::new(format!("{name} is no base64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_or_base64() {
        let entry = Entry::parse(br#"{"key":"a/b","value":"aGk=","flags":3,"new":[]}"#).unwrap();
        assert_eq!(
            (entry.key().unwrap().bytes(), entry.value().unwrap()),
            (&b"a/b"[..], b"hi".into())
        );
        assert_eq!((entry.flags, entry.ttl_ms), (3, None));
        let entry = Entry::parse(br#"{"key_base64":"/w==","ttl_ms":5}"#).unwrap();
        assert_eq!((entry.key().unwrap().bytes(), entry.ttl_ms), (&b"\xff"[..], Some(5)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, word) in [
            (r#"{"#, "no key"),
            (r#"{"value":"aGk="}"#, "neither"),
            (r#"{"key":"a","key_base64":"YQ==","value":""}"#, "both"),
            (r#"{"key_base64":"!","value":""}"#, "key_base64"),
            (r#"{"key":"a"}"#, "value"),
            (r#"{"key":"a","value":"!"}"#, "value"),
        ] {
            let entry = Entry::parse(json.as_bytes());
            let wrong = entry.and_then(|entry| Ok((entry.key()?, entry.value()?)));
            assert!(wrong.unwrap_err().to_string().contains(word), "{json}");
        }
    }
}
