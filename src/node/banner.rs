//! The first lines a person sees: where the node listens, where its data is, what to try.

use std::fmt::Write as _;
use std::path::Path;

/// The banner. Its first three lines are read by programs too (`bowline demo`, the tests).
#[must_use]
pub fn banner(http: &str, peer: &str, data: &Path, beginning: &str) -> String {
    let mut text = String::new();
    let data = data.display();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "bowline: http {http}");
    let _ = writeln!(text, "bowline: peer {peer}");
    let _ = writeln!(text, "bowline: data {data}");
    let _ = writeln!(text, "{beginning}");
    let _ = writeln!(text);
    let _ =
        writeln!(text, "  shorten   curl -X PUT --data 'https://example.com/a/long/url' {http}/");
    let _ = writeln!(text, "  follow    curl -i {http}/KEY");
    let _ = writeln!(text, "  look      bowline status --node {http}");
    let _ = writeln!(text, "  join      bowline --join {peer}     (on another machine)");
    text
}
