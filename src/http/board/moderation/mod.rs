//! What moderators do, and the log of it.
//!
//! - `deed`: something that a moderator may do, as a form and as an act; `tools`: the forms that stand on
//!   the pages of posts and users; `acts`: what comes of them;
//! - `log`: what was done, for everybody.

mod acts;
mod deed;
mod log;
mod tools;

pub(in crate::http) use acts::{appoint, disable, hide};
pub(in crate::http) use log::{log, log_json, log_rss};
pub(in crate::http::board) use tools::{post_tools, user_tools};
