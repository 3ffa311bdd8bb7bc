//! Every bound of the peer transport, in one place.

use std::time::Duration;

/// The largest entry, in bytes.
pub const MAX_ENTRY: usize = 2 << 20;
/// The largest message: an entry and what is said around it, in bytes.
pub const MAX_BODY: usize = MAX_ENTRY + (4 << 10);
/// The largest message of a guest and the largest answer to one, in bytes.
pub const MAX_GUEST_BODY: usize = 64 << 10;

/// What may wait for a full socket, in bytes: control lane of a peer.
pub const CONTROL_OUTBOX: usize = 1 << 20;
/// What may wait for a full socket, in bytes: bulk lane of a peer.
pub const BULK_OUTBOX: usize = 32 << 20;
/// What may wait for a full socket, in bytes: a guest.
pub const GUEST_OUTBOX: usize = 256 << 10;
/// Events (up, down, gone) that wait for a full inbox; the oldest is dropped beyond it.
pub const MAX_EVENTS: usize = 1024;

/// Inbound connections whose handshake is not finished; beyond it the oldest is closed.
pub const MAX_UNFINISHED: usize = 64;
/// Guests at one time; beyond it they are refused.
pub const MAX_GUESTS: usize = 64;
/// Addresses of one name that are tried.
pub const MAX_ADDRESSES: usize = 8;

/// A handshake must be finished within this time, from either side.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A guest that says nothing for so long is closed.
pub const GUEST_IDLE: Duration = Duration::from_secs(30);
/// How long a replaced connection is still read from.
pub const RETIRED: Duration = Duration::from_secs(1);
/// Two dials within this time have crossed; a later one means that the other side has lost ours.
pub const CROSSING: Duration = Duration::from_secs(1);

/// The first pause between two dials; it doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// The longest pause between two dials.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// The pause when a redial after a loss was cut off: the other process may be in the middle of dying.
pub const REDIAL_PAUSE: Duration = Duration::from_millis(2);
/// How often a redial that was cut off is repeated after [`REDIAL_PAUSE`] only.
pub const REDIALS: u32 = 5;
/// A connection that was lost before it had stood for so long had hardly stood.
pub const STEADY: Duration = Duration::from_secs(1);
/// After so many losses in a row of connections that had hardly stood, redials are paused.
pub const HASTY_LOSSES: u32 = 5;
/// The pause after a failed accept (no descriptors left).
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The pause before an event is offered again to a full inbox.
pub const EVENT_PAUSE: Duration = Duration::from_millis(2);
/// At most one line is logged, and one refusal reported, about one address or peer in this time.
pub const QUIET: Duration = Duration::from_secs(10);

/// An idle connection is probed after this time, then every [`KEEPALIVE_EVERY`].
pub const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
/// Time between two probes of an idle connection.
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
/// Probes without an answer before the connection ends.
pub const KEEPALIVE_PROBES: u32 = 3;
/// Bytes sent that stay unacknowledged for so long end the connection.
pub const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// What one call reads at most; the buffer is shared by all connections.
pub const READ_CHUNK: usize = 256 << 10;
/// Reads or writes on one connection before the others have their turn.
pub const TURN: usize = 4;
/// Connections accepted before the others have their turn.
pub const ACCEPTS: usize = 64;
