//! The server: HTTPS in, rules, HTTPS out.
//!
//! ```text
//! listen.rs       accept -> TLS (certificate.rs) -> HTTP/1.1
//! router.rs       path -> webhook, health, metrics
//! review.rs       AdmissionReview <-> request and verdict
//! webhook.rs      which rule, after which reading (facts.rs; cluster.rs reads a real cluster)
//! ```

mod certificate;
mod cluster;
mod facts;
mod listen;
mod metrics;
mod review;
mod router;
#[cfg(test)]
mod tests;
mod webhook;

pub use certificate::Certificate;
pub use cluster::Cluster;
pub use facts::{Facts, Objects, Storage, Unread};
pub use listen::serve;
pub use router::{App, router};
pub use webhook::Webhook;
