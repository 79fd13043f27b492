//! Evenkeel: one address behind which a cluster's machines run people's sessions.
//!
//! The rooms, each using only those below it: [`cli`]; [`web`] and [`proxy`]; [`sessions`] and [`pam`]; [`cluster`],
//! [`launcher`] and [`balancer`]; [`wire`]; [`store`], [`config`] and [`accounts`]; [`domain`] and [`aside`]. ARCHITECTURE.md has
//! the map.

pub mod accounts;
pub mod aside;
pub mod balancer;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod domain;
pub mod launcher;
pub mod pam;
pub mod proxy;
pub mod sessions;
pub mod store;
pub mod web;
pub mod wire;
