//! `gantry-csi`, the CSI driver for Gantry's local volumes: what a storage class with `provisioner: csi.gantry.dev` talks to.
//!
//! ```text
//! external-provisioner, -snapshotter, -resizer       kubelet              Prometheus
//!                 \        unix socket                 /  \ registration      | HTTP
//!                  service.rs: path -> method, log, metrics   registration.rs  http.rs
//!                                |
//!                  driver/: one function per call: arguments checked, library called, errors mapped
//!                                |
//!                  the crate `storage`
//! ```
//! One process on a node is controller and node service for the volumes on that node.

pub mod driver;
mod http;
pub mod metrics;
mod registration;
mod run;
mod service;
mod settings;
mod socket;
pub mod spec;

pub use run::{Failure, run};
pub use settings::{LogFormat, Settings};
