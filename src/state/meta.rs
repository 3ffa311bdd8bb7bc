//! What the state is besides its rows: where it stands, and what it remembers of writes.
//!
//! Two records, because they are needed at different paces. The [`Summary`] is a few fixed numbers;
//! it goes with every published view. The [`Meta`] is a summary and everything else: it is written
//! when the rows go to disk, in the same step, and with the rows it is the whole state.
//!
//! Both start with the same bytes, so a summary can be read off a meta. Little-endian:
//!
//! | at  | bytes | meaning                                        |
//! |----:|------:|------------------------------------------------|
//! |   0 |     8 | magic `bwlstate`                               |
//! |   8 |     4 | format: 1                                      |
//! |  12 |    16 | cluster id                                     |
//! |  28 |     8 | recovery epoch                                 |
//! |  36 |     8 | applied index                                  |
//! |  44 |     8 | its term                                       |
//! |  52 |     8 | cluster clock in ms                            |
//! |  60 |     8 | revision                                       |
//! |  68 |     8 | number of live links                           |
//! |  76 |    16 | digest of the rows                             |
//! |  92 |    16 | digest of the writes table                     |
//! | 108 |     4 | cluster version                                |
//! | 112 |     4 | CRC32C of all before; a summary ends here      |
//! | 116 |     4 | length of the body                             |
//! | 120 |     4 | CRC32C of the body                             |
//! | 124 |       | body: MessagePack of (configuration's index, configuration, writes, |
//! |     |       | queue of clients' keys, counters of the key-value store,       |
//! |     |       | counters of the board). Old records lack the queue, and all do |
//! |     |       | without counters at the end that are what they were in the     |
//! |     |       | beginning: older programs do not know them                     |

use bytes::Bytes;
use serde::Deserialize;

use super::board;
use super::digest::Digest;
use super::kv::Counters;
use super::once::Queue;
use super::writes::Writes;
use super::{VERSION, table};
use crate::ids::{ClusterId, Id128};

const MAGIC: &[u8; 8] = b"bwlstate";
const FORMAT: u32 = 1;

/// Where the state stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whose state it is.
    pub cluster: ClusterId,
    /// Raised when the cluster was rebuilt from the remains of a majority; 0 in a healthy life.
    pub epoch: u64,
    /// Index of the last entry applied; 0 for none.
    pub applied: u64,
    /// Term of that entry.
    pub term: u64,
    /// Cluster clock as of that entry, in ms. Never goes back.
    pub clock_ms: u64,
    /// Number of commands that changed rows.
    pub revision: u64,
    /// Number of live links.
    pub links: u64,
    /// Digest of all rows.
    pub rows_digest: Digest,
    /// Digest of the exactly-once table.
    pub writes_digest: Digest,
    /// The rules that commands are applied by; raised by an entry only.
    pub cluster_version: u32,
}

/// A state's bytes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// Not a state record at all.
    #[error("this is not the record of a bowline state")]
    Foreign,
    /// A later program wrote it.
    #[error(
        "the state was written in format {0}, this program knows up to {FORMAT}: upgrade this node"
    )]
    Newer(u32),
    /// A later program raised the cluster to its version.
    #[error(
        "the state goes by version {0} of the cluster, which this program does not know: upgrade this node"
    )]
    Version(u32),
    /// It was one once.
    #[error("the record of the state is damaged: {0}")]
    Damaged(&'static str),
}

impl Summary {
    /// Bytes of an encoded summary.
    pub const LEN: usize = 116;

    /// A state before the first entry.
    #[must_use]
    pub fn new(cluster: ClusterId) -> Self {
        Self {
            cluster,
            epoch: 0,
            applied: 0,
            term: 0,
            clock_ms: 0,
            revision: 0,
            links: 0,
            rows_digest: Digest::default(),
            writes_digest: Digest::default(),
            cluster_version: 1,
        }
    }

