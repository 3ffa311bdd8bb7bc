//! What pages look like.
//!
//! - `layout`: the frame, with all that a browser must be told; `message`: pages that say one thing;
//! - `parts`: fields, buttons, lists; `time`: ages and dates.

pub(in crate::http::board) mod layout;
pub(in crate::http::board) mod message;
pub(in crate::http::board) mod parts;
pub(in crate::http::board) mod time;
