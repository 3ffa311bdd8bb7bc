//! Being told to stop: the stack is unwound, so that nodes are ended and directories removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};

static TOLD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Listens for Ctrl-C and SIGTERM from now on.
pub fn listen() {
    let told = Arc::clone(TOLD.get_or_init(Arc::default));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&told)).expect("these may be caught");
    }
}

/// Unwinds when this process was told to stop.
pub fn check() {
    if TOLD.get().is_some_and(|told| told.load(Ordering::Relaxed)) {
        std::panic::resume_unwind(Box::new("told to stop"));
    }
}
