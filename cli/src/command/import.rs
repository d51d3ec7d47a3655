//! `gantry import`.

use contract::{Code, Failure};
use importer::import::{Archive, Import};
use importer::source::Location;
use mover::cancel::Cancel;
use mover::progress::Progress;
use mover::target::Options;

use super::http;
use crate::arguments::{self, ContentType, PreallocationMode};
use crate::show;

/// Imports, or explains what importing would do.
///
/// # Errors
/// Whatever stops it.
pub(crate) fn run(arguments: arguments::Import, cancel: &Cancel) -> Result<(), Failure> {
    let (json, explain) = (arguments.json, arguments.explain);
    if arguments.content_type == ContentType::Archive {
        return unpack(arguments, cancel);
    }
    let import = Import {
        location: Location::parse(&arguments.source)?,
        http: http::options(&arguments.http)?,
        target: Options {
            path: arguments.target,
            force: arguments.force,
            preallocation: arguments.preallocation.into(),
            size: arguments.size,
            scratch: arguments.scratch,
            mode: None,
        },
        overhead: arguments.filesystem_overhead,
        disk: arguments.disk,
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

/// Unpacks a tar file.
fn unpack(arguments: arguments::Import, cancel: &Cancel) -> Result<(), Failure> {
    refuse_options_of_disks(&arguments)?;
    let archive = Archive {
        location: Location::parse(&arguments.source)?,
        http: http::options(&arguments.http)?,
        directory: arguments.target,
        force: arguments.force,
        checksum: arguments.checksum,
    };
    let progress = Progress::default();
    let report = show::while_running(&progress, arguments.json, || archive.run(cancel, &progress))?;
    show::archive_report(&report, arguments.json)
}

/// An option that would be ignored is refused.
fn refuse_options_of_disks(arguments: &arguments::Import) -> Result<(), Failure> {
    let given = [
        ("--disk", arguments.disk.is_some()),
        ("--format", arguments.format.is_some()),
        ("--size", arguments.size.is_some()),
        ("--filesystem-overhead", arguments.filesystem_overhead.is_some()),
        ("--preallocation", arguments.preallocation != PreallocationMode::None),
        ("--scratch", arguments.scratch.is_some()),
        ("--explain", arguments.explain),
        ("--rate-limit", arguments.rate_limit.is_some()),
        ("--accept-unknown-length", arguments.accept_unknown_length),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((name, _)) => Err(Failure::new(Code::Usage, format!("{name} is of disks, and an archive holds none"))),
    }
}
