//! The HTTP source against nginx, tinyproxy and a server that misbehaves on purpose.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod lost;
mod nginx;
mod proxies;
mod tls;
