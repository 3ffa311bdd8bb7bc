//! What two nodes say to each other while a state moves.
//!
//! The receiver asks and the source answers; nobody speaks unasked, so a message that was lost is
//! simply asked for again, and one that comes twice, late or out of order says the same as it did
//! when it was sent. No message refers to an earlier one: each names the file and the place.
//!
//! Little-endian, after a kind, [`FORMAT`] and two zeros:
//!
//! | kind | message | fields |
//! |---:|---|---|
//! |  1 | [`Request::Open`]   | at least u64 |
//! |  2 | [`Request::Read`]   | file 16, offset u64 |
//! |  3 | [`Request::Hold`]   | file 16 |
//! |  4 | [`Request::Done`]   | file 16 |
//! | 17 | [`Answer::Offer`]   | file 16, applied u64, size u64 |
//! | 18 | [`Answer::NotYet`]  | |
//! | 19 | [`Answer::Busy`]    | |
//! | 20 | [`Answer::Gone`]    | file 16 |
//! | 21 | [`Answer::Chunk`]   | file 16, offset u64, CRC32C of all before and behind it u32, bytes |
//! | 33 | [`Staging::Stage`]    | file 16, size u64, SHA-256 32, not after u64 |
//! | 34 | [`Staging::Staged`]   | file 16, not after u64 |
//! | 35 | [`Staging::Unstaged`] | file 16, why u8 |
//!
//! The transport's frames have a checksum too; the one of a chunk is taken where the file was read and
//! checked where it is written, so it covers what lies between as well.

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};
use thiserror::Error;

use crate::ids::Id128;
use crate::raft::Index;

/// The only format there is.
pub const FORMAT: u8 = 1;
/// Bytes of a chunk; only the last of a file may be shorter.
pub const CHUNK: usize = 512 << 10;
/// Bytes before a chunk's own.
pub const CHUNK_HEADER: usize = 32;

/// Names one snapshot file of one process for all time.
pub type FileId = Id128;

/// What a receiver asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A state as of this index or later.
    Open {
        /// The index.
        at_least: Index,
    },
    /// The chunk of a file at an offset.
    Read {
        /// The file.
        file: FileId,
        /// Where the chunk begins: a multiple of [`CHUNK`].
        offset: u64,
    },
    /// I have all of the file and am still at it: keep the log that follows. No answer.
    Hold {
        /// The file.
        file: FileId,
    },
    /// I need you no more. No answer.
    Done {
        /// The file.
        file: FileId,
    },
}

/// What a source answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This is the file to read.
    Offer {
        /// The file.
        file: FileId,
        /// The index it is as of.
        applied: Index,
        /// Its length in bytes.
        size: u64,
    },
    /// There is none yet that is new enough, but it will come: ask again in a moment.
    NotYet,
    /// Others are served just now: ask again later.
    Busy,
    /// There is no such file (any more): open anew.
    Gone {
        /// The file that was asked for.
        file: FileId,
    },
    /// A piece of a file, its checksum checked.
    Chunk {
        /// The file.
        file: FileId,
        /// Where the piece belongs.
        offset: u64,
        /// The piece.
        bytes: Bytes,
    },
}

/// A backup that is to be restored, as it goes to the members beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Names this attempt to restore it.
    pub file: FileId,
    /// Its length in bytes.
    pub size: u64,
    /// Of everything in it before its end.
    pub sha256: [u8; 32],
}

/// What is said about a backup on its way; its pieces are asked for and sent like those of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staging {
    /// Hold this, checked and durable; I have it. Said again until it is answered.
    Stage {
        /// What.
        blob: Blob,
        /// Until the clock of the state, in ms, is past this; 0: as long as this is said.
        not_after_ms: u64,
    },
    /// I hold it, and shall for so long.
    Staged {
        /// What.
        file: FileId,
        /// As in the question; a later one when that was promised before.
        not_after_ms: u64,
    },
    /// I do not hold it and shall not.
    Unstaged {
        /// What.
        file: FileId,
        /// Why.
        why: Why,
    },
}

/// Why a member does not hold a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is at another one.
    Busy,
    /// Its disk has no room.
    NoRoom,
    /// What arrived was not what was announced.
    Damaged,
    /// It comes from a program that is newer than this node's.
    Newer,
    /// Something else; this node's log says what.
    Failed,
}

impl Why {
    const ALL: [(u8, Self); 5] = [
        (1, Self::Busy),
        (2, Self::NoRoom),
        (3, Self::Damaged),
        (4, Self::Newer),
        (5, Self::Failed),
    ];

