//! The bytes of a promise: magic, format, file, size, hash, not after, CRC32C of all before; little-endian.

use crc32c::crc32c;

use crate::ids::Id128;
use crate::snapshot::message::Blob;

const MAGIC: &[u8; 8] = b"BWLNKEEP";
/// The newest format.
const FORMAT: u32 = 1;
/// Bytes of a promise.
pub const PROMISE: usize = 80;

/// The bytes of a promise to keep this until then (ms of the state's clock).
pub fn encode_promise(blob: &Blob, not_after_ms: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PROMISE);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&blob.file.0);
    bytes.extend_from_slice(&blob.size.to_le_bytes());
    bytes.extend_from_slice(&blob.sha256);
    bytes.extend_from_slice(&not_after_ms.to_le_bytes());
    bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
    bytes
}

/// None when these bytes are no promise of a format that is known here.
pub fn decode_promise(bytes: &[u8]) -> Option<(Blob, u64)> {
    let bytes: &[u8; PROMISE] = bytes.try_into().ok()?;
    let (body, crc) = bytes.split_last_chunk().expect("it is longer");
    let number = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("in range"));
    let format = u32::from_le_bytes(*bytes[8..].first_chunk().expect("in range"));
    if bytes[..8] != *MAGIC || format != FORMAT || crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let file = Id128(*bytes[12..].first_chunk().expect("in range"));
    let sha256 = *bytes[36..].first_chunk().expect("in range");
    Some((Blob { file, size: number(28), sha256 }, number(68)))
}