    /// Digest of rows and writes: the same on every node that has applied the same index.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.rows_digest.plus(self.writes_digest)
    }

    /// The bytes of a summary.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.cluster.0);
        for number in
            [self.epoch, self.applied, self.term, self.clock_ms, self.revision, self.links]
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.rows_digest.0.to_le_bytes());
        bytes.extend_from_slice(&self.writes_digest.0.to_le_bytes());
        bytes.extend_from_slice(&self.cluster_version.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.try_into().expect("the table above adds up")
    }

    /// The summary that a summary is, or that a meta starts with.
    ///
    /// # Errors
    /// When the bytes are foreign, of a newer format, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        if !bytes.starts_with(MAGIC) {
            return Err(MetaError::Foreign);
        }
        let mut fields = Fields(&bytes[MAGIC.len()..]);
        let format = fields.u32()?;
        if format != FORMAT {
            return Err(MetaError::Newer(format));
        }
        let summary = Self {
            cluster: Id128(fields.take()?),
            epoch: fields.u64()?,
            applied: fields.u64()?,
            term: fields.u64()?,
            clock_ms: fields.u64()?,
            revision: fields.u64()?,
            links: fields.u64()?,
            rows_digest: Digest(u128::from_le_bytes(fields.take()?)),
            writes_digest: Digest(u128::from_le_bytes(fields.take()?)),
            cluster_version: fields.u32()?,
        };
        if fields.u32()? != crc32c::crc32c(&bytes[..Self::LEN - 4]) {
            return Err(MetaError::Damaged("checksum of the summary"));
        }
        Ok(summary)
    }
}

/// The state without its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Where it stands.
    pub summary: Summary,
    /// Index of the entry that set the configuration; 0 before the first.
    pub configuration_index: u64,
    /// The configuration as of the applied index, encoded; the state machine never looks inside.
    pub configuration: Bytes,
    /// Which writes were done.
    pub writes: Writes,
    /// Which of them clients put under keys of their own, in the order of first use.
    pub once: Queue,
    /// The numbers of the key-value store.
    pub kv: Counters,
    /// The numbers of the board.
    pub board: board::Counters,
}

/// A meta's body; what is appended has a default, so that old records can be read.
#[derive(Deserialize)]
struct Body {
    configuration_index: u64,
    configuration: Bytes,
    writes: Writes,
    #[serde(default)]
    once: Queue,
    #[serde(default)]
    kv: Counters,
    #[serde(default)]
    board: board::Counters,
}

impl Meta {
    /// Digest of the whole state; see [`State::digest`](super::State::digest).
    #[must_use]
    pub fn digest(&self) -> Digest {
        let (summary, once) = (&self.summary, &self.once);
        let mut scalars = Vec::with_capacity(84 + self.configuration.len());
        for number in [
            summary.applied,
            summary.term,
            summary.clock_ms,
            summary.revision,
            summary.links,
            u64::from(summary.cluster_version),
            once.first,
            once.next,
            once.oldest_ms,
            self.configuration_index,
        ] {
            scalars.extend_from_slice(&number.to_le_bytes());
        }
        scalars.extend_from_slice(&self.configuration);
        let mut digest = summary.digest();
        digest.add(&[table::SCALARS], &scalars);
        // A state without keys has the digest that it had before there were any.
        if self.kv != Counters::default() {
            digest.add(&[table::SCALARS, 1], &self.kv.encode());
        }
        if self.board != board::Counters::default() {
            digest.add(&[table::SCALARS, 2], &self.board.encode());
        }
        digest
    }

    /// The bytes of a meta.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let body = (self.configuration_index, &self.configuration, &self.writes, self.once);
        let body = if self.board != board::Counters::default() {
            rmp_serde::to_vec(&(body.0, body.1, body.2, body.3, self.kv, self.board))
        } else if self.kv != Counters::default() {
            rmp_serde::to_vec(&(body.0, body.1, body.2, body.3, self.kv))
        } else {
            rmp_serde::to_vec(&body)
        };
        let body = body.expect("a Vec takes every plain value");
        let len = u32::try_from(body.len()).expect("waiting writes are bounded");
        let mut bytes = Vec::with_capacity(Summary::LEN + 8 + body.len());
        bytes.extend_from_slice(&self.summary.encode());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes.into()
    }

    /// The meta in these bytes.
    ///
    /// # Errors
    /// When the bytes are foreign, of a newer format, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        let summary = Summary::decode(bytes)?;
        let mut fields = Fields(&bytes[Summary::LEN..]);
        let (len, crc) = (fields.u32()?, fields.u32()?);
        let body = fields.0;
        if u64::from(len) != body.len() as u64 {
            return Err(MetaError::Damaged("length of the body"));
        }
        if crc != crc32c::crc32c(body) {
            return Err(MetaError::Damaged("checksum of the body"));
        }
        let unknown = |_| match summary.cluster_version {
            0..=VERSION => MetaError::Damaged("body"),
            // Newer rules may have put more into it.
            version => MetaError::Version(version),
        };
        let Body { configuration_index, configuration, writes, once, kv, board } =
            rmp_serde::from_slice(body).map_err(unknown)?;
        if writes.digest() != summary.writes_digest {
            return Err(MetaError::Damaged("digest of the writes table"));
        }
        if once.first > once.next {
            return Err(MetaError::Damaged("queue of keys"));
        }
        if !kv.is_sound(summary.revision) {
            return Err(MetaError::Damaged("counters of the key-value store"));
        }
        if !board.is_sound(summary.revision) {
            return Err(MetaError::Damaged("counters of the board"));
        }
        Ok(Self { summary, configuration_index, configuration, writes, once, kv, board })
    }
}

