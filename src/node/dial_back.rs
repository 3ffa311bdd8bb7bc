//! Dials joiners back under the address they advertise, on short-lived threads.
//!
//! A member whose address cannot be reached from here would count in majorities and never answer;
//! Ongaro's first membership change ever had a typo in the port. So nobody is admitted whom the
//! leader has not reached and recognised by its tag.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;

use super::driver::Control;
use crate::ids::Id128;
use crate::raft::MemberInfo;
use crate::threads;
use crate::transport::{Hello, guest};

/// Dial-backs under way at once; one more is told to come again.
const AT_ONCE_MAX: usize = 4;
/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Starts dial-backs and counts those under way.
pub struct DialBack {
    /// How this node introduces itself; asked anew each time.
    hello: Box<dyn Fn() -> Hello + Send>,
    control: Sender<Control>,
    running: Arc<AtomicUsize>,
}

impl DialBack {
    /// `control` is the raft thread's.
    pub fn new(hello: Box<dyn Fn() -> Hello + Send>, control: Sender<Control>) -> Self {
        Self { hello, control, running: Arc::default() }
    }

    /// Dials `info.peer` and checks that `info.tag` answers. `then` gets the outcome, on the
    /// dialling thread, and says what to tell the raft thread. False: too many are under way.
    pub fn start(
        &self,
        info: MemberInfo,
        then: impl FnOnce(Result<MemberInfo, String>) -> Option<Control> + Send + 'static,
    ) -> bool {
        if self.running.fetch_add(1, Ordering::AcqRel) >= AT_ONCE_MAX {
            self.running.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        let (hello, control) = ((self.hello)(), self.control.clone());
        let running = Arc::clone(&self.running);
        let spawned = threads::spawn("dial-back", move || {
            if let Some(message) = then(dial(hello, info)) {
                // Nobody listens when the node is stopping.
                control.send(message).ok();
            }
            running.fetch_sub(1, Ordering::AcqRel);
        });
        if spawned.is_err() {
            self.running.fetch_sub(1, Ordering::AcqRel);
        }
        spawned.is_ok()
    }
}

fn dial(hello: Hello, info: MemberInfo) -> Result<MemberInfo, String> {
    let addr = info.peer.clone();
    let answer = guest::identify(&addr, hello, TIMEOUT)
        .map_err(|error| format!("cannot dial back the advertised address {addr}: {error}"))?;
    if answer.from.tag == Id128(info.tag) {
        Ok(info)
    } else {
        Err(format!("another node answers at the advertised address {addr}"))
    }
}
