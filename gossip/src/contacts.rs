//! Calling the configured members for ever.
//!
//! A roster forgets: who is down for long gets no gossip and no probe. Two halves that have
//! given each other up would never meet again. So the members of the *committed* configuration
//! are called, one each contact interval, as long as they are not alive here: with a ping that
//! carries what we believe of them (so that they refute), and with a push-pull.

use crate::packet::Message;
use crate::push_pull::{self, Kind};
use crate::{Contact, Effect, Gossip, Micros};

impl Gossip {
    /// Replaces the list of configured members: whom to call for ever, and whom to believe. Gossip
    /// never changes it. This node's own entry is ignored. A roster entry under a configured id
    /// with another tag is dropped: the configuration knows better.
    ///
    /// # Panics
    /// Beyond [`crate::config::MAX_MEMBERS`] contacts: the configuration is bounded far below.
    pub fn set_contacts(&mut self, contacts: Vec<Contact>) {
        assert!(contacts.len() <= crate::config::MAX_MEMBERS, "the configuration is bounded");
        let news = contacts.iter().any(|c| !self.contacts.contains_key(&c.id));
        self.contacts =
            contacts.into_iter().filter(|c| c.id != self.id).map(|c| (c.id, c)).collect();
        for contact in self.contacts.values() {
            if self.roster.get(&contact.id).is_some_and(|e| e.member.tag != contact.tag) {
                self.roster.remove(&contact.id);
                self.broadcasts.forget(contact.id);
            }
        }
        if news {
            // Somebody new: call at once.
            self.next_contact = self.now;
        }
    }

    /// Configured members that are not live here.
    fn lost_contacts(&self) -> impl Iterator<Item = &Contact> {
        self.contacts
            .values()
            .filter(|c| !self.roster.get(&c.id).is_some_and(|e| e.member.status.is_live()))
    }

    /// When a lost contact is to be called next.
    pub(crate) fn contacts_deadline(&self) -> Micros {
        if self.lost_contacts().next().is_some() { self.next_contact } else { Micros::NEVER }
    }

    /// Calls the next lost contact; all of them when nobody else is there to talk to.
    pub(crate) fn tick_contacts(&mut self) {
        if self.now < self.next_contact {
            return;
        }
        self.next_contact = self.now + self.config.contact_interval;
        let mut lost: Vec<Contact> = self.lost_contacts().cloned().collect();
        if self.live() > 1 {
            let after = |c: &Contact| c.id > self.last_contact;
            let next = lost.iter().find(|c| after(c)).or(lost.first()).cloned();
            lost = next.into_iter().collect();
        }
        for contact in lost {
            self.last_contact = contact.id;
            self.call(&contact);
        }
    }

    fn call(&mut self, contact: &Contact) {
        let introduce = !self.roster.contains_key(&contact.id);
        let mut addrs = vec![contact.addr];
        // The roster may know of a move that the configuration does not show yet.
        addrs.extend(
            self.roster.get(&contact.id).map(|e| e.member.peer).filter(|a| *a != contact.addr),
        );
        for addr in addrs {
            let probe = self.new_number();
            let ping = Message::Ping { probe, target: contact.id, introduce };
            self.send_to(addr, contact.id, ping, true);
        }
        let body = push_pull::encode(Kind::Request, &self.rows());
        self.effects.push(Effect::PushPull { to: contact.id, body });
    }
}
