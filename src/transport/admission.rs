//! Admission: who may talk to us.
//!
//! A member is let in for exactly (cluster, recovery epoch, node id, tag) as in the newest list that
//! the owner gave; its address does not matter. Node ids are log indexes and only grow, so an unknown
//! id *above* the newest index we know of belongs to a node that was admitted after our news: it is
//! let in provisionally, and its tag is bound to its id at this first contact. An unknown id below
//! was removed, or never was. Pure: no I/O here.

use std::collections::BTreeMap;

use super::Peer;
use super::handshake::{
    Accepted, Features, Hello, Identity, Purpose, Refusal, RefusalCode, VERSION,
};
use crate::ids::{Id128, InstanceTag};

/// The most ids that are let in provisionally at one time; a cluster has at most 64 members.
pub const MAX_PROVISIONAL: usize = 64;

/// The members as far as we know.
#[derive(Clone, Debug, Default)]
pub struct Roll {
    listed: BTreeMap<u64, InstanceTag>,
    newest_index: u64,
    /// Tags of provisional ids. Invariant: every id is above `newest_index` and not listed.
    bound: BTreeMap<u64, InstanceTag>,
}

impl Roll {
    /// Replaces the list, as of the log index `newest_index`. What the owner says about an id
    /// overrides what was bound at first contact.
    pub fn replace(&mut self, peers: &[Peer], newest_index: u64) {
        self.listed = peers.iter().map(|peer| (peer.id, peer.tag)).collect();
        self.newest_index = newest_index;
        self.bound.retain(|id, _| *id > newest_index && !self.listed.contains_key(id));
    }

    /// The tag that connections of `id` must show, if it may have any.
    #[must_use]
    pub fn tag(&self, id: u64) -> Option<InstanceTag> {
        self.listed.get(&id).or_else(|| self.bound.get(&id)).copied()
    }

    /// Forgets what was bound at first contact (after a change of our own identity).
    pub fn unbind(&mut self) {
        self.bound.clear();
    }

    /// Decides about a hello to `me`, which can do this; a tag may be bound by that.
    ///
    /// # Errors
    ///
    /// The refusal to answer with.
    pub fn admit(
        &mut self,
        me: &Identity,
        can: Features,
        hello: &Hello,
    ) -> Result<Accepted, Refusal> {
        let accepted = agree(me, can, hello)?;
        meant(me, hello)?;
        let clusterless = hello.from.cluster == Id128::default();
        match hello.purpose {
            Purpose::Probe if clusterless || me.node == 0 => return Ok(accepted),
            _ if me.node == 0 => {
                let reason = "this node has not yet joined a cluster";
                return Err(refusal(RefusalCode::NotJoined, reason));
            }
            Purpose::Guest if clusterless => return Ok(accepted),
            _ => same_cluster(me, hello)?,
        }
        match hello.purpose {
            Purpose::Lane(_) => self.member(me, &hello.from)?,
            Purpose::Guest | Purpose::Probe => {}
        }
        Ok(accepted)
    }

    fn member(&mut self, me: &Identity, from: &Identity) -> Result<(), Refusal> {
        if from.node == 0 || from.node == me.node {
            let reason =
                format!("the dialler says it is node {}, this is node {}", from.node, me.node);
            return Err(refusal(RefusalCode::WrongNode, reason));
        }
        match self.tag(from.node) {
            Some(tag) if tag == from.tag => Ok(()),
            Some(tag) => Err(refusal(
                RefusalCode::OtherTag,
                format!(
                    "node {} has the data directory {tag}, not {}: a wiped directory must join anew",
                    from.node, from.tag
                ),
            )),
            None if from.node <= self.newest_index => Err(refusal(
                RefusalCode::Removed,
                format!(
                    "node {} is not in the cluster as of index {}: it was removed",
                    from.node, self.newest_index
                ),
            )),
            None if self.bound.len() >= MAX_PROVISIONAL => {
                Err(refusal(RefusalCode::Busy, "too many nodes that are not yet known here"))
            }
            None => {
                self.bound.insert(from.node, from.tag);
                Ok(())
            }
        }
    }
}

/// A refusal of this program.
pub fn refusal(code: RefusalCode, reason: impl Into<String>) -> Refusal {
    Refusal { code, reason: reason.into() }
}

/// What both sides can speak.
fn agree(me: &Identity, can: Features, hello: &Hello) -> Result<Accepted, Refusal> {
    if !(hello.version_min..=hello.version_max).contains(&VERSION) {
        return Err(refusal(
            RefusalCode::Version,
            format!(
                "this node speaks version {VERSION} of the peer protocol, the dialler {} to {}",
                hello.version_min, hello.version_max
            ),
        ));
    }
    if hello.seal != 0 {
        return Err(refusal(RefusalCode::Seal, "this node speaks only plain, the dialler seals"));
    }
    let features = can.answer(hello.features);
    Ok(Accepted { version: VERSION, features, seal: 0, key_id: 0, from: *me })
}

/// Whether we are the one that is meant.
fn meant(me: &Identity, hello: &Hello) -> Result<(), Refusal> {
    // Who is just being admitted does not know its id yet; it says so, and is dialled again.
    if me.node != 0 && hello.expected_node != 0 && hello.expected_node != me.node {
        let reason = format!("this is node {}, not node {}", me.node, hello.expected_node);
        return Err(refusal(RefusalCode::WrongNode, reason));
    }
    if hello.expected_tag != Id128::default() && hello.expected_tag != me.tag {
        let reason = format!("this is data directory {}, not {}", me.tag, hello.expected_tag);
        return Err(refusal(RefusalCode::OtherTag, reason));
    }
    Ok(())
}

