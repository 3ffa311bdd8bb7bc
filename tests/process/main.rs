//! Real binaries with real files and sockets, on ports that the system chooses.

mod cluster;
mod garbage;
mod harness;
mod import;
mod one_node;
mod refusals;
mod rolling;
