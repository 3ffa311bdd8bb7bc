//! Frames: how a message is cut out of a byte stream.
//!
//! A header of twelve little-endian bytes, then the body, whose meaning is none of our business:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | [`MAGIC`] |
//! | 1 | [`FORMAT`] |
//! | 2 | service: which part of the receiver the body is for |
//! | 3 | flags, none defined: must be 0 |
//! | 4..8 | length of the body |
//! | 8..12 | CRC32C over bytes 0..8 and the body |
//!
//! TCP's own checksum is weak and the machines are not to be trusted blindly, so every frame has its
//! own. Whatever does not fit ends the connection: after garbage there is no telling where the next
//! frame starts. Pure: no I/O here.

use bytes::Bytes;
use thiserror::Error;

/// First byte of every frame.
pub const MAGIC: u8 = 0xb0;
/// The only format there is.
pub const FORMAT: u8 = 1;
/// Bytes before the body.
pub const HEADER_LEN: usize = 12;

/// What makes a byte stream no stream of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The header does not start as one.
    #[error("no frame header")]
    Header,
    /// The body would be larger than this connection may send.
    #[error("a frame of {0} bytes is larger than allowed")]
    TooLong(usize),
    /// Bytes were changed on the way.
    #[error("the checksum of a frame is wrong")]
    Checksum,
}

/// One message as it stands on the wire, without its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of the service it is for; may be one we do not know.
    pub service: u8,
    /// The message.
    pub body: Bytes,
}

/// The header that goes before `body`.
///
/// # Panics
///
/// When the body has 4 GiB or more; callers check it against a far smaller limit.
#[must_use]
pub fn header(service: u8, body: &[u8]) -> [u8; HEADER_LEN] {
    let length = u32::try_from(body.len()).expect("callers bound the body far below 4 GiB");
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&[MAGIC, FORMAT, service, 0]);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&header, body);
    header[8..].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn checksum(header: &[u8; HEADER_LEN], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..8]), body)
}

/// Cuts a stream, given in pieces of any size, into frames.
///
/// It keeps at most one unfinished frame; a frame that lies whole within a piece is copied out of it
/// directly. After an error it must not be fed again.
#[derive(Debug)]
pub struct Decoder {
    max_body: usize,
    /// Header and body so far of the frame that the last piece ended in.
    partial: Vec<u8>,
}

impl Decoder {
    /// A decoder that refuses bodies of more than `max_body` bytes.
    #[must_use]
    pub fn new(max_body: usize) -> Self {
        Self { max_body, partial: Vec::new() }
    }

    /// Takes the next piece and hands each frame completed by it to `take`, in order.
    ///
    /// # Errors
    ///
    /// When the stream is not one of frames; those before the damage were handed over.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        mut take: impl FnMut(Frame),
    ) -> Result<(), FrameError> {
        while !piece.is_empty() {
            if self.partial.is_empty()
                && let Some(length) = self.frame_len(piece)?
                && length <= piece.len()
            {
                let (whole, rest) = piece.split_at(length);
                take(open(Bytes::copy_from_slice(whole))?);
                piece = rest;
                continue;
            }
            piece = self.keep(piece)?;
            if self.frame_len(&self.partial)? == Some(self.partial.len()) {
                take(open(Bytes::from(std::mem::take(&mut self.partial)))?);
            }
        }
        Ok(())
    }

    /// Moves what belongs to the unfinished frame out of `piece`; gives the rest.
    fn keep<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let missing = match self.frame_len(&self.partial)? {
            Some(length) => {
                self.partial.reserve_exact(length - self.partial.len());
                length - self.partial.len()
            }
            None => HEADER_LEN - self.partial.len(),
        };
        let (ours, rest) = piece.split_at(missing.min(piece.len()));
        self.partial.extend_from_slice(ours);
        Ok(rest)
    }

    /// Length of the frame that starts at `bytes`, header included; none while it is unknown.
    /// Complains at the first wrong byte, so that garbage is not waited for.
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let fixed = [(0, MAGIC), (1, FORMAT), (3, 0)];
        if fixed.iter().any(|(at, value)| bytes.get(*at).is_some_and(|byte| byte != value)) {
            return Err(FrameError::Header);
        }
        if bytes.len() < HEADER_LEN {
            return Ok(None);
        }
        let length = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
        let length = usize::try_from(length).expect("a u32 fits a usize here");
        if length > self.max_body {
            return Err(FrameError::TooLong(length));
        }
        Ok(Some(HEADER_LEN + length))
    }
}

/// Checks a whole frame and takes its header off.
fn open(mut whole: Bytes) -> Result<Frame, FrameError> {
    let header: [u8; HEADER_LEN] =
        whole[..HEADER_LEN].try_into().expect("a whole frame has a header");
    let body = whole.split_off(HEADER_LEN);
    let stored = u32::from_le_bytes(header[8..].try_into().expect("four bytes"));
    if checksum(&header, &body) != stored {
        return Err(FrameError::Checksum);
    }
    Ok(Frame { service: header[2], body })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Frames = Vec<(u8, Vec<u8>)>;

    fn encode(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
        frames
            .iter()
            .flat_map(|(service, body)| [header(*service, body).to_vec(), body.clone()].concat())
            .collect()
    }

    fn decode(max_body: usize, pieces: &[&[u8]]) -> (Frames, Result<(), FrameError>) {
        let mut decoder = Decoder::new(max_body);
        let mut frames = Vec::new();
        for piece in pieces {
            let fed = decoder.feed(piece, |frame| frames.push((frame.service, frame.body.into())));
            if fed.is_err() {
                return (frames, fed);
            }
        }
        (frames, Ok(()))
    }

    proptest! {
        #[test]
        fn any_split_yields_the_same_frames(
            frames in vec((any::<u8>(), vec(any::<u8>(), 0..300)), 0..12),
            cuts in vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let bytes = encode(&frames);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(decode(300, &pieces), (frames, Ok(())));
        }

        #[test]
        fn random_bytes_are_no_frames(bytes in vec(any::<u8>(), 0..400), at in 0usize..400) {
            let (head, tail) = bytes.split_at(at.min(bytes.len()));
            let (frames, _) = decode(1 << 20, &[head, tail]);
            prop_assert!(frames.is_empty(), "a random checksum cannot fit");
        }

        #[test]
        fn one_changed_bit_is_noticed(body in vec(any::<u8>(), 1..200), bit in any::<prop::sample::Index>()) {
            let mut bytes = encode(&[(1, body)]);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            // A length that grew is noticed as a frame that never ends, or as one that is too long.
            prop_assert!(decode(1 << 20, &[&bytes]).0.is_empty());
        }
    }

    #[test]
    fn a_body_above_the_limit_is_refused_by_its_header_alone() {
        let bytes = header(1, &[0; 101]);
        assert_eq!(decode(100, &[&bytes]).1, Err(FrameError::TooLong(101)));
        assert_eq!(decode(101, &[&bytes]).1, Ok(()));
    }

    #[test]
    fn garbage_is_refused_at_its_first_byte() {
        assert_eq!(decode(100, &[b"G"]).1, Err(FrameError::Header));
    }

    #[test]
    fn an_unfinished_frame_takes_no_more_memory_than_it_says() {
        let mut decoder = Decoder::new(1 << 20);
        let bytes = encode(&[(1, vec![7; 1000])]);
        for byte in &bytes[..1000] {
            decoder.feed(&[*byte], |_| panic!("it is not complete")).unwrap();
        }
        assert!(decoder.partial.capacity() <= 1012 + HEADER_LEN);
    }
}
