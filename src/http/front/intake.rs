//! A body on its way from a connection to the one who takes it piece by piece.

use bytes::Bytes;

use super::desk::{Desk, Owed, Place};
use crate::http::reply::Response;
use crate::http::upload::{Receiving, Took};
use crate::http::wire::{Exchange, Head};
use crate::ids::Ticket;

/// A request whose body is being handed on.
pub(super) struct Intake {
    receiving: Receiving,
    exchange: Exchange,
    ticket: Ticket,
    /// What could not be taken; nothing is read until it is.
    held: Option<Bytes>,
}

impl Intake {
    /// Begins behind a head.
    ///
    /// # Errors
    /// The answer, when the body is not wanted.
    pub fn begin(head: &Head, desk: &Desk) -> Result<Self, Response> {
        let receiving = desk.service.upload(head)?;
        let (exchange, ticket) = (Exchange::of(head), desk.ticket());
        Ok(Self { receiving, exchange, ticket, held: None })
    }

    /// The form of the answer.
    pub fn exchange(&self) -> Exchange {
        self.exchange
    }

    /// Whether nothing more can be taken now.
    pub fn is_full(&self) -> bool {
        self.held.is_some()
    }

    /// Under which ticket it waits, if it does.
    pub fn ticket(&self) -> Option<u64> {
        self.is_full().then_some(self.ticket.id)
    }

    /// Hands a piece on.
    ///
    /// # Errors
    /// The answer, when the rest is not wanted.
    pub fn write(&mut self, bytes: Bytes, place: Place, desk: &mut Desk) -> Result<(), Response> {
        match self.receiving.upload.write(bytes, self.ticket) {
            Took::More => Ok(()),
            Took::Full(bytes) => {
                self.held = Some(bytes);
                desk.rest(self.ticket, place, None);
                Ok(())
            }
            Took::Refused(response) => Err(self.receiving.refused(&desk.service, response)),
        }
    }

    /// Tries again what could not be taken, when this is the ticket that it waits under.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn wake(&mut self, ticket: u64, place: Place, desk: &mut Desk) -> Result<(), Response> {
        match self.held.take_if(|_| self.ticket.id == ticket) {
            Some(bytes) => self.write(bytes, place, desk),
            None => Ok(()),
        }
    }

    /// The body has ended; what is owed for it.
    pub fn finish(self, place: Place, desk: &mut Desk) -> Owed {
        desk.finish(self.receiving, place)
    }
}
