//! A backup: the whole state as of one view, as bytes that are made while they are taken.
//!
//! What comes out is a snapshot as nodes exchange them, packed with gzip. It has all rows, and a meta
//! without what belongs to the cluster and not to its data: no members, no writes under way. Nothing is
//! written to a disk, and memory holds a few chunks; the view keeps the rows as they were.

use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::ids::Id128;
use crate::snapshot::blob;
use crate::state::{Meta, Standing};
use crate::storage::snapshot::{SnapshotEncoder, SnapshotHeader, SnapshotReader};
use crate::storage::{Rows, StoreError, View};

/// Rows that are read for one piece at most, however small they are.
const ROWS_MAX: usize = 1_000;

/// A backup in the making.
pub struct Backup {
    view: View,
    /// None when all rows were taken.
    encoder: Option<SnapshotEncoder>,
    /// None when all was given.
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// The first row that was not read yet.
    next: Vec<u8>,
}

impl Backup {
    /// Begins one of a view.
    ///
    /// # Errors
    /// When the view does not say what it is: there is nothing in it yet.
    pub fn of(view: View) -> Result<Self, String> {
        let standing = Standing::decode(view.meta()).map_err(|error| error.to_string())?;
        let summary = standing.summary;
        let header = SnapshotHeader {
            cluster: summary.cluster,
            epoch: u32::try_from(summary.epoch).unwrap_or(u32::MAX),
            file: Id128::random(),
            applied: view.applied(),
            meta: Meta::of_backup(standing).encode(),
        };
        Ok(Self {
            view,
            encoder: Some(SnapshotEncoder::new(&header)),
            gzip: Some(GzEncoder::new(Vec::new(), Compression::fast())),
            next: Vec::new(),
        })
    }

    /// The next bytes, made of some 64 KiB of rows; they may be none. None at the end.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub fn piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(gzip) = &mut self.gzip else { return Ok(None) };
        let memory = "memory takes what it is given";
        let Some(encoder) = &mut self.encoder else {
            let gzip = self.gzip.take().expect("it was just there");
            return Ok(Some(gzip.finish().expect(memory).into()));
        };
        let (mut rows, mut last) = (0, None);
        let begun = encoder.bytes();
        self.view.scan(&self.next, None, &mut |key, value| {
            encoder.row(key, value);
            rows += 1;
            let enough = rows >= ROWS_MAX || encoder.bytes() > begun;
            if enough {
                last = Some(key.to_vec());
            }
            !enough
        })?;
        gzip.write_all(&encoder.take()).expect(memory);
        match last {
            Some(mut key) => {
                // The least key behind it.
                key.push(0);
                self.next = key;
            }
            None => {
                let encoder = self.encoder.take().expect("it was just there");
                gzip.write_all(&encoder.finish().0).expect(memory);
            }
        }
        Ok(Some(std::mem::take(gzip.get_mut()).into()))
    }
}

/// What a backup is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// The cluster it was made of, in hex.
    pub cluster: String,
    /// Index of the last entry in it.
    pub applied: u64,
    /// The revision.
    pub revision: u64,
    /// The rules it goes by.
    pub cluster_version: u32,
    /// Number of live links.
    pub links: u64,
    /// Number of rows of all kinds.
    pub rows: u64,
    /// Bytes when unpacked.
    pub bytes: u64,
    /// SHA-256 of what is packed in it, but for its end, in hex.
    pub sha256: String,
}

/// Reads a whole backup, by the same rules as a node that is to restore it. `name` is for messages.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn verify_backup(input: impl Read, name: &Path) -> Result<BackupInfo, String> {
    let unpacked = io::BufReader::with_capacity(64 << 10, MultiGzDecoder::new(input));
    let reader = SnapshotReader::over(unpacked, name).map_err(|error| error.to_string())?;
    let applied = reader.header().applied;
    let checked = blob::verify(reader).map_err(|error| {
        let what = error.what_is_wrong().unwrap_or_else(|| error.to_string());
        format!("{}: {what}", name.display())
    })?;
    let summary = checked.meta.summary;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(BackupInfo {
        cluster: summary.cluster.to_string(),
        applied,
        revision: summary.revision,
        cluster_version: summary.cluster_version,
        links: summary.links,
        rows: checked.rows,
        bytes: checked.blob.size,
        sha256: hex(&checked.blob.sha256),
    })
}
