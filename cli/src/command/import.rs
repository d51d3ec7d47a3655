//! `gantry import`.

use contract::Failure;
use importer::import::Import;
use importer::source::Location;
use mover::cancel::Cancel;
use mover::progress::Progress;
use mover::target::Options;

use super::http;
use crate::arguments;
use crate::show;

/// Imports, or explains what importing would do.
///
/// # Errors
/// Whatever stops it.
pub(crate) fn run(arguments: arguments::Import, cancel: &Cancel) -> Result<(), Failure> {
    let (json, explain) = (arguments.json, arguments.explain);
    let import = Import {
        location: Location::parse(&arguments.source)?,
        http: http::options(&arguments.http)?,
        target: Options {
            path: arguments.target,
            force: arguments.force,
            preallocation: arguments.preallocation.into(),
            size: arguments.size,
            mode: None,
        },
        overhead: arguments.filesystem_overhead,
        format: arguments.format,
        decompress: !arguments.no_decompress,
        checksum: arguments.checksum,
        accept_unknown_end: arguments.accept_unknown_length,
        rate: arguments.rate_limit,
    };
    if explain {
        return show::explanation(&import.explain(cancel)?, json);
    }
    let progress = Progress::default();
    let report = show::while_running(&progress, json, || import.run(cancel, &progress))?;
    show::report(&report, json)
}
