//! Bowline gossip: who is there? A sans-I/O SWIM.
//!
//! A core with no socket, no clock and no thread: [`Gossip`] takes datagrams, push-pull bodies and
//! the time, and hands out [`Effect`]s. The same inputs with the same seed make the same outputs,
//! so whole clusters run in a simulation, faster than time.
//!
//! # The protocol
//!
//! Each node keeps a *roster*: everybody it knows, alive, suspect, down or left, with addresses.
//! Rosters are soft: each node edits its own within seconds, in both directions, and they agree
//! in the end. They route and inform; they never count votes.
//!
//! **Detecting** (`probe`). Once per probe interval each node pings the next member of a shuffled
//! ring. No ack within the probe timeout: it asks a few others to ping for it. They answer with
//! the ack, or with a *nack* if they heard nothing either. No ack until the next probe: the
//! member is suspect. \[SWIM 3.1, 4.3; Lifeguard IV-A\]
//!
//! **Suspecting** (`suspicion`). A suspect has time to refute; the more members accuse it
//! independently, the less. Everybody who talks to it tells it. Only then is it down. \[SWIM 4.2;
//! Lifeguard IV-B, IV-C\]
//!
//! **Refuting** (`merge`). Each member numbers its statements about itself: its *incarnation*. A
//! higher one beats everything said about a lower one; at the same, left beats down beats suspect
//! beats alive. Only the member raises it, above whatever it hears. A process that restarts
//! with a low one learns so at first contact and goes on from there. \[SWIM 4.2\]
//!
//! **Telling** (`dissemination`). News rides on probes and is gossiped to a few random members as
//! long as it is new; the newly dead are still told. Every statement holds the member's whole
//! record. \[SWIM 4.1\]
//!
//! **Exchanging** ([`push_pull`]). Each push-pull interval two random members exchange rosters over
//! a reliable stream. A death is taken from there as a suspicion only.
//!
//! **Calling** (`contacts`). Configured members that are not alive here are called for ever.
//!
//! **Doubting oneself** (`awareness`). Missing nacks and accusations raise a local health score that
//! slows a node's own probes down. A process that did not run for a while concludes nothing.
//! \[Lifeguard IV-A\]
//!
//! **Leaving.** [`Gossip::leave`] says so to everybody; *left* is not *down*: nobody is alarmed.
//!
//! # Who is believed
//!
//! Only known senders: members of the roster, and contacts of the committed configuration, under
//! (cluster id, node id, tag). Everything else is counted and never answered. A joiner is told
//! the roster when it is admitted ([`Gossip::roster_body`]); the others learn of it as a contact.
//!
//! # Using it
//!
//! One thread owns the [`Gossip`]. Forever: wait for input until [`Gossip::deadline`]; hand over all
//! waiting packets and bodies; [`Gossip::tick`]; carry out [`Gossip::take_effects`] in order.
//!
//! # Caveats
//!
//! - Nothing is encrypted or signed. A checksum finds accidents; whoever knows the cluster id, a
//!   node id and its tag can lie. The peer port belongs behind a firewall.
//! - There is no direct TCP check before a suspicion. Where only datagrams are lost, the push-pull
//!   lets the accused refute instead, and it flaps between suspect and alive.
//! - A death spread by gossip (not by push-pull) is believed at once. Just after a partition heals
//!   a member may be shown down for the moment that its refutation takes.
//! - The id of a member that is down and no longer configured is forgotten after a day. A packet
//!   older than that could bring it back until a probe finds out.
//!
//! # Sources
//!
//! - SWIM: A. Das, I. Gupta, A. Motivala: *SWIM: Scalable Weakly-consistent Infection-style Process
//!   Group Membership Protocol*, 2002.
//! - Lifeguard: A. Dadgar, J. Phillips, J. Currey: *Lifeguard: Local Health Awareness for More Accurate
//!   Failure Detection*, 2018.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod awareness;
pub mod config;
mod contacts;
mod dissemination;
mod event;
mod gossip;
mod member;
mod merge;
pub mod packet;
mod probe;
pub mod push_pull;
mod suspicion;
mod time;
mod wire;

pub use config::Config;
pub use event::Event;
pub use gossip::{Counters, Effect, Gossip};
pub use member::{Contact, MAX_INCARNATION, Member, NodeId, Rumour, Status, Tag};
pub use packet::PacketError;
pub use time::Micros;
