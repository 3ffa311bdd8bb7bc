//! stub
mod bucket;
pub mod fetch;
pub mod message;
pub mod serve;
#[cfg(test)]
mod tests;
/// x
pub const INBOX_MAX: usize = 32;
