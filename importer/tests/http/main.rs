//! The HTTP source against nginx, tinyproxy and a server that misbehaves on purpose.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what a test's support cannot do ends the test")]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod lost;
mod nginx;
mod proxies;
mod tls;
