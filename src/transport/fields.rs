//! The envelope that both sides of a handshake come in: magic, length of the fields (u16), fields,
//! CRC32C over all of it. Pure: no I/O here.

use thiserror::Error;

/// The most that the fields of a handshake may take, in bytes.
pub const MAX_FIELDS: usize = 512;

/// Why bytes are no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Garbage {
    /// The other side speaks HTTP.
    #[error("the other side speaks HTTP")]
    Http,
    /// It does not start as a handshake.
    #[error("not a handshake")]
    Magic,
    /// It says that it is too long.
    #[error("a handshake that is too long")]
    Length,
    /// It was changed on the way.
    #[error("a handshake with a wrong checksum")]
    Checksum,
    /// A field is missing or makes no sense.
    #[error("a handshake with a wrong field")]
    Fields,
}

/// Magic, length, fields, checksum.
pub(super) fn envelope(magic: &[u8], fields: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fields.len()).expect("our own fields are short");
    let mut bytes = [magic, &length.to_le_bytes(), fields].concat();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The fields of an envelope at the start of `bytes`, and the length of the whole.
pub(super) fn open<'a>(
    magic: &[u8],
    bytes: &'a [u8],
) -> Result<Option<(Fields<'a>, usize)>, Garbage> {
    let start = &bytes[..bytes.len().min(magic.len())];
    if !magic.starts_with(start) {
        return Err(Garbage::Magic);
    }
    let mut rest = Fields(&bytes[start.len()..]);
    let Some(length) = rest.u16().map(usize::from) else {
        return Ok(None);
    };
    if length > MAX_FIELDS {
        return Err(Garbage::Length);
    }
    let (Some(fields), Some(stored)) = (rest.slice(length), rest.u32()) else {
        return Ok(None);
    };
    let covered = magic.len() + 2 + length;
    if crc32c::crc32c(&bytes[..covered]) != stored {
        return Err(Garbage::Checksum);
    }
    Ok(Some((Fields(fields), covered + 4)))
}

/// Fields still to be read; each is none when it is missing.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N).map(|bytes| bytes.try_into().expect("as many bytes as asked for"))
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}
