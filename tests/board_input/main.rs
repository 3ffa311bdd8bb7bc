//! What bad input gets from the board: nothing that a user typed becomes markup, on no page and in no
//! feed, and nothing that was typed is lost when it will not do.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../board_support/api.rs"]
mod board_api;
#[path = "../board_support/mod.rs"]
mod board_support;
#[macro_use]
#[path = "../http_support/mod.rs"]
mod http_support;

mod forms;
mod hostile;
mod limits;
mod pages;

use board_support::Browser;
use http_support::Api;

/// A browser at an address of its own, as far as limits are concerned.
fn browser_at(address: &str) -> Browser {
    Browser { headers: vec![("X-Forwarded-For", address.to_owned())], ..Browser::default() }
}

/// Somebody who is logged in.
fn user(api: &Api, name: &str) -> Browser {
    let mut browser = browser_at(&format!("192.0.2.{}", name.len()));
    browser.sign_up(api, name);
    browser
}
