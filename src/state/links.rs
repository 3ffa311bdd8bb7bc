//! Short links: which key a URL gets, and how its row looks.
//!
//! The key is computed from the URL while the command is applied, so two nodes that are handed the
//! same URL at the same moment cannot give it two keys, and two URLs cannot get one: whoever comes
//! second in the log sees the first one's row and takes one character more.
//!
//! A row's value, little-endian:
//!
//! | bytes | meaning                                                        |
//! |------:|----------------------------------------------------------------|
//! |     1 | kind: 1 a shared link, 2 gone, 3 a link with an owner          |
//! |     1 | version of the kind: 1                                         |
//! |     8 | the state's clock when it was created, in ms                   |
//! |     8 | wall clock when it was created, in ms since 1970: display only |
//! |     8 | log index of the entry that created it                         |
//! |  rest | the URL; nothing in a row that is gone                         |

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{At, row_key, table};
use crate::storage::{Rows, StoreError};

/// First path parts that are routes of the HTTP surface and never short keys.
///
/// A generated key cannot equal one of them: each is shorter than [`KEY_LEN_MIN`] or contains a
/// byte outside the alphabet of keys (a test keeps it so for words to come).
pub const RESERVED: [&str; 11] = [
    "v1",
    "api",
    "b",
    "ui",
    "livez",
    "readyz",
    "metrics",
    "openapi.json",
    "robots.txt",
    "favicon.ico",
    ".well-known",
];

/// Characters of the shortest generated key: 48 bits.
pub const KEY_LEN_MIN: usize = 8;
/// Characters of the longest generated key: a whole SHA-256.
pub const KEY_LEN_MAX: usize = 43;

const SHARED: u8 = 1;
const GONE: u8 = 2;
const OWNED: u8 = 3;
const VERSION: u8 = 1;
const HEADER_LEN: usize = 26;

/// A link row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Leads to this URL, byte for byte as stored. It is nobody's, and whoever puts the URL gets it.
    Live(Bytes),
    /// Existed, and is gone; its key stays taken for good.
    Gone,
    /// Leads to this URL likewise, and is somebody's: never handed to another who puts the URL.
    Owned(Bytes),
}

/// The link under a key.
///
/// # Errors
/// When the store cannot be read or the row in it is damaged.
pub fn lookup(rows: &(impl Rows + ?Sized), key: &str) -> Result<Option<Link>, StoreError> {
    let Some(row) = rows.get(&row_key(table::LINKS, key.as_bytes()))? else { return Ok(None) };
    decode(&row).map(Some).map_err(|why| StoreError::damaged(format!("row of link {key}: {why}")))
}

/// Whether a first path part belongs to the HTTP surface.
#[must_use]
pub fn is_reserved(first_part: &str) -> bool {
    RESERVED.contains(&first_part)
}

/// Whether a text has the shape of a generated key, so that looking it up can make sense.
#[must_use]
pub fn is_key(text: &str) -> bool {
    (KEY_LEN_MIN..=KEY_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The keys that a URL may get, in the order of preference; endless.
///
/// The first 36 are ever longer cuts of its SHA-256. Should all of them stand for other URLs (only
/// somebody who may choose keys could bring that about), it goes on with the hash of the hash.
pub(super) fn keys(url: &[u8]) -> impl Iterator<Item = String> {
    let hashes =
        std::iter::successors(Some(Sha256::digest(url)), |hash| Some(Sha256::digest(hash)));
    hashes.flat_map(|hash| {
        let text = URL_SAFE_NO_PAD.encode(hash);
        assert_eq!(text.len(), KEY_LEN_MAX, "32 bytes are 43 characters of base64");
        (KEY_LEN_MIN..=KEY_LEN_MAX).map(move |len| text[..len].to_string())
    })
}

/// Where a URL that is to be created belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It stands already, under this key.
    Stands(String),
    /// This key is the first one free.
    Free(String),
}

/// Goes through the candidate keys to the first that is free or holds this very URL.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn place(
    rows: &impl Rows,
    url: &[u8],
    keys: impl Iterator<Item = String>,
) -> Result<Place, StoreError> {
    for key in keys {
        match lookup(rows, &key)? {
            None => return Ok(Place::Free(key)),
            Some(Link::Live(other)) if other == url => return Ok(Place::Stands(key)),
            Some(Link::Live(_) | Link::Owned(_) | Link::Gone) => {}
        }
    }
    unreachable!("candidate keys never end, and rows do")
}

/// The first of these keys under which there never was a link.
///
/// # Errors
/// As [`place`].
pub(super) fn first_free(
    rows: &impl Rows,
    keys: impl Iterator<Item = String>,
) -> Result<String, StoreError> {
    for key in keys {
        if lookup(rows, &key)?.is_none() {
            return Ok(key);
        }
    }
    unreachable!("candidate keys never end, and rows do")
}

/// The row of a link that is created now.
pub(super) fn encode(link: &Link, at: At) -> Bytes {
    let mut stamps = [0; HEADER_LEN - 2];
    for (to, stamp) in stamps.chunks_exact_mut(8).zip([at.clock_ms, at.wall_ms, at.index]) {
        to.copy_from_slice(&stamp.to_le_bytes());
    }
    with_stamps(link, &stamps)
}

/// The row that takes the place of this one, of the same link, which is another from now on.
pub(super) fn restate(row: &[u8], link: &Link) -> Result<Bytes, StoreError> {
    let stamps = row.get(2..HEADER_LEN).and_then(|stamps| stamps.try_into().ok());
    let cut_short = || StoreError::damaged("row of a link: it is cut short");
    Ok(with_stamps(link, stamps.ok_or_else(cut_short)?))
}

