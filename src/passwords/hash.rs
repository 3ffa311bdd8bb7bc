//! argon2id (RFC 9106), with one set of parameters for all nodes.
//!
//! A hash says itself how it was made, so passwords from before a change of parameters still count.

use std::sync::LazyLock;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;

use super::Secret;
use crate::ids;

/// KiB of memory that a hash takes. These three are what OWASP's advice on storing passwords calls enough;
/// a core does some dozens of them a second.
const MEMORY_KIB: u32 = 19_456;
/// How often that memory is gone through.
const PASSES: u32 = 2;
/// Parts of it that could be worked on at once.
const LANES: u32 = 1;
/// Bytes of the salt.
const SALT_LEN: usize = 16;

/// Bytes of what comes out.
const OUTPUT_LEN: usize = Params::DEFAULT_OUTPUT_LEN;

/// How much more than our own a hash may cost to be checked. A backup from elsewhere may hold any.
const DEARER_MAX: u32 = 8;

/// Stands for the hash of whoever is not there: made of a password that nobody has.
static NOBODY: LazyLock<String> = LazyLock::new(|| Memory::default().salted(&ids::random::<32>()));

/// Hashes a password, under a salt of its own.
#[must_use]
pub fn hash(password: &Secret) -> String {
    Memory::default().hash(password)
}

/// Whether this password was hashed so. Without a hash, or with one that is none, it takes as long to
/// find out that it was not.
#[must_use]
pub fn check(password: &Secret, hash: Option<&str>) -> bool {
    Memory::default().check(password, hash)
}

/// Makes what the first check of nobody's password would else wait for.
pub(super) fn prepare() {
    LazyLock::force(&NOBODY);
}

/// The memory that hashes are made in. Whoever makes many keeps it: to ask for that much each time, and
/// give it back, has an allocator end up with a multiple.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// See [`hash`].
    pub fn hash(&mut self, password: &Secret) -> String {
        self.salted(password.bytes())
    }

    /// See [`check`].
    pub fn check(&mut self, password: &Secret, hash: Option<&str>) -> bool {
        let known = hash.map(|hash| Known::parse(hash).ok_or(hash));
        if let Some(Err(_)) = known {
            log::error!(
                "a password's hash in the state is no argon2id string: nobody can log in by it"
            );
        }
        match known {
            Some(Ok(known)) => self.matches(password, &known),
            Some(Err(_)) | None => {
                let nobody = Known::parse(&NOBODY).expect("it was made here");
                // Nobody knows that password, but an answer must not hang on luck.
                let _ = self.matches(password, &nobody);
                false
            }
        }
    }

    fn salted(&mut self, password: &[u8]) -> String {
        let params =
            Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT_LEN)).expect("they are in bounds");
        let (salt, mut out) = (ids::random::<SALT_LEN>(), [0; OUTPUT_LEN]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        self.fill(&argon2, password, &salt, &mut out)
            .expect("password and salt have lengths that argon2 takes");
        let hash = PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).expect("they can be written"),
            salt: Some(Salt::new(&salt).expect("it has a length that salts have")),
            hash: Some(Output::new(&out).expect("it has a length that hashes have")),
        };
        hash.to_string()
    }

    /// Compares in constant time.
    fn matches(&mut self, password: &Secret, known: &Known) -> bool {
        let mut out = vec![0; known.out.len()];
        let filled = self.fill(&known.argon2, password.bytes(), &known.salt, &mut out);
        filled.is_ok() && bool::from(out.ct_eq(known.out.as_bytes()))
    }

    fn fill(
        &mut self,
        argon2: &Argon2<'_>,
        password: &[u8],
        salt: &[u8],
        out: &mut [u8],
    ) -> argon2::Result<()> {
        let blocks = argon2.params().block_count();
        let own = usize::try_from(MEMORY_KIB).unwrap_or(usize::MAX);
        if self.0.len() < blocks {
            self.0.resize(blocks, Block::new());
        }
        let filled =
            argon2.hash_password_into_with_memory(password, salt, out, &mut self.0[..blocks]);
        if self.0.len() > own {
            // A dearer hash from elsewhere, which is not met every day.
            self.0.truncate(own);
            self.0.shrink_to_fit();
        }
        filled
    }
}

/// A hash that can be checked, at a bearable price.
struct Known {
    argon2: Argon2<'static>,
    salt: Salt,
    out: Output,
}

impl Known {
    fn parse(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let bearable = params.m_cost() <= DEARER_MAX * MEMORY_KIB
            && params.t_cost() <= DEARER_MAX * PASSES
            && params.p_cost() <= DEARER_MAX * LANES;
        if !bearable || hash.algorithm != argon2::ARGON2ID_IDENT {
            return None;
        }
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
        Some(Self { argon2, salt: hash.salt?, out: hash.hash? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_password_matches_its_own_hash_alone() {
        let stored = hash(&secret("correct horse 🐎"));
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(check(&secret("correct horse 🐎"), Some(&stored)));
        assert!(!check(&secret("correct horse"), Some(&stored)));
        assert!(!check(&secret(""), Some(&stored)));
        assert_ne!(hash(&secret("correct horse 🐎")), stored, "the salt is another one each time");
    }

    #[test]
    fn the_hash_of_another_implementation_counts() {
        // Of `argon2 somesalt -id -v 13 -t 2 -k 256 -p 1 -e` over "password" (test vectors of the
        // reference implementation).
        let stored = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$\
                      nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(check(&secret("password"), Some(stored)));
        assert!(!check(&secret("passwort"), Some(stored)));
    }

    #[test]
    fn what_is_no_bearable_hash_matches_nothing() {
        let good = hash(&secret("password"));
        let dear = good.replace("m=19456", "m=4000000000");
        let long = good.replace("t=2", "t=4000000");
        let other = good.replace("$argon2id$", "$argon2d$");
        let cut = good.rsplit_once('$').unwrap().0;
        for stored in ["", "password", "$argon2id$", &dear, &long, &other, cut] {
            assert!(Known::parse(stored).is_none(), "{stored}");
            assert!(!check(&secret("password"), Some(stored)), "{stored}");
        }
        assert!(!check(&secret("password"), None));
    }

    #[test]
    fn nobody_costs_what_anybody_costs() {
        // All but salt and output stands before them.
        let cost = |hash: &str| hash.rsplitn(3, '$').nth(2).unwrap().to_owned();
        assert_eq!(cost(&NOBODY), cost(&hash(&secret("password"))));
    }

    #[test]
    fn memory_is_kept_and_what_was_in_it_does_not_matter() {
        let mut memory = Memory::default();
        let stored = memory.hash(&secret("password"));
        let kept = memory.0.as_ptr();
        assert!(memory.check(&secret("password"), Some(&stored)));
        assert!(!memory.check(&secret("Password"), Some(&stored)));
        assert_eq!(memory.0.as_ptr(), kept);
        // One that was made with twice the memory.
        let params = Params::new(2 * MEMORY_KIB, 1, 1, Some(OUTPUT_LEN)).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut out = [0; OUTPUT_LEN];
        argon2.hash_password_into(b"password", b"somesalt", &mut out).unwrap();
        let out = Output::new(&out).unwrap();
        let dear = format!("$argon2id$v=19$m={},t=1,p=1$c29tZXNhbHQ${out}", 2 * MEMORY_KIB);
        assert!(memory.check(&secret("password"), Some(&dear)));
        assert_eq!(memory.0.len(), usize::try_from(MEMORY_KIB).unwrap());
        assert!(memory.check(&secret("password"), Some(&stored)));
    }
}
