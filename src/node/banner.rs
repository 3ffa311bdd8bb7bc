//! The first lines a person sees: where the node listens, where its data is, what to try.

use std::path::Path;

/// What the banner says.
pub struct Banner<'a> {
    /// Base URL of the HTTP surface.
    pub http: &'a str,
    /// Peer address.
    pub peer: &'a str,
    /// Data directory.
    pub data: &'a Path,
    /// How this start begins.
    pub beginning: &'a str,
    /// How this program was called, so that its commands can be pasted.
    pub program: &'a str,
    /// Whether only this machine can reach the node.
    pub on_loopback: bool,
}

impl Banner<'_> {
    /// The text. Its first three lines are read by programs too (`bowline demo`, the tests).
    #[must_use]
    pub fn text(&self) -> String {
        let Self { http, peer, beginning, program, .. } = self;
        let data = self.data.display();
        let join = if self.on_loopback {
            format!(
                "{program} --join {peer} --data ./bowline-data-2 --http 127.0.0.1:0 --peer 127.0.0.1:0"
            )
        } else {
            format!("{program} --join {peer}     (on another machine)")
        };
        format!(
            "bowline: http {http}\n\
             bowline: peer {peer}\n\
             bowline: data {data}\n\
             {beginning}\n\n  \
             shorten   curl -X PUT --data 'https://example.com/a/long/url' {http}/\n  \
             follow    curl -i {http}/KEY\n  \
             board     {http}/b     (in a browser)\n  \
             look      {program} status --node {http}\n  \
             join      {join}\n\n"
        )
    }
}