fn same_cluster(me: &Identity, hello: &Hello) -> Result<(), Refusal> {
    let from = &hello.from;
    if from.cluster != me.cluster {
        let reason = format!(
            "foreign cluster: this node is in {}, the dialler in {}",
            me.cluster, from.cluster
        );
        return Err(refusal(RefusalCode::ForeignCluster, reason));
    }
    if from.epoch != me.epoch {
        let reason = format!(
            "this cluster was recovered: recovery epoch {} here, {} at the dialler",
            me.epoch, from.epoch
        );
        return Err(refusal(RefusalCode::OtherEpoch, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::handshake::Lane;
    use super::*;

    const CLUSTER: Id128 = Id128([1; 16]);

    fn tag(of: u8) -> Id128 {
        Id128([of; 16])
    }

    fn identity(node: u64, tag_of: u8) -> Identity {
        Identity { cluster: CLUSTER, epoch: 2, node, tag: tag(tag_of), boot_nonce: 9 }
    }

    fn roll() -> Roll {
        let peer = |id: u64, of| Peer { id, tag: tag(of), addr: String::new() };
        let mut roll = Roll::default();
        roll.replace(&[peer(1, 1), peer(5, 5)], 8);
        roll
    }

    fn dial(from: Identity) -> Hello {
        Hello::new(from, Purpose::Lane(Lane::Control))
    }

    fn code(roll: &mut Roll, hello: &Hello) -> Option<RefusalCode> {
        roll.admit(&identity(1, 1), Features::default(), hello).err().map(|refusal| refusal.code)
    }

    #[test]
    fn a_member_is_let_in_for_its_whole_identity_only() {
        let me = identity(5, 5);
        assert_eq!(code(&mut roll(), &dial(me)), None);
        let cases = [
            (Identity { cluster: tag(7), ..me }, RefusalCode::ForeignCluster),
            (Identity { cluster: tag(0), ..me }, RefusalCode::ForeignCluster),
            (Identity { epoch: 1, ..me }, RefusalCode::OtherEpoch),
            (Identity { tag: tag(6), ..me }, RefusalCode::OtherTag),
            (Identity { node: 4, ..me }, RefusalCode::Removed),
            (Identity { node: 0, ..me }, RefusalCode::WrongNode),
            (Identity { node: 1, ..me }, RefusalCode::WrongNode),
        ];
        for (from, expected) in cases {
            assert_eq!(code(&mut roll(), &dial(from)), Some(expected), "{from:?}");
        }
    }

    #[test]
    fn the_dialler_must_mean_this_node_and_speak_its_language() {
        let hello = dial(identity(5, 5));
        assert_eq!(code(&mut roll(), &hello.expecting(1, tag(1))), None);
        let cases = [
            (hello.expecting(2, tag(1)), RefusalCode::WrongNode),
            (hello.expecting(1, tag(2)), RefusalCode::OtherTag),
            (Hello { version_min: 2, version_max: 3, ..hello }, RefusalCode::Version),
            (Hello { seal: 1, ..hello }, RefusalCode::Seal),
        ];
        for (hello, expected) in cases {
            assert_eq!(code(&mut roll(), &hello), Some(expected), "{hello:?}");
        }
    }

    #[test]
    fn an_unknown_id_above_the_newest_index_is_bound_to_its_first_tag() {
        let mut roll = roll();
        assert_eq!(code(&mut roll, &dial(identity(9, 9))), None);
        assert_eq!(code(&mut roll, &dial(identity(9, 9))), None, "it may come again");
        assert_eq!(code(&mut roll, &dial(identity(9, 3))), Some(RefusalCode::OtherTag));

        roll.replace(&[], 9);
        assert_eq!(code(&mut roll, &dial(identity(9, 9))), Some(RefusalCode::Removed));
    }

    #[test]
    fn the_number_of_provisional_ids_is_bounded() {
        let mut roll = roll();
        for id in 0..64 {
            assert_eq!(code(&mut roll, &dial(identity(100 + id, 4))), None);
        }
        assert_eq!(code(&mut roll, &dial(identity(99, 4))), Some(RefusalCode::Busy));
    }

    #[test]
    fn guests_need_no_cluster_but_none_other_than_ours() {
        let guest = |cluster| Hello::new(Identity { cluster, ..identity(0, 8) }, Purpose::Guest);
        assert_eq!(code(&mut roll(), &guest(tag(0))), None);
        let ours = Hello::new(identity(0, 8), Purpose::Guest);
        assert_eq!(code(&mut roll(), &ours), None);
        assert_eq!(code(&mut roll(), &guest(tag(7))), Some(RefusalCode::ForeignCluster));
    }

    #[test]
    fn who_has_not_joined_answers_probes_only() {
        let joiner = Identity { tag: tag(8), boot_nonce: 4, ..Identity::default() };
        let mut roll = Roll::default();
        let probe = Hello::new(identity(1, 1), Purpose::Probe);
        let can = Features::knowing(2);
        let accepted = roll.admit(&joiner, can, &probe.expecting(0, tag(8)));
        assert_eq!(accepted.map(|it| (it.from, it.features)), Ok((joiner, can)));
        for purpose in [Purpose::Guest, Purpose::Lane(Lane::Bulk)] {
            let refused = roll.admit(&joiner, can, &Hello::new(identity(1, 1), purpose));
            assert_eq!(refused.map_err(|refusal| refusal.code), Err(RefusalCode::NotJoined));
        }
    }
}
