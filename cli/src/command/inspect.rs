//! `gantry inspect`.

use contract::Failure;
use importer::import::{self, Inspected};
use importer::source::Location;
use mover::cancel::Cancel;

use super::http;
use crate::arguments::Inspect;
use crate::show;

/// Inspects an image without reading its data.
///
/// # Errors
/// The source cannot be read, or the image is refused.
pub(crate) fn run(arguments: &Inspect, cancel: &Cancel) -> Result<(), Failure> {
    let inspect = import::Inspect {
        location: Location::parse(&arguments.source)?,
        http: http::options(&arguments.http)?,
        disk: arguments.disk.clone(),
        format: arguments.format,
    };
    match inspect.run(cancel)? {
        Inspected::Image(inspection) => show::inspection(&inspection, arguments.json),
        Inspected::Several(disks) => show::disks(&disks, arguments.json),
    }
}