/// Takes numbers off the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MetaError> {
        let (first, rest) =
            self.0.split_first_chunk().ok_or(MetaError::Damaged("it is cut short"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn u32(&mut self) -> Result<u32, MetaError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, MetaError> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::example_meta;
    use super::*;

    #[test]
    fn a_meta_survives_its_bytes_and_starts_with_its_summary() {
        let meta = example_meta();
        let bytes = meta.encode();
        assert_eq!(Meta::decode(&bytes), Ok(meta.clone()));
        assert_eq!(Summary::decode(&bytes), Ok(meta.summary));
        assert_eq!(Summary::decode(&meta.summary.encode()), Ok(meta.summary));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = example_meta().encode();
        for at in 0..bytes.len() {
            assert!(Meta::decode(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                assert!(Meta::decode(&flipped).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn numbers_that_cannot_be_are_damage() {
        let with = |change: fn(&mut Counters)| {
            let mut meta = example_meta();
            change(&mut meta.kv);
            Meta::decode(&meta.encode()).map(|decoded| assert_eq!(decoded, meta))
        };
        assert_eq!(with(|kv| kv.last = 2), Ok(()));
        assert_eq!(with(|kv| (kv.next_mark, kv.keep_marks_from) = (2, 1)), Ok(()));
        let damaged = Err(MetaError::Damaged("counters of the key-value store"));
        let wrong: [fn(&mut Counters); 6] = [
            |kv| kv.last = 3,
            |kv| kv.sessions = 3,
            |kv| kv.restored = 3,
            |kv| kv.reaped = 3,
            |kv| kv.keep_marks_from = 1,
            |kv| (kv.next_mark, kv.keep_marks_from, kv.oldest_mark) = (2, 1, 2),
        ];
        for change in wrong {
            assert_eq!(with(change), damaged);
        }
    }

    #[test]
    fn foreign_and_newer_bytes_are_told_apart() {
        assert_eq!(Summary::decode(b"something else"), Err(MetaError::Foreign));
        let mut newer = example_meta().encode().to_vec();
        newer[8] = 2;
        assert_eq!(Meta::decode(&newer), Err(MetaError::Newer(2)));
    }

    /// What a program says that does not know what is in the body: not that it is damaged.
    #[test]
    fn a_body_with_more_in_it_is_of_newer_rules() {
        let with_more = |cluster_version| {
            let meta = example_meta();
            let summary = Summary { cluster_version, ..meta.summary };
            let body = (0, Bytes::new(), meta.writes, meta.once, meta.kv, meta.board, 7);
            let body = rmp_serde::to_vec(&body).unwrap();
            let (len, crc) = (body.len() as u32, crc32c::crc32c(&body));
            let bytes = [&summary.encode()[..], &len.to_le_bytes(), &crc.to_le_bytes(), &body];
            Meta::decode(&bytes.concat()).unwrap_err()
        };
        assert_eq!(with_more(VERSION + 1), MetaError::Version(VERSION + 1));
        assert_eq!(with_more(VERSION), MetaError::Damaged("body"));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = Meta::decode(&bytes);
            let _ = Meta::decode(&[&MAGIC[..], &FORMAT.to_le_bytes(), &bytes].concat());
        }
    }
}
