//! The server: HTTPS in, rules, HTTPS out.
//!
//! ```text
//! reconcile       accept -> TLS (certificate.rs) -> HTTP/1.1
//! router.rs       path -> webhook, health, metrics
//! review.rs       AdmissionReview <-> request and verdict
//! webhook.rs      which rule, after which reading (facts.rs; cluster.rs reads a real cluster)
//! ```

mod certificate;
mod cluster;
mod facts;
mod metrics;
mod review;
mod router;
#[cfg(test)]
mod tests;
mod webhook;

pub use certificate::Certificate;
pub use cluster::Cluster;
pub use facts::{Facts, Objects, Storage, Unread};
pub use reconcile::serve;
pub use router::{App, router};
pub use webhook::Webhook;
