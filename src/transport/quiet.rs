//! Quiet: strangers must not be able to fill the log.

use std::collections::BTreeMap;
use std::time::Instant;

use super::limits::QUIET;

/// Keys remembered at one time; when so many spoke lately, further ones are not logged at all.
const MAX_KEYS: usize = 1024;

/// Lets each key speak once in [`QUIET`].
#[derive(Debug)]
pub(super) struct Quiet<K>(BTreeMap<K, Instant>);

impl<K: Ord> Quiet<K> {
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether `key` may speak now.
    pub fn may_speak(&mut self, key: K, now: Instant) -> bool {
        if self.0.len() >= MAX_KEYS {
            self.0.retain(|_, last| now - *last < QUIET);
        }
        match self.0.get(&key) {
            Some(last) if now - *last < QUIET => false,
            None if self.0.len() >= MAX_KEYS => false,
            _ => {
                self.0.insert(key, now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_speaks_once_in_a_while_and_their_number_is_bounded() {
        let (start, mut quiet) = (Instant::now(), Quiet::new());
        assert!(quiet.may_speak(0, start));
        assert!(!quiet.may_speak(0, start + QUIET / 2));
        assert!(quiet.may_speak(0, start + QUIET));
        for key in 1..MAX_KEYS {
            assert!(quiet.may_speak(key, start + QUIET));
        }
        assert!(!quiet.may_speak(MAX_KEYS, start + QUIET));
        assert!(quiet.may_speak(MAX_KEYS, start + QUIET * 2));
    }
}
