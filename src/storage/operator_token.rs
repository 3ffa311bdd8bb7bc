//! What proves that somebody may read this node's data directory, and so may do what operators do.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::OpenError;
use super::files;
use crate::ids;

/// The file's name in the data directory.
pub const OPERATOR_TOKEN: &str = "operator-token";

/// Random bytes of a token.
const LEN: usize = 32;
/// Nobody but the owner reads or writes the file.
const MODE: u32 = 0o600;

/// The token of a data directory, and where it is kept. It is another one on each node, and no part of the
/// cluster's state: who has it owns this machine's data anyway.
pub struct OperatorToken {
    /// 43 characters of base64url.
    pub text: String,
    /// The file.
    pub path: PathBuf,
}

impl OperatorToken {
    /// Reads the token, or makes one where there is none. A file that others may read is closed to them,
    /// and one that holds no token (since it was cut short, say) gets a new one.
    ///
    /// # Errors
    /// When the file can be neither read nor written.
    pub fn in_dir(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(OPERATOR_TOKEN);
        let failed = |action, source| OpenError::Io { action, path: path.clone(), source };
        let text = match fs::read(&path) {
            Ok(bytes) => token(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(failed("read", source)),
        };
        let text = match text {
            Some(text) => {
                close(&path).map_err(|source| failed("change the mode of", source))?;
                text
            }
            None => {
                let text = URL_SAFE_NO_PAD.encode(ids::random::<LEN>());
                let line = format!("{text}\n");
                files::replace_private(dir, OPERATOR_TOKEN, line.as_bytes(), MODE)
                    .map_err(|source| failed("write", source))?;
                text
            }
        };
        Ok(Self { text, path })
    }
}

/// The token in a file, if it is one.
fn token(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?.trim();
    (URL_SAFE_NO_PAD.decode(text).ok()?.len() == LEN).then(|| text.to_owned())
}

/// Takes away what others than the owner may do with the file.
fn close(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    log::warn!("{} could be read by other users of this machine: now it cannot", path.display());
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_token_is_made_once_and_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let made = OperatorToken::in_dir(dir.path()).unwrap();
        assert_eq!(made.text.len(), 43);
        assert_eq!(made.path, dir.path().join("operator-token"));
        assert_eq!(mode(&made.path), 0o600);
        assert_eq!(fs::read_to_string(&made.path).unwrap(), format!("{}\n", made.text));
        let again = OperatorToken::in_dir(dir.path()).unwrap();
        assert_eq!(again.text, made.text);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(OperatorToken::in_dir(other.path()).unwrap().text, made.text);
    }

    #[test]
    fn a_file_that_is_open_to_others_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let made = OperatorToken::in_dir(dir.path()).unwrap();
        fs::set_permissions(&made.path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(OperatorToken::in_dir(dir.path()).unwrap().text, made.text);
        assert_eq!(mode(&made.path), 0o600);
    }

    #[test]
    fn what_is_no_token_is_replaced_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(OPERATOR_TOKEN);
        for garbage in [&b""[..], b"\n", b"short", &[0xff; 43], &[b'='; 44]] {
            fs::write(&path, garbage).unwrap();
            let made = OperatorToken::in_dir(dir.path()).unwrap();
            assert_eq!(token(made.text.as_bytes()), Some(made.text));
            assert_eq!(mode(&path), 0o600);
        }
    }
}
