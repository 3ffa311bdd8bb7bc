//! Who waits for which rows to change, and how they are told.
//!
//! A client that waits for a key holds no thread and is never polled for: its request is parked with a
//! [`Watch`], and the applier, which knows what it has just changed, says so by [`Watches::changed`].
//! That finds the watches concerned by their topics and wakes each by one completion; everybody else
//! sleeps on, whatever is written.
//!
//! The order that loses nothing: register ([`Watches::watch`]), then look at the state, then
//! [`Watch::arm`]. A change published before the registration is in the state that is looked at; one
//! after it marks the watch, and arming a marked watch says so instead of waiting. Going on with the
//! same watch, [`Watch::reset`] stands for the registration.
//!
//! Nothing here knows what a row means or where the wake-up goes; when nobody waits, the applier pays
//! for one look at a number. The number of watches is bounded; beyond, [`Full`] is the answer.

mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::ids::Ticket;
use crate::metrics::Metrics;
pub use crate::state::Changes;
use topics::Topics;

/// What a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The row under this key.
    Row(Bytes),
    /// Every row whose key begins with this; empty for all rows.
    Rows(Bytes),
}

/// Rows that are remembered for a watch; beyond, anything may have changed.
const NEWS_MAX: usize = 256;

/// What has changed, for those who follow many rows and would have to look at all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// These rows at most.
    Rows(BTreeSet<Bytes>),
    /// Any of them may have.
    Anything,
}

/// There are as many watches as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many requests wait for changes as this node allows")]
pub struct Full;

/// Whoever brings wake-ups to those who wait. Must not block.
pub trait Wake: Send + Sync {
    /// Tells the owners of these tickets that something has changed.
    fn wake(&self, tickets: Vec<Ticket>);
}

/// All watches of a node. Clones are the same.
#[derive(Clone)]
pub struct Watches(Arc<Shared>);

struct Shared {
    wake: Box<dyn Wake>,
    max: usize,
    metrics: Arc<Metrics>,
    /// How many there are: what the applier looks at first.
    count: AtomicUsize,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    waiters: BTreeMap<u64, Waiter>,
    topics: Topics,
    next: u64,
}

#[derive(Default)]
struct Waiter {
    /// Something has changed since the registration, or since the last reset.
    changed: bool,
    /// Whom to wake; taken by the wake-up.
    ticket: Option<Ticket>,
    /// What has changed since then, for those who want to know.
    news: Option<News>,
}

impl Waiter {
    /// Notes that this row has changed, or any.
    fn note(&mut self, row: Option<&Bytes>) {
        self.changed = true;
        match (&mut self.news, row) {
            (Some(News::Rows(rows)), Some(row)) if rows.len() < NEWS_MAX => {
                rows.insert(row.clone());
            }
            (Some(news), _) => *news = News::Anything,
            (None, _) => {}
        }
    }
}

impl Watches {
    /// None yet, and never more than `max`.
    pub fn new(wake: impl Wake + 'static, max: usize, metrics: Arc<Metrics>) -> Self {
        let (count, registry) = (AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(Shared { wake: Box::new(wake), max, metrics, count, registry }))
    }

    /// Begins to notice changes of any of the topics, to be awaited by [`Watch::arm`].
    ///
    /// # Errors
    /// [`Full`] when there are as many watches as there may be.
    pub fn watch(&self, topics: Vec<Topic>) -> Result<Watch, Full> {
        let mut registry = self.0.registry.lock();
        if registry.waiters.len() >= self.0.max {
            self.0.metrics.watches_refused.inc();
            return Err(Full);
        }
        let id = registry.next;
        registry.next += 1;
        registry.waiters.insert(id, Waiter::default());
        for topic in &topics {
            registry.topics.add(topic, id);
        }
        self.count(&registry);
        drop(registry);
        // Pairs with the one in `changed`: whoever finds nobody here has published his change before
        // the caller looks at the state.
        fence(Ordering::SeqCst);
        Ok(Watch { watches: self.clone(), id, topics })
    }

    /// Wakes whoever waits for one of these rows. To be called after the change can be seen.
    pub fn changed(&self, changes: &Changes) {
        fence(Ordering::SeqCst);
        if self.0.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut tickets = Vec::new();
        let mut registry = self.0.registry.lock();
        let Registry { waiters, topics, .. } = &mut *registry;
        let mut wake = |waiter: &mut Waiter, row| {
            waiter.note(row);
            tickets.extend(waiter.ticket.take());
        };
        match changes {
            Changes::All => waiters.values_mut().for_each(|waiter| wake(waiter, None)),
            Changes::Rows(rows) => {
                for row in rows {
                    topics.concerned(row, |id| {
                        let waiter = waiters.get_mut(&id).expect("topics end with their watch");
                        wake(waiter, Some(row));
                    });
                }
            }
        }
        drop(registry);
        if !tickets.is_empty() {
            self.0.metrics.watch_wakeups.add(tickets.len() as u64);
            self.0.wake.wake(tickets);
        }
    }

    /// How many watches there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.registry.lock().waiters.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn count(&self, registry: &Registry) {
        let count = registry.waiters.len();
        self.0.count.store(count, Ordering::Relaxed);
        self.0.metrics.watches.set(count as u64);
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watches({} of {})", self.len(), self.0.max)
    }
}

/// Somebody's interest in some rows; ends when dropped.
#[derive(Debug)]
pub struct Watch {
    watches: Watches,
    id: u64,
    topics: Vec<Topic>,
}

impl Watch {
    /// Asks for one wake-up of `ticket` at the next change. True: something has changed already, and
    /// none will come. A ticket given before is forgotten.
    #[must_use = "a change that came before is told here and by no wake-up"]
    pub fn arm(&self, ticket: Ticket) -> bool {
        self.with(|waiter| {
            waiter.ticket = (!waiter.changed).then_some(ticket);
            waiter.changed
        })
    }

    /// Forgets the changes so far and disarms: to be called before the state is looked at again.
    pub fn reset(&self) {
        self.with(|waiter| *waiter = Waiter::default());
        fence(Ordering::SeqCst);
    }

    /// As [`Watch::reset`], and tells what has changed since this was asked last; anything, when it was
    /// not asked before.
    #[must_use = "what has changed is told once"]
    pub fn take_news(&self) -> News {
        let waiter = Waiter { news: Some(News::Rows(BTreeSet::new())), ..Waiter::default() };
        let news = self.with(|old| std::mem::replace(old, waiter).news);
        fence(Ordering::SeqCst);
        news.unwrap_or(News::Anything)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Waiter) -> T) -> T {
        let mut registry = self.watches.0.registry.lock();
        act(registry.waiters.get_mut(&self.id).expect("a watch is registered until it is dropped"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut registry = self.watches.0.registry.lock();
        registry.waiters.remove(&self.id);
        for topic in &self.topics {
            registry.topics.remove(topic, self.id);
        }
        self.watches.count(&registry);
    }
}

#[cfg(test)]
mod tests;
