//! Accounts: signing up, logging in and out, passwords.
//!
//! What takes a password takes three turns, each of which waits without a thread: the attempt is counted
//! in the log (so that guessing is as slow on three nodes as on one), the password is hashed or checked
//! by the threads that are there for it, and what comes of that goes into the log as an argon2id string.
//!
//! - `fields`: what names and passwords may be;
//! - `hashing`: the turn in the middle; `proof`: the first two together, for whoever says to be somebody;
//! - `enter`: the last one, after which the browser is logged in;
//! - `signup`, `login`, `logout`, `settings`: the pages, and what their forms do.

mod enter;
mod fields;
mod hashing;
mod login;
mod logout;
mod proof;
mod settings;
mod signup;

pub(in crate::http) use login::{form as login_form, submit as login};
pub(in crate::http) use logout::{everywhere as logout_everywhere, here as logout};
pub(in crate::http) use settings::{password, show as settings};
pub(in crate::http) use signup::{form as signup_form, submit as signup};
