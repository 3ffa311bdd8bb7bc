//! Passwords: hashed and checked at a price that is the point of it, by threads of their own.
//!
//! Guessing must be dear for whoever has stolen the hashes, so each one takes tens of milliseconds of a
//! core and 19 MiB of memory ([`hash`]). On a loop's thread that would hold up thousands of other
//! requests, and on the raft or apply thread all of them. So a few threads do nothing else ([`pool`]), with
//! a short queue in front of them: what does not fit is refused at once, and nothing else suffers.

mod hash;
mod pool;

use std::fmt;
use std::hint::black_box;

pub use hash::{check, hash};
pub use pool::{Answer, Passwords, WAITING_MAX};

/// A password as it was typed: never shown, and wiped out of memory when it is done with, as well as safe
/// code can.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes it over.
    #[must_use]
    pub fn new(password: String) -> Self {
        Self(password.into_bytes())
    }

    /// What was typed, in UTF-8.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Else the compiler may see that nobody reads the zeros.
        black_box(&self.0);
    }
}

/// What is to be done with a password.
#[derive(Clone, Debug)]
pub enum Job {
    /// Hash it, to be kept.
    Hash(Secret),
    /// Tell whether it is the one that was hashed.
    Check {
        /// What was typed.
        password: Secret,
        /// What [`Job::Hash`] once made; none when there is nobody of that name. That takes the same time,
        /// and the answer is no.
        hash: Option<String>,
    },
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The argon2id string, with its own salt.
    Hashed(String),
    /// Whether it is the password.
    Checked(bool),
}

impl Job {
    /// Does it, on this thread, which is busy with it for tens of milliseconds.
    fn run(&self, memory: &mut hash::Memory) -> Done {
        match self {
            Self::Hash(password) => Done::Hashed(memory.hash(password)),
            Self::Check { password, hash } => {
                Done::Checked(memory.check(password, hash.as_deref()))
            }
        }
    }
}
