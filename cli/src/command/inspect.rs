//! `gantry inspect`.

use contract::{Code, Failure};
use importer::import;
use importer::source::Location;
use mover::cancel::Cancel;
use mover::container::{self, Entered, Wanted};
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
    let (disk, format) = (arguments.disk.as_deref(), arguments.format);
    let image = match container::enter(source, &Wanted { disk, format, decompress: true, algorithm: None })? {
        Entered::Image(image) => image,
        Entered::Several { archive, disks } => return show::disks(&archive, &disks, arguments.json),
    };
    let look = Look::at(&*image.source, format, true)?;
    let inspection = inspect::inspect(&*image.source, &look)?;
    show::inspection(&image, &look, &inspection, arguments.json)
}
