//! The chunked transfer coding (RFC 9112, 7.1), decoded as it arrives.
//!
//! Extensions are read over and trailers dropped, both within bounds. `httparse` has a parser for
//! the size line too, but it takes an empty one for zero, which would end the body.

use super::{WireError, is_token, line_end};

/// Bytes of a size line with its extensions.
const SIZE_LINE_MAX: usize = 256;
/// Bytes of all trailer lines together.
const TRAILERS_MAX: usize = 4 * 1024;

/// Where in a chunked body we are.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    part: Part,
    /// How far the line in front of us was already searched for its end.
    scanned: usize,
    /// Bytes of trailers dropped so far.
    trailers: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    Size,
    Data(usize),
    DataEnd,
    Trailers,
}

/// What came of a piece of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes used up.
    pub used: usize,
    /// Whether the body is complete.
    pub done: bool,
}

impl Chunked {
    /// Decodes what `bytes` hold into `body`, which may grow to `body_max`.
    ///
    /// Bytes that are not used up must be handed in again, with more behind them.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        body: &mut Vec<u8>,
        body_max: usize,
    ) -> Result<Progress, WireError> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match self.part {
                Part::Size => {
                    let Some(line) = self.line(rest, SIZE_LINE_MAX)? else { break };
                    used += line.len() + 2;
                    self.part = match chunk_size(line)? {
                        0 => Part::Trailers,
                        size if size > body_max - body.len() => {
                            return Err(WireError::BodyTooLarge(body_max));
                        }
                        size => Part::Data(size),
                    };
                }
                Part::Data(left) => {
                    let take = left.min(rest.len());
                    body.extend_from_slice(&rest[..take]);
                    used += take;
                    if take < left {
                        self.part = Part::Data(left - take);
                        break;
                    }
                    self.part = Part::DataEnd;
                }
                Part::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        self.part = Part::Size;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err(WireError::Chunk),
                },
                Part::Trailers => {
                    let Some(line) = self.line(rest, TRAILERS_MAX - self.trailers)? else { break };
                    let length = line.len() + 2;
                    used += length;
                    if line.is_empty() {
                        return Ok(Progress { used, done: true });
                    }
                    check_trailer(line)?;
                    self.trailers += length;
                }
            }
        }
        Ok(Progress { used, done: false })
    }

    /// The line in front of us without its end, when it is complete.
    fn line<'a>(&mut self, rest: &'a [u8], max: usize) -> Result<Option<&'a [u8]>, WireError> {
        let within = &rest[..rest.len().min(max)];
        if let Some(end) = line_end(within, &mut self.scanned)? {
            self.scanned = 0;
            return Ok(Some(&rest[..end - 2]));
        }
        if within.len() == max { Err(WireError::Chunk) } else { Ok(None) }
    }
}

/// The size of a chunk: hexadecimal digits, then at most extensions.
fn chunk_size(line: &[u8]) -> Result<usize, WireError> {
    let length = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(length);
    if digits.is_empty() || digits.len() > 16 {
        return Err(WireError::Chunk);
    }
    let extension = rest.trim_ascii_start();
    let control = extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    if control || !(rest.is_empty() || extension.starts_with(b";")) {
        return Err(WireError::Chunk);
    }
    let size = digits.iter().fold(0_u64, |sum, digit| {
        let value = char::from(*digit).to_digit(16).expect("only hexadecimal digits were taken");
        sum << 4 | u64::from(value)
    });
    usize::try_from(size).map_err(|_| WireError::Chunk)
}

/// A trailer is dropped, but must look like one: else something else is being slipped in.
fn check_trailer(line: &[u8]) -> Result<(), WireError> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(WireError::Chunk)?;
    let (name, value) = line.split_at(colon);
    let fine = !name.is_empty()
        && name.iter().all(|byte| is_token(*byte))
        && value.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
    if fine { Ok(()) } else { Err(WireError::Chunk) }
}