fn with_stamps(link: &Link, stamps: &[u8; HEADER_LEN - 2]) -> Bytes {
    let (kind, url) = match link {
        Link::Live(url) => (SHARED, &url[..]),
        Link::Gone => (GONE, &[][..]),
        Link::Owned(url) => (OWNED, &url[..]),
    };
    [&[kind, VERSION][..], stamps, url].concat().into()
}

fn decode(row: &Bytes) -> Result<Link, String> {
    if row.len() < HEADER_LEN {
        return Err(format!("{} bytes are too few", row.len()));
    }
    match (row[0], row[1]) {
        (SHARED, VERSION) => Ok(Link::Live(row.slice(HEADER_LEN..))),
        (GONE, VERSION) => Ok(Link::Gone),
        (OWNED, VERSION) => Ok(Link::Owned(row.slice(HEADER_LEN..))),
        (kind, version) => Err(format!("unknown kind {kind} version {version}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{MemoryStore, Table};

    const AT: At = At { index: 7, term: 1, clock_ms: 11, wall_ms: 13 };

    fn put(rows: &mut MemoryStore, key: &str, link: &Link) {
        rows.put(&row_key(table::LINKS, key.as_bytes()), encode(link, AT));
    }

    fn place_real(rows: &MemoryStore, url: &'static str) -> Place {
        place(rows, url.as_bytes(), keys(url.as_bytes())).unwrap()
    }

    #[test]
    fn no_reserved_word_can_be_a_key() {
        for word in RESERVED {
            assert!(is_reserved(word));
            assert!(!is_key(word), "{word} could be generated: extend the keys or choose another");
        }
        assert!(!is_reserved("v2"));
    }

    #[test]
    fn keys_are_cuts_of_the_hash_one_character_longer_each() {
        // printf 'https://example.com/' | openssl dgst -sha256 -binary | base64 | tr '+/' '-_'
        let all: Vec<String> = keys(b"https://example.com/").take(36).collect();
        assert_eq!(all[0], "DxFdsGK3");
        assert_eq!(all[35], "DxFdsGK3wN0DCxaHjJnepcNUtJ3DezjriEYXnHeD6dc");
        assert!(all.iter().all(|key| is_key(key) && all[35].starts_with(key.as_str())));
        let next = keys(b"https://example.com/").nth(36).unwrap();
        assert_eq!(next.len(), 8);
        assert_ne!(next, all[0]);
    }

    #[test]
    fn the_same_url_is_found_again_and_another_takes_one_character_more() {
        let url = "https://example.com/";
        let candidates: Vec<String> = keys(url.as_bytes()).take(3).collect();
        let mut rows = MemoryStore::default();
        assert_eq!(place_real(&rows, url), Place::Free(candidates[0].clone()));

        put(&mut rows, &candidates[0], &Link::Live("https://other.example/".into()));
        assert_eq!(place_real(&rows, url), Place::Free(candidates[1].clone()));

        put(&mut rows, &candidates[1], &Link::Gone);
        assert_eq!(place_real(&rows, url), Place::Free(candidates[2].clone()));

        put(&mut rows, &candidates[2], &Link::Live(url.into()));
        assert_eq!(place_real(&rows, url), Place::Stands(candidates[2].clone()));

        put(&mut rows, &candidates[2], &Link::Owned(url.into()));
        let next = keys(url.as_bytes()).nth(3).unwrap();
        assert_eq!(place_real(&rows, url), Place::Free(next.clone()), "it is somebody's");
        assert_eq!(first_free(&rows, keys(url.as_bytes())), Ok(next));
    }

    #[test]
    fn a_url_whose_every_cut_is_taken_goes_on_with_the_next_hash() {
        let url = "https://example.com/";
        let mut rows = MemoryStore::default();
        for key in keys(url.as_bytes()).take(36) {
            put(&mut rows, &key, &Link::Gone);
        }
        let next = keys(url.as_bytes()).nth(36).unwrap();
        assert_eq!(place_real(&rows, url), Place::Free(next));
    }

    #[test]
    fn a_damaged_row_is_an_error_and_no_miss() {
        let mut rows = MemoryStore::default();
        let key = row_key(table::LINKS, b"abcdefgh");
        for bytes in [&b"short"[..], &[9; 40]] {
            rows.put(&key, Bytes::copy_from_slice(bytes));
            let error = lookup(&rows, "abcdefgh").unwrap_err();
            assert!(error.to_string().contains("abcdefgh"), "{error}");
        }
    }

    #[test]
    fn rows_survive_their_bytes() {
        let live = Link::Live("https://example.com/".into());
        let owned = Link::Owned("https://example.com/".into());
        for link in [live, Link::Gone, owned] {
            assert_eq!(decode(&encode(&link, AT)), Ok(link));
        }
    }

    #[test]
    fn a_link_that_becomes_another_keeps_its_stamps() {
        let (owned, later) = (Link::Owned("https://example.com/".into()), At { index: 8, ..AT });
        let gone = restate(&encode(&owned, AT), &Link::Gone).unwrap();
        assert_eq!(gone, encode(&Link::Gone, AT));
        assert_eq!(restate(&gone, &owned).unwrap(), encode(&owned, AT));
        assert_ne!(restate(&gone, &owned).unwrap(), encode(&owned, later));
        restate(b"short", &Link::Gone).unwrap_err();
    }
}
