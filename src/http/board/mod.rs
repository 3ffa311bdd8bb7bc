//! The link board: pages under `/b`, whole without a line of JavaScript.
//!
//! A page is a function of a view of the state and of a visitor. What all of them share:
//!
//! - `visit`: from a request to its page, when the state has come to what its browser has seen;
//!   `visitor`: who that is; `cookies`: what the browser keeps; `paths`: where it may be sent;
//! - `form`, `csrf`: what was typed, and whether it comes from a page of ours;
//! - `act`: from there to the log, and back to a page;
//! - `normal`: when two URLs are one page; `typed`: what titles and comments may be; `now`: what time it is;
//! - `confirm`: what is missing here may be elsewhere; `cursor`: where a page of a list begins;
//! - `feed`, `json`: lists for programs, with the absolute URLs of `site`;
//! - `views`: the frame around each page, and its parts; `assets`: its style and icon.

pub(super) mod accounts;
mod act;
pub(super) mod assets;
pub(super) mod comments;
mod confirm;
mod cookies;
mod csrf;
mod cursor;
mod feed;
mod form;
mod json;
pub(super) mod lists;
pub(super) mod moderation;
mod normal;
mod now;
pub(super) mod operator;
mod paths;
pub(super) mod posts;
mod site;
mod typed;
mod views;
mod visit;
mod visitor;

pub(super) use paths::is_page;
pub(super) use views::message::refusal;
