//! What a moderator is about to do: as a form, and as the act that comes of it.

use maud::{Markup, html};

use super::super::form::Errors;
use super::super::views::parts::{self, Field};
use super::super::visitor::Visitor;
use crate::escapes;
use crate::state::board::{Act, LoginId, TEXT_LEN_MAX};

/// What can be done; each can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Hide a post.
    Hide,
    /// Disable a user.
    Disable,
    /// Make a user a moderator.
    Appoint,
}

/// It, of whom or what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) what: What,
    /// The post's key, or the user's name.
    pub(super) target: String,
    /// Whether it is done, or undone.
    pub(super) on: bool,
    /// Why, as it was typed.
    pub(super) reason: String,
}

impl Deed {
    pub(super) fn new(what: What, target: &str, on: bool) -> Self {
        Self { what, target: target.to_owned(), on, reason: String::new() }
    }

    /// What it is called on its button.
    pub(super) fn verb(&self) -> &'static str {
        match (self.what, self.on) {
            (What::Hide, true) => "Hide",
            (What::Hide, false) => "Show",
            (What::Disable, true) => "Disable",
            (What::Disable, false) => "Enable",
            (What::Appoint, true) => "Make moderator",
            (What::Appoint, false) => "Dismiss",
        }
    }

    /// The form that does it, and leads back to this path.
    pub(super) fn form(&self, visitor: &Visitor, next: &str, errors: &Errors) -> Markup {
        let verb = match self.what {
            What::Hide => "hide",
            What::Disable => "disable",
            What::Appoint => "appoint",
        };
        let action = format!("/b/{verb}/{}", escapes::path(self.target.as_bytes()));
        let reason = Field {
            name: "reason",
            label: "Reason",
            value: &self.reason,
            hint: "It stands in the moderation log, which everybody can read.",
            max: TEXT_LEN_MAX,
            ..Field::default()
        };
        html! {
            form.deed method="post" action=(action) {
                (parts::csrf(visitor))
                (parts::next(next))
                input type="hidden" name="on" value=(if self.on { "yes" } else { "no" });
                @if self.what != What::Appoint { (parts::text_field(reason, errors)) }
                (parts::button(self.verb()))
            }
        }
    }

    /// The act, in the name of this log-in.
    pub(super) fn act(&self, login: LoginId) -> Act {
        let (on, reason) = (self.on, self.reason.clone());
        match self.what {
            What::Hide => Act::Hide { login, post: self.target.clone(), hidden: on, reason },
            What::Disable => {
                Act::Disable { login, name: self.target.clone(), disabled: on, reason }
            }
            What::Appoint => {
                Act::Appoint { by: Some(login), name: self.target.clone(), moderator: on }
            }
        }
    }
}
