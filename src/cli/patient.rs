//! Asking again until it works: how the imports outlast elections, restarts and full disks.
//!
//! Only for what may be done twice without harm, for a try that got no answer may have been done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::http::Method;

use super::client::{Answer, Client};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// What is waited at a node's own wish.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// One of several threads that ask side by side.
pub(super) struct Patient<'a> {
    client: Client,
    /// Its number: spreads the threads over the nodes, and their retries over time.
    number: usize,
    retry_for: Duration,
    /// Set when one of them has given up: the others follow without waiting their time out.
    stop: &'a AtomicBool,
}

impl<'a> Patient<'a> {
    pub(super) fn new(
        nodes: &[String],
        number: usize,
        retry_for: Duration,
        stop: &'a AtomicBool,
    ) -> Self {
        Self { client: Client::new(nodes), number, retry_for, stop }
    }

    /// The first answer that says more than "not now".
    ///
    /// # Errors
    /// When none came in time, or another thread has given up: why.
    pub(super) fn ask(&self, method: &Method, path: &str, body: &[u8]) -> Result<Answer, String> {
        let started = Instant::now();
        let mut node = self.number;
        let mut pause = PAUSE_MIN;
        loop {
            let mut wished = Duration::ZERO;
            let trouble = match self.client.ask_node(node, method, path, body) {
                Ok(answer) if [429, 502, 503, 504, 507].contains(&answer.status) => {
                    wished = answer.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                    answer.problem()
                }
                Ok(answer) => return Ok(answer),
                Err(why) => why,
            };
            // Up to a half more, so that the threads do not come back all at once.
            let wait = pause.max(wished).mul_f64(1.0 + (self.number % 16) as f64 / 32.0);
            let over = started.elapsed() + wait > self.retry_for;
            if over || self.stop.load(Ordering::Relaxed) {
                self.stop.store(true, Ordering::Relaxed);
                return Err(format!("given up: {trouble}"));
            }
            std::thread::sleep(wait);
            pause = (pause * 2).min(PAUSE_MAX);
            node += 1;
        }
    }
}
