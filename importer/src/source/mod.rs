//! Where images come from: web servers, files, devices, standard input.
//!
//! ```text
//! what the user typed -> Location -+- Http  -> http::HttpSource   ranges or one body, retried
//!                                  +- File  -> FileSource         ranges
//!                                  +- Stdin -> StdinSource        one body
//!                                  +- Blank -> BlankSource        no bytes
//! ```
//!
//! A source knows nothing of formats and targets: a web server's lives in a process of its own that has the network and the
//! credentials but no parser (`docs/security.md`).

mod blank;
pub mod file;
pub mod http;
pub mod location;
pub mod policy;
pub mod secret;
pub mod stdin;

pub use blank::BlankSource;
pub use file::FileSource;
pub use http::HttpSource;
pub use location::Location;
pub use policy::SourcePolicy;
pub use secret::{Credentials, Secret};
pub use stdin::StdinSource;
