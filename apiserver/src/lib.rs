//! `cdi-apiserver`: the webhooks that the API server of Kubernetes asks before objects are created, changed or deleted.
//!
//! ```text
//! API server --https--> server/: AdmissionReview in, verdict out; logs, metrics, certificates
//!                          |  reads what a rule needs (caches, single reads) through the trait Facts
//!                       admission/: the rules, pure
//!                          |
//!                       api::render: what a claim becomes, pure; the controller uses it too
//! ```

pub mod admission;
mod run;
pub mod server;
mod settings;

pub use run::{Failure, run};
pub use settings::Settings;
