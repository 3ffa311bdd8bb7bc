//! The HTTP surface: everything that clients and operators ask a node.
//!
//! A request's way: a front ([`front`]) owns the sockets and gives its bytes to [`wire`], which cuts
//! them into requests. [`service::Service`] finds the handler in one table ([`routes`]) and either answers at once,
//! on the same thread, or parks the request: it says what to ask the raft thread and how to go on when
//! the completion comes. The answer ([`reply`]) goes back through [`wire`] as bytes. Everything but
//! the fronts is pure but for the state it reads through [`Client`](crate::node::Client).
//!
//! Invariants: a request holds no thread while it waits; nothing here names the consensus core, the
//! transport or the log; a handler never sees a socket, and a front never sees a path.

mod admin;
mod backup;
mod board;
mod consul;
pub mod front;
mod kv;
mod links;
mod once;
mod openapi;
pub mod origin;
mod prometheus;
mod query;
mod read;
pub mod reply;
pub mod routes;
mod rows;
pub mod service;
pub mod step;
pub mod stream;
pub mod upload;
pub mod wire;
pub mod work;

pub use routes::{ROUTES, Route};
pub use service::{Options, Service, Step};
