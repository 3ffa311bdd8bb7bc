//! argon2id (RFC 9106), with one set of parameters for all nodes.
//!
//! A hash says itself how it was made, so passwords from before a change of parameters still count.

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

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

/// How much more than our own a hash may cost to be checked. A backup from elsewhere may hold any.
const DEARER_MAX: u32 = 8;

/// Stands for the hash of whoever is not there: made of a password that nobody has.
static NOBODY: LazyLock<String> = LazyLock::new(|| salted(&ids::random::<32>()));

/// Hashes a password, under a salt of its own.
#[must_use]
pub fn hash(password: &Secret) -> String {
    salted(password.bytes())
}

/// Whether this password was hashed so. Without a hash, or with one that is none, it takes as long to
/// find out that it was not.
#[must_use]
pub fn check(password: &Secret, hash: Option<&str>) -> bool {
    let parsed = hash.map(|hash| parse(hash).ok_or(hash));
    if let Some(Err(_)) = parsed {
        log::error!(
            "a password's hash in the state is no argon2id string: nobody can log in by it"
        );
    }
    match parsed {
        Some(Ok(hash)) => matches(password, &hash),
        Some(Err(_)) | None => {
            let nobody = parse(&NOBODY).expect("it was made here");
            // Nobody knows that password, but an answer must not hang on luck.
            let _ = matches(password, &nobody);
            false
        }
    }
}

/// Makes what the first check of nobody's password would else wait for.
pub(super) fn prepare() {
    LazyLock::force(&NOBODY);
}

fn salted(password: &[u8]) -> String {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("they are within bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2
        .hash_password_with_salt(password, &ids::random::<SALT_LEN>())
        .expect("password and salt have lengths that argon2 takes");
    hash.to_string()
}

/// A hash that can be checked at a bearable price.
fn parse(text: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let bearable = params.m_cost() <= DEARER_MAX * MEMORY_KIB
        && params.t_cost() <= DEARER_MAX * PASSES
        && params.p_cost() <= DEARER_MAX * LANES;
    let complete = hash.salt.is_some() && hash.hash.is_some();
    (bearable && complete && hash.algorithm == argon2::ARGON2ID_IDENT).then_some(hash)
}

/// Compares in constant time, as the crate promises.
fn matches(password: &Secret, hash: &PasswordHash) -> bool {
    Argon2::default().verify_password(password.bytes(), hash).is_ok()
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
            assert!(parse(stored).is_none(), "{stored}");
            assert!(!check(&secret("password"), Some(stored)), "{stored}");
        }
        assert!(!check(&secret("password"), None));
    }

    #[test]
    fn nobody_costs_what_anybody_costs() {
        let (nobody, anybody) = (parse(&NOBODY).unwrap(), hash(&secret("password")));
        let anybody = parse(&anybody).unwrap();
        assert_eq!(nobody.params, anybody.params);
        assert_eq!(nobody.version, anybody.version);
    }
}
