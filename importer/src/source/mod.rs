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

use contract::Failure;
use mover::cancel::Cancel;
use mover::source::Source;

pub use blank::BlankSource;
pub use file::FileSource;
pub use http::HttpSource;
pub use location::Location;
pub use policy::SourcePolicy;
pub use secret::{Credentials, Secret};
pub use stdin::StdinSource;

/// Opens what `location` names.
///
/// # Errors
/// It cannot be had.
pub fn open(location: &Location, http: &http::Options, cancel: &Cancel) -> Result<Box<dyn Source>, Failure> {
    Ok(match location {
        Location::Http { url, credentials } => {
            let credentials = http.credentials.clone().or_else(|| credentials.clone());
            let options = http::Options { credentials, ..http.clone() };
            Box::new(HttpSource::connect(url.clone(), options, cancel.clone())?)
        }
        Location::File(path) => Box::new(FileSource::open_path(path, cancel.clone())?),
        Location::Stdin => Box::new(StdinSource::new(cancel.clone())?),
        Location::Blank(size) => Box::new(BlankSource::new(*size)),
    })
}
