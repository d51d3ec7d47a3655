//! `gantry inspect`.

use contract::{Code, Failure};
use importer::import;
use importer::source::Location;
use mover::cancel::Cancel;
use mover::inspect;
use mover::look::Look;

use super::http;
use crate::arguments::Inspect;
use crate::show;

/// Inspects an image without reading its data.
///
/// # Errors
/// The source cannot be read, or the image is refused.
pub(crate) fn run(arguments: &Inspect, cancel: &Cancel) -> Result<(), Failure> {
    let location = Location::parse(&arguments.source)?;
    if matches!(location, Location::Blank(_)) {
        return Err(Failure::new(Code::Usage, "an empty disk has nothing to inspect"));
    }
    let source = import::open(&location, &http::options(&arguments.http)?, cancel)?;
    let look = Look::at(&*source, arguments.format, true)?;
    let inspection = inspect::inspect(&*source, &look)?;
    show::inspection(&*source, &look, &inspection, arguments.json)
}