    fn code(self) -> u8 {
        let found = Self::ALL.iter().find(|(_, why)| *why == self);
        found.expect("the table has all").0
    }

    /// One of a later program is some failure.
    fn from_code(code: u8) -> Self {
        let found = Self::ALL.iter().find(|(known, _)| *known == code);
        found.map_or(Self::Failed, |(_, why)| *why)
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Neither a request nor an answer, or of the wrong length.
    #[error("a message about a state that is none")]
    Malformed,
    /// A kind or a format that is unknown here.
    #[error("a message about a state from a newer program")]
    Newer,
    /// A chunk was changed on the way.
    #[error("a piece of a state with a wrong checksum")]
    Checksum,
}

/// Either of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// To a source.
    Request(Request),
    /// To a receiver.
    Answer(Answer),
    /// About a backup.
    Staging(Staging),
}

impl Request {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, parts): (u8, [&[u8]; 2]) = match self {
            Self::Open { at_least } => (1, [&at_least.to_le_bytes(), &[]]),
            Self::Read { file, offset } => (2, [&file.0, &offset.to_le_bytes()]),
            Self::Hold { file } => (3, [&file.0, &[]]),
            Self::Done { file } => (4, [&file.0, &[]]),
        };
        join(kind, &parts)
    }
}

impl Answer {
    /// Its bytes.
    ///
    /// # Panics
    /// When it is a chunk larger than [`CHUNK`].
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Offer { file, applied, size } => {
                join(17, &[&file.0, &applied.to_le_bytes(), &size.to_le_bytes()])
            }
            Self::NotYet => join(18, &[]),
            Self::Busy => join(19, &[]),
            Self::Gone { file } => join(20, &[&file.0]),
            Self::Chunk { file, offset, bytes } => {
                let mut message = vec![0; CHUNK_HEADER];
                message.extend_from_slice(bytes);
                seal_chunk(*file, *offset, message)
            }
        }
    }
}

impl Staging {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Stage { blob: Blob { file, size, sha256 }, not_after_ms } => {
                let not_after = not_after_ms.to_le_bytes();
                join(33, &[&file.0, &size.to_le_bytes(), sha256, &not_after])
            }
            Self::Staged { file, not_after_ms } => {
                join(34, &[&file.0, &not_after_ms.to_le_bytes()])
            }
            Self::Unstaged { file, why } => join(35, &[&file.0, &[why.code()]]),
        }
    }
}

fn join(kind: u8, parts: &[&[u8]]) -> Bytes {
    let mut message = vec![kind, FORMAT, 0, 0];
    parts.iter().for_each(|part| message.extend_from_slice(part));
    message.into()
}

/// Makes the message of a chunk out of [`CHUNK_HEADER`] free bytes and the chunk, so that a piece read
/// from a file need not be copied.
///
/// # Panics
/// When it is shorter than the header, or the chunk larger than [`CHUNK`].
#[must_use]
pub fn seal_chunk(file: FileId, offset: u64, mut message: Vec<u8>) -> Bytes {
    assert!(message.len() <= CHUNK_HEADER + CHUNK, "a chunk of {} bytes", message.len());
    let (header, bytes) = message.split_at_mut(CHUNK_HEADER);
    header[..4].copy_from_slice(&[21, FORMAT, 0, 0]);
    header[4..20].copy_from_slice(&file.0);
    header[20..28].copy_from_slice(&offset.to_le_bytes());
    let crc = crc32c_append(crc32c(&header[..28]), bytes);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    message.into()
}

