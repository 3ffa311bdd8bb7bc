//! The small forms by which moderators act, for the pages of what they act on.
//!
//! Each is a form of its own with the reason beside its button, so that it works without a script and
//! with the keyboard alone. Who is no moderator sees nothing of it; that they can do nothing either is
//! seen to where acts are applied.

use maud::{Markup, html};

use super::super::form::Errors;
use super::super::visitor::Visitor;
use super::deed::{Deed, What};
use crate::state::board::{Post, Standing, User};

/// What a moderator can do to a post: hide it, or show it again. Nothing for others, and nothing for a
/// post that its author has deleted.
pub(in crate::http::board) fn post_tools(visitor: &Visitor, post: &Post) -> Markup {
    let on = match post.standing {
        Standing::Shown => true,
        Standing::Hidden => false,
        Standing::Deleted => return html! {},
    };
    tools(visitor, &[Deed::new(What::Hide, &post.key, on)])
}

/// What a moderator can do to a user: disable or enable it, and make it a moderator or one no longer.
/// Nothing for others.
pub(in crate::http::board) fn user_tools(visitor: &Visitor, user: &User) -> Markup {
    let disable = Deed::new(What::Disable, &user.name, !user.disabled);
    let appoint = Deed::new(What::Appoint, &user.name, !user.moderator);
    tools(visitor, &[disable, appoint])
}

fn tools(visitor: &Visitor, deeds: &[Deed]) -> Markup {
    if !visitor.is_moderator() {
        return html! {};
    }
    html! {
        section.tools aria-label="For moderators" {
            p.meta { "For moderators" }
            @for deed in deeds { (deed.form(visitor, &visitor.here, &Errors::none())) }
        }
    }
}
