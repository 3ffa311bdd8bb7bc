//! A progress bar on stderr, drawn only when that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: usize = 30;
const PERIOD: Duration = Duration::from_millis(100);
/// Back to the start of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";

/// A bar over the bytes of a file, and the lines done so far.
pub(super) struct Progress {
    terminal: bool,
    bytes_total: Option<u64>,
    started: Instant,
    drawn: Instant,
}

impl Progress {
    /// A bar that starts now; without a total only lines and rate are shown.
    pub(super) fn new(bytes_total: Option<u64>) -> Self {
        let now = Instant::now();
        Self { terminal: io::stderr().is_terminal(), bytes_total, started: now, drawn: now }
    }

    /// Draws the bar anew, ten times a second at most.
    pub(super) fn update(&mut self, bytes: u64, lines: u64) {
        if self.terminal && self.drawn.elapsed() >= PERIOD {
            self.drawn = Instant::now();
            let bar = draw(bytes, self.bytes_total, lines, self.started.elapsed());
            write(&format!("{CLEAR}{bar}"));
        }
    }

    /// The same for what has bytes and nothing else; `what` says what happens to them.
    pub(super) fn update_bytes(&mut self, what: &str, bytes: u64) {
        if self.terminal && self.drawn.elapsed() >= PERIOD {
            self.drawn = Instant::now();
            let bar = draw_bytes(what, bytes, self.bytes_total, self.started.elapsed());
            write(&format!("{CLEAR}{bar}"));
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&mut self) {
        if self.terminal {
            write(CLEAR);
        }
    }

    /// Writes a line above the bar.
    pub(super) fn note(&self, text: &str) {
        let clear = if self.terminal { CLEAR } else { "" };
        write(&format!("{clear}{text}\n"));
    }
}

/// A bar that cannot be drawn is no reason to stop.
fn write(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn draw(bytes: u64, bytes_total: Option<u64>, lines: u64, elapsed: Duration) -> String {
    let rate = lines as f64 / elapsed.as_secs_f64().max(1e-9);
    let Some(total) = bytes_total.filter(|total| *total > 0) else {
        return format!("{lines} lines  {rate:.0}/s");
    };
    let share = (bytes as f64 / total as f64).min(1.0);
    let full = (share * WIDTH as f64) as usize;
    let left = elapsed.as_secs_f64() * (1.0 - share) / share.max(1e-9);
    format!(
        "[{:<WIDTH$}] {:3.0} %  {lines} lines  {rate:.0}/s  {left:.0} s left",
        "=".repeat(full),
        share * 100.0
    )
}

fn draw_bytes(what: &str, bytes: u64, bytes_total: Option<u64>, elapsed: Duration) -> String {
    const MIB: f64 = (1 << 20) as f64;
    let done = bytes as f64 / MIB;
    let rate = done / elapsed.as_secs_f64().max(1e-9);
    let Some(total) = bytes_total.filter(|total| *total > 0) else {
        return format!("{what}  {done:.1} MiB  {rate:.1} MiB/s");
    };
    let share = (bytes as f64 / total as f64).min(1.0);
    let bar = "=".repeat((share * WIDTH as f64) as usize);
    let percent = share * 100.0;
    format!("{what}  [{bar:<WIDTH$}] {percent:3.0} %  {done:.1} MiB  {rate:.1} MiB/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_the_bytes() {
        let second = Duration::from_secs(1);
        assert_eq!(
            draw(50, Some(100), 20, second),
            "[===============               ]  50 %  20 lines  20/s  1 s left"
        );
        assert_eq!(draw(50, None, 20, second), "20 lines  20/s");
        assert!(draw(0, Some(0), 0, Duration::ZERO).starts_with("0 lines"));
        assert!(draw(200, Some(100), 1, second).contains("100 %"), "a file that grew");
    }

    #[test]
    fn bytes_are_shown_as_such() {
        let second = Duration::from_secs(1);
        assert_eq!(
            draw_bytes("sent", 1 << 20, Some(2 << 20), second),
            "sent  [===============               ]  50 %  1.0 MiB  1.0 MiB/s"
        );
        assert_eq!(draw_bytes("received", 3 << 19, None, second), "received  1.5 MiB  1.5 MiB/s");
    }
}
