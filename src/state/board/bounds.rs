//! What an act may say at all.
//!
//! How long a title or a comment may be is decided where a person's form comes in. Here is only what no
//! node could or would want to apply, far above all that: such an act is no command, the node that is
//! handed it refuses it, and it is in nobody's log.

use super::read::NAME_BYTES_EVER;
use super::{Act, Attempt};

/// Bytes of the longest text.
const TEXT_BYTES_EVER: usize = 64 << 10;
/// Bytes of the longest address.
const ADDRESS_BYTES_EVER: usize = 16;

impl Act {
    /// Whether it is within bounds; says what is not.
    pub(in crate::state) fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Attempt { what, address } => {
                check_address(address)?;
                match what {
                    Attempt::LogIn(name) => texts(&[name]),
                    Attempt::SignUp => Ok(()),
                }
            }
            Self::SignUp { name, password, login: _, replaces: _ } => {
                if name.is_empty() || name.len() > NAME_BYTES_EVER {
                    return Err("a name's length");
                }
                texts(&[password])
            }
            Self::LogIn { user: _, password, login: _, replaces: _, address } => {
                check_address(address)?;
                texts(&[password])
            }
            Self::LogOut { login: _ } | Self::LogOutEverywhere { login: _ } => Ok(()),
            Self::ChangePassword { login: _, old, new } => texts(&[old, new]),
            Self::Post { login: _, title, url, normal, host } => {
                if url.len().max(normal.len()) > TEXT_BYTES_EVER {
                    return Err("a URL's length");
                }
                texts(&[title, host])
            }
            Self::Retitle { login: _, post, title } => texts(&[post, title]),
            Self::Delete { login: _, post } | Self::Like { login: _, post, on: _ } => {
                texts(&[post])
            }
            Self::Comment { login: _, post, parent: _, text } => texts(&[post, text]),
            Self::RemoveComment { login: _, post, comment: _, reason }
            | Self::Hide { login: _, post, hidden: _, reason } => texts(&[post, reason]),
            Self::Disable { login: _, name, disabled: _, reason } => texts(&[name, reason]),
            Self::Appoint { by: _, name, moderator: _ } => texts(&[name]),
        }
    }
}

fn check_address(address: &[u8]) -> Result<(), &'static str> {
    if address.len() > ADDRESS_BYTES_EVER { Err("an address's length") } else { Ok(()) }
}

fn texts(texts: &[&String]) -> Result<(), &'static str> {
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    if longest > TEXT_BYTES_EVER { Err("a text's length") } else { Ok(()) }
}