impl Message {
    /// The message in these bytes. A chunk shares them.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn decode(message: &Bytes) -> Result<Self, MessageError> {
        let Some(([kind, format, 0, 0], fields)) = message.split_first_chunk() else {
            return Err(MessageError::Malformed);
        };
        if *format != FORMAT {
            return Err(MessageError::Newer);
        }
        let mut fields = Fields(fields);
        let decoded = match kind {
            1 => Self::Request(Request::Open { at_least: fields.number()? }),
            2 => Self::Request(Request::Read { file: fields.file()?, offset: fields.number()? }),
            3 => Self::Request(Request::Hold { file: fields.file()? }),
            4 => Self::Request(Request::Done { file: fields.file()? }),
            17 => {
                let file = fields.file()?;
                let (applied, size) = (fields.number()?, fields.number()?);
                Self::Answer(Answer::Offer { file, applied, size })
            }
            18 => Self::Answer(Answer::NotYet),
            19 => Self::Answer(Answer::Busy),
            20 => Self::Answer(Answer::Gone { file: fields.file()? }),
            21 => {
                let (file, offset) = (fields.file()?, fields.number()?);
                let stored = u32::from_le_bytes(fields.take()?);
                let bytes = message.slice(CHUNK_HEADER..);
                if crc32c_append(crc32c(&message[..CHUNK_HEADER - 4]), &bytes) != stored {
                    return Err(MessageError::Checksum);
                }
                return Ok(Self::Answer(Answer::Chunk { file, offset, bytes }));
            }
            33 => {
                let (file, size, sha256) = (fields.file()?, fields.number()?, fields.take()?);
                let (blob, not_after_ms) = (Blob { file, size, sha256 }, fields.number()?);
                Self::Staging(Staging::Stage { blob, not_after_ms })
            }
            34 => {
                let (file, not_after_ms) = (fields.file()?, fields.number()?);
                Self::Staging(Staging::Staged { file, not_after_ms })
            }
            35 => {
                let (file, [code]) = (fields.file()?, fields.take()?);
                Self::Staging(Staging::Unstaged { file, why: Why::from_code(code) })
            }
            _ => return Err(MessageError::Newer),
        };
        if fields.0.is_empty() { Ok(decoded) } else { Err(MessageError::Malformed) }
    }
}

/// Takes fields off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(MessageError::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, MessageError> {
        self.take().map(u64::from_le_bytes)
    }

    fn file(&mut self) -> Result<FileId, MessageError> {
        self.take().map(Id128)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::limits::MAX_BODY;

    fn all() -> Vec<(Bytes, Message)> {
        let file = Id128([7; 16]);
        let requests = [
            Request::Open { at_least: 1 << 40 },
            Request::Read { file, offset: 3 << 33 },
            Request::Hold { file },
            Request::Done { file },
        ];
        let answers = [
            Answer::Offer { file, applied: 99, size: 1 << 35 },
            Answer::NotYet,
            Answer::Busy,
            Answer::Gone { file },
            Answer::Chunk { file, offset: 512 << 10, bytes: Bytes::from_static(b"rows") },
        ];
        let blob = Blob { file, size: 1 << 36, sha256: [9; 32] };
        let staging = [
            Staging::Stage { blob, not_after_ms: 1 << 41 },
            Staging::Staged { file, not_after_ms: 0 },
            Staging::Unstaged { file, why: Why::NoRoom },
        ];
        let staging = staging.map(|it| (it.encode(), Message::Staging(it)));
        let requests = requests.map(|it| (it.encode(), Message::Request(it)));
        let answers = answers.map(|it| (it.encode(), Message::Answer(it)));
        staging.into_iter().chain(requests).chain(answers).collect()
    }

    #[test]
    fn each_survives_its_bytes_and_no_cut_or_longer_one_is_taken_for_it() {
        for (bytes, message) in all() {
            assert_eq!(Message::decode(&bytes), Ok(message.clone()));
            for cut in 0..bytes.len() {
                assert!(Message::decode(&bytes.slice(..cut)).is_err(), "{message:?} cut at {cut}");
            }
            let longer = Bytes::from([&bytes[..], &[0]].concat());
            assert!(Message::decode(&longer).is_err(), "{message:?} and a byte more");
        }
    }

    #[test]
    fn a_changed_bit_anywhere_in_a_chunk_is_noticed() {
        let (bytes, _) = all().pop().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let decoded = Message::decode(&changed.into());
            let taken = matches!(decoded, Ok(Message::Answer(Answer::Chunk { .. })));
            assert!(!taken, "bit {bit}");
        }
    }

    #[test]
    fn every_reason_survives_and_an_unknown_one_is_a_failure() {
        for (code, why) in Why::ALL {
            assert_eq!((why.code(), Why::from_code(code)), (code, why));
        }
        assert_eq!(Why::from_code(200), Why::Failed);
    }

    #[test]
    fn a_whole_chunk_fits_a_frame() {
        let message = seal_chunk(Id128([1; 16]), 0, vec![5; CHUNK_HEADER + CHUNK]);
        assert!(message.len() <= MAX_BODY);
        let chunk = Answer::Chunk { file: Id128([1; 16]), offset: 0, bytes: vec![5; CHUNK].into() };
        assert_eq!(chunk.encode(), message);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes in any::<Vec<u8>>(), kind in 0u8..40) {
            let _ = Message::decode(&bytes.clone().into());
            bytes.splice(..0, [kind, FORMAT, 0, 0]);
            let _ = Message::decode(&bytes.into());
        }
    }
}
