//! What can be tuned, and what may never be exceeded.
//!
//! Every field says what it does, how to choose it and how it relates to the others. The names
//! are those that operators of Consul and Serf know.

use core::time::Duration;

/// The most members a roster holds, oneself included. Far above what a configuration admits; it
/// only bounds what a confused peer can make us remember. One more is ignored and counted.
pub const MAX_MEMBERS: usize = 256;

/// The most indirect pings served for others at a time. One more is dropped and counted; the asker
/// then misses a nack and blames itself, which is right: somebody is overloaded.
pub const MAX_RELAYS: usize = 128;

/// The longest push-pull body in bytes that is decoded: [`MAX_MEMBERS`] rows of the longest kind.
pub const MAX_PUSH_PULL: usize = 256 * 1024;

/// The longest name of a member in bytes.
pub const MAX_NAME: usize = 64;

/// The longest HTTP URL of a member in bytes.
pub const MAX_HTTP: usize = 256;

/// The longest version text of a member in bytes.
pub const MAX_VERSION: usize = 64;

/// The least that `Config::max_packet` may be: the header and two members of the longest kind.
pub const MIN_PACKET: usize = 1_400;

/// How one node gossips. All nodes of a cluster should agree on it, but none breaks if not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The random id of the cluster. A packet with another one is refused unread, so that two
    /// clusters that reuse each other's addresses can never merge.
    pub cluster: [u8; 16],

    /// How often one member is probed; each is probed once per round of the shuffled ring.
    /// Shorter finds a death sooner and costs packets in proportion. The local health score
    /// stretches it (see [`Config::health_max`]).
    pub probe_interval: Duration,

    /// How long to wait for the direct ack before others are asked to ping. Choose it above the
    /// 99th percentile of the round trip; must be at most half of `probe_interval`, because the
    /// helpers need as much time again.
    pub probe_timeout: Duration,

    /// How many others are asked to ping a silent member (SWIM's *k*). More makes a false
    /// suspicion rarer when packets are lost; each costs four packets per failed probe.
    pub indirect_checks: usize,

    /// The shortest suspicion is `suspicion_mult × max(1, log10(n)) × probe_interval`. Larger gives
    /// a slow node more time to refute and delays the news of a real death. Two less than this
    /// is the number of independent confirmations that shorten a suspicion to the minimum.
    pub suspicion_mult: u32,

    /// The longest suspicion, as a multiple of the shortest: what a suspicion lasts when nobody
    /// else confirms it (Lifeguard, "dogpile"). At least 1.
    pub suspicion_max_mult: u32,

    /// The local health score runs from 0 to one less than this, and the probe interval is
    /// multiplied by score + 1 (Lifeguard): a node that doubts itself asks more slowly. At least 1.
    pub health_max: u32,

    /// How often pending news is sent on its own, apart from riding on probes. Shorter spreads
    /// faster. Nothing is sent while there is no news.
    pub gossip_interval: Duration,

    /// To how many random members pending news is sent each `gossip_interval`.
    pub gossip_nodes: usize,

    /// How long after its death a member still gets gossip, so that it can refute.
    pub gossip_to_dead: Duration,

    /// Each piece of news is sent `retransmit_mult × ceil(log10(n + 1))` times by each node that
    /// learned it. Larger survives more loss and costs packets in proportion.
    pub retransmit_mult: u32,

    /// How often the whole roster is exchanged with one random member over a reliable stream, up to
    /// 32 members; above, see [`crate::push_pull::scaled_interval`]. This is what repairs
    /// everything that lost packets have left apart.
    pub push_pull_interval: Duration,

    /// How often one configured contact that is not alive here is called, for ever. This is
    /// what heals halves that have given each other up.
    pub contact_interval: Duration,

    /// How long a member that is down or has left stays in the roster. A configured contact stays
    /// until it is taken from the configuration.
    pub forget_after: Duration,

    /// The longest packet in bytes, sent or accepted. Stay below the path's MTU (a fragmented
    /// datagram is lost when one fragment is). At least [`MIN_PACKET`].
    pub max_packet: usize,
}

impl Config {
    /// For machines in one place: round trips of a few milliseconds.
    #[must_use]
    pub fn lan(cluster: [u8; 16]) -> Config {
        Config {
            cluster,
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_checks: 3,
            suspicion_mult: 4,
            suspicion_max_mult: 6,
            health_max: 8,
            gossip_interval: Duration::from_millis(200),
            gossip_nodes: 3,
            gossip_to_dead: Duration::from_secs(30),
            retransmit_mult: 4,
            push_pull_interval: Duration::from_secs(1),
            contact_interval: Duration::from_secs(1),
            forget_after: Duration::from_secs(24 * 60 * 60),
            max_packet: MIN_PACKET,
        }
    }

    /// For machines in several places: round trips of up to half a second.
    #[must_use]
    pub fn wan(cluster: [u8; 16]) -> Config {
        Config {
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_millis(2_500),
            suspicion_mult: 6,
            gossip_interval: Duration::from_millis(500),
            gossip_nodes: 4,
            gossip_to_dead: Duration::from_secs(60),
            push_pull_interval: Duration::from_secs(5),
            contact_interval: Duration::from_secs(5),
            ..Config::lan(cluster)
        }
    }

    /// How long a helper waits for an ack before it sends a nack: four fifths of the probe
    /// timeout, so that the nack is back before the asker's probe ends (Lifeguard).
    #[must_use]
    pub fn nack_timeout(&self) -> Duration {
        self.probe_timeout * 4 / 5
    }

    /// What is wrong with the configuration, if anything.
    ///
    /// # Errors
    /// One line that names the field and its legal range.
    pub fn check(&self) -> Result<(), &'static str> {
        let checks = [
            (!self.probe_timeout.is_zero(), "probe_timeout must be above 0"),
            (
                self.probe_timeout * 2 <= self.probe_interval,
                "probe_timeout must be at most half of probe_interval",
            ),
            (self.suspicion_mult >= 1, "suspicion_mult must be at least 1"),
            (self.suspicion_max_mult >= 1, "suspicion_max_mult must be at least 1"),
            (self.health_max >= 1, "health_max must be at least 1"),
            (!self.gossip_interval.is_zero(), "gossip_interval must be above 0"),
            (self.gossip_nodes >= 1, "gossip_nodes must be at least 1"),
            (self.retransmit_mult >= 1, "retransmit_mult must be at least 1"),
            (!self.push_pull_interval.is_zero(), "push_pull_interval must be above 0"),
            (!self.contact_interval.is_zero(), "contact_interval must be above 0"),
            (self.max_packet >= MIN_PACKET, "max_packet must be at least 1,400"),
            (self.max_packet <= 65_507, "max_packet must be at most 65,507, the longest datagram"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, complaint)) => Err(complaint),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_made_ones_are_sound() {
        assert_eq!(Config::lan([1; 16]).check(), Ok(()));
        assert_eq!(Config::wan([1; 16]).check(), Ok(()));
    }

    #[test]
    fn a_probe_timeout_above_half_the_interval_is_refused() {
        let config = Config { probe_timeout: Duration::from_millis(501), ..Config::lan([1; 16]) };
        assert!(config.check().unwrap_err().contains("half"));
    }

    #[test]
    fn a_nack_returns_within_the_probe() {
        for config in [Config::lan([1; 16]), Config::wan([1; 16])] {
            assert!(config.probe_timeout + config.nack_timeout() < config.probe_interval);
        }
    }
}
