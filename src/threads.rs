//! The threads of a node: each has a name, and none dies alone.
//!
//! A panic means that something which must never happen has happened. Going on without the thread
//! would leave clients waiting and peers misled, so the process ends; what is durable is found again
//! by the next one.

use std::io;
use std::thread::{Builder, JoinHandle, current, panicking};

use crate::lines;

/// Exit code after a panic.
const BROKEN: i32 = 70;

/// Starts a thread whose panic ends the process.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn<T: Send + 'static>(
    name: impl Into<String>,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(move || {
        let _together = Together;
        run()
    })
}

struct Together;

impl Drop for Together {
    fn drop(&mut self) {
        if panicking() {
            let name = current().name().unwrap_or("?").to_owned();
            lines::write_out_before_the_end();
            eprintln!("bowline: thread {name} met what must never happen (see above): stopping");
            std::process::exit(BROKEN);
        }
    }
}
