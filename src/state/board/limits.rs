//! What may be done only so often.
//!
//! Each limit lets so many things be done at once, and gives one back every so many ms. One number says
//! how far it is used up: the time when all of it will have come back. Something that is done moves that
//! time on by what it takes to give one back, and is refused if that would be further off than all of it
//! takes. When the time has come the row says nothing any more, and goes with the next minute: in whole
//! minutes, so that what people do all the time does not have an entry end something all the time.
//!
//! All goes by the state's clock and stands in the log, so it does not matter which node is asked.
//!
//! Logging in under a name is limited per address, so that a stranger elsewhere cannot use up what its
//! owner has; and more widely over all addresses, so that many together cannot guess as fast as they are
//! many. The latter comes back as fast as one address may attempt anything: nobody can use up a name from
//! one address.

use bytes::Bytes;

use super::clerk::{Clerk, Done};
use super::{Attempt, Refusal, Told, rows};
use crate::state::deadlines::Mortal;
use crate::storage::{Rows, StoreError, Table};

/// What is limited. The number is in row keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Attempts to log in under one name, over all addresses.
    LogInName = 1,
    /// Attempts to log in from one address.
    LogInAddress = 2,
    /// Attempts to sign up from one address.
    SignUpAddress = 3,
    /// Posts of one user.
    Posts = 4,
    /// Comments of one user.
    Comments = 5,
    /// Likes of one user, given and taken back.
    Likes = 6,
    /// Attempts to log in under one name from one address.
    LogInPair = 7,
}

impl Limit {
    /// How many at once, and ms until one more. Protocol: the same on every node.
    pub(super) const fn rate(self) -> (u64, u64) {
        match self {
            Self::LogInPair => (10, 60_000),
            Self::LogInName => (100, 10_000),
            Self::LogInAddress => (30, 10_000),
            Self::SignUpAddress => (5, 600_000),
            Self::Posts => (10, 300_000),
            Self::Comments => (20, 30_000),
            Self::Likes => (120, 1_000),
        }
    }

    /// When all will have come back after one more; or for how long, in ms, there is none.
    fn take(self, full_ms: u64, now_ms: u64) -> Result<u64, u64> {
        let (burst, pace_ms) = self.rate();
        let full_ms = full_ms.max(now_ms).saturating_add(pace_ms);
        let latest_ms = now_ms.saturating_add(burst * pace_ms);
        if full_ms <= latest_ms { Ok(full_ms) } else { Err(full_ms - latest_ms) }
    }

    /// How the limit of one name, address, user, or name and address is called.
    pub(super) fn of(self, whose: &[u8]) -> Vec<u8> {
        [&[self as u8], whose].concat()
    }
}

/// The limits of whoever logs in under this name from there: what a right password gives back.
fn of_name(name: &str, address: &[u8]) -> [(Limit, Vec<u8>); 2] {
    let name = rows::hash_of_name(name);
    [(Limit::LogInPair, [&name, address].concat()), (Limit::LogInName, name.to_vec())]
}

/// The limits of an attempt, each with whose it is.
fn of_attempt(what: &Attempt, address: &[u8]) -> Vec<(Limit, Vec<u8>)> {
    match what {
        Attempt::LogIn(name) => {
            let mut limits = of_name(name, address).to_vec();
            limits.push((Limit::LogInAddress, address.to_vec()));
            limits
        }
        Attempt::SignUp => vec![(Limit::SignUpAddress, address.to_vec())],
    }
}

/// For how long, in ms from `now_ms` on (of the state's clock), an attempt would be refused if nobody
/// attempted anything else; 0 when it would be allowed. To ask costs nothing, an [`Act::Attempt`](super::Act::Attempt) an entry
/// in the log: so who knows the answer from here need not have one written.
///
/// # Errors
/// When the store cannot be read or a row in it is damaged.
pub fn attempt_wait_ms(
    rows: &(impl Rows + ?Sized),
    what: &Attempt,
    address: &[u8],
    now_ms: u64,
) -> Result<u64, StoreError> {
    let mut wait_ms = 0;
    for (limit, whose) in of_attempt(what, address) {
        let full_ms = full_ms(rows, &limit.of(&whose))?.unwrap_or(0);
        wait_ms = wait_ms.max(limit.take(full_ms, now_ms).err().unwrap_or(0));
    }
    Ok(wait_ms)
}

/// When all of a limit will have come back, if any of it is used up.
fn full_ms(rows: &(impl Rows + ?Sized), name: &[u8]) -> Result<Option<u64>, StoreError> {
    let row = rows.get(&rows::limit(name))?;
    row.map(|row| rows::decode_number("limit", &row)).transpose()
}

/// When the row of a limit goes of which all will have come back at this time.
pub(super) fn row_ends_ms(full_ms: u64) -> u64 {
    const MINUTE_MS: u64 = 60_000;
    full_ms.div_ceil(MINUTE_MS).saturating_mul(MINUTE_MS)
}

impl<T: Table> Clerk<'_, T> {
    /// Asks whether an attempt is allowed, and counts it if so.
    pub(super) fn attempt(&mut self, what: &Attempt, address: &[u8]) -> Done<Told> {
        let limits = of_attempt(what, address);
        self.charge(&limits.iter().map(|(limit, whose)| (*limit, &whose[..])).collect::<Vec<_>>())?;
        Ok(Told::Done)
    }

    /// Takes one from each of these limits (each with whose it is), or refuses and takes from none.
    pub(super) fn charge(&mut self, limits: &[(Limit, &[u8])]) -> Done<()> {
        let (mut taken, mut wait_ms) = (Vec::new(), 0);
        for (limit, whose) in limits {
            let name = limit.of(whose);
            let old_ms = full_ms(self.ledger.rows(), &name)?;
            match limit.take(old_ms.unwrap_or(0), self.at.clock_ms) {
                Ok(full_ms) => taken.push((name, old_ms, full_ms)),
                Err(ms) => wait_ms = wait_ms.max(ms),
            }
        }
        if wait_ms > 0 {
            return Err(Refusal::TooOften(wait_ms).into());
        }
        for (name, old_ms, full_ms) in taken {
            self.put(&rows::limit(&name), rows::encode_number(full_ms))?;
            let (from, to) = (old_ms.map(row_ends_ms), row_ends_ms(full_ms));
            self.move_deadline(&Mortal::Limit(name.into()), from, Some(to));
        }
        Ok(())
    }

    /// Gives a name back all of its attempts, those from this address and those from all together. Not the
    /// address's: else whoever has an account would have as many for others as they like.
    pub(super) fn forgive(&mut self, name: &str, address: &[u8]) -> Result<(), StoreError> {
        for (limit, whose) in of_name(name, address) {
            self.end_limit(&limit.of(&whose))?;
        }
        Ok(())
    }

    /// Forgets a limit, because all of it has come back or is given back; tells whether it was there.
    pub(super) fn end_limit(&mut self, name: &[u8]) -> Result<bool, StoreError> {
        let Some(full_ms) = full_ms(self.ledger.rows(), name)? else { return Ok(false) };
        self.remove(&rows::limit(name), &rows::encode_number(full_ms));
        let what = Mortal::Limit(Bytes::copy_from_slice(name));
        self.move_deadline(&what, Some(row_ends_ms(full_ms)), None);
        Ok(true)
    }
}
