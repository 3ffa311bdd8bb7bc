//! Tests of the core as a whole: golden scripts, claims of the paper, random walks.
//!
//! All of them drive a [`cluster::Cluster`] of real nodes with simulated disks, network and time,
//! and all are watched by the same [`checker::Checker`], which knows nothing of how the core works.

#![allow(clippy::unwrap_used)]

mod checker;
mod cluster;
mod command;
mod disk;
mod paper;
mod random;
mod script;
mod show;
