//! The link board: pages under `/b`, whole without a line of JavaScript.

pub(super) mod accounts;
pub(super) mod assets;
pub(super) mod comments;
pub(super) mod lists;
pub(super) mod moderation;
mod normal;
pub(super) mod operator;
pub(super) mod posts;
