//! Results in words and in JSON.

use contract::{ArchiveReport, Checked, Disks, Explanation, Failure, ImportReport, Inspection, Qcow2, Word};

use super::{bytes, line};

/// Prints what an import did.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn report(report: &ImportReport, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return super::json(report);
    }
    let rate = bytes((report.fetched as f64 / report.seconds.max(0.001)) as u64);
    line(&format!("{}: {} disk in {:.2} s", report.target, bytes(report.virtual_size), report.seconds))?;
    line(&format!(
        "  fetched {} ({rate}/s), wrote {}, {} route, bottleneck: {}",
        bytes(report.fetched),
        bytes(report.written),
        report.route,
        report.bottleneck
    ))?;
    if report.resumed > 0 {
        line(&format!("  attempt {}: {} were there already", report.attempt, bytes(report.resumed)))?;
    }
    if let Some(member) = &report.member {
        line(&format!("  disk in the archive: {member}"))?;
    }
    if let Some(checksum) = &report.checksum {
        let of = match checksum.matched {
            Checked::File => "the file as downloaded",
            Checked::Decompressed => "the decompressed stream",
            Checked::Member => "the disk in the archive",
            Checked::Disk => "the raw disk",
        };
        line(&format!("  checksum matches {of}: {}", checksum.expected))?;
        checksum.from.iter().try_for_each(|from| line(&format!("    as in {from}")))?;
    }
    for warning in &report.warnings {
        eprintln!("gantry: warning: {warning}");
    }
    line(&format!("  {}", report.fingerprint))
}

/// Prints what was unpacked.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn archive_report(report: &ArchiveReport, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return super::json(report);
    }
    let ArchiveReport { target, members, seconds, .. } = report;
    line(&format!("{target}: {members} members, {} in {seconds:.2} s", bytes(report.bytes)))?;
    if let Some(checksum) = &report.checksum {
        line(&format!("  checksum matches: {}", checksum.expected))?;
        checksum.from.iter().try_for_each(|from| line(&format!("    as in {from}")))?;
    }
    report.warnings.iter().for_each(|warning| eprintln!("gantry: warning: {warning}"));
    Ok(())
}

/// Prints what an import would do.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn explanation(found: &Explanation, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return super::json(found);
    }
    let size = |size: Option<u64>| size.map_or("unknown until it is decoded".to_owned(), bytes);
    line(&format!("source      {} ({})", found.source, found.length.map_or("unknown length".to_owned(), bytes)))?;
    found.access.iter().try_for_each(|access| line(&format!("access      {access}")))?;
    line(&format!(
        "format      {}, disk of {}",
        format(&found.format, found.compression.as_ref()),
        size(found.virtual_size)
    ))?;
    line(&format!("route       {}: {}", found.route, found.because))?;
    line(&format!("fetch       {}, connections: {}", size(found.fetch), found.connections))?;
    line(&format!("write       {} at most, zeros are left out", size(found.write)))?;
    line(&format!("target      {}, can take {}", found.target, bytes(found.room)))?;
    let resumable = if found.resumable { "yes" } else { "no: the source gives no entity tag or date to know it by" };
    line(&format!("resumable   {resumable}"))?;
    found
        .checksum
        .iter()
        .try_for_each(|found| line(&format!("checksum    {}, as in {}", found.expected, found.from)))?;
    found.warnings.iter().try_for_each(|warning| line(&format!("warning     {warning}")))
}

/// Prints the disks of an archive that holds several.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn disks(found: &Disks, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return super::json(found);
    }
    line(&format!("source        {}", found.source))?;
    found.disks.iter().try_for_each(|disk| {
        let length =
            disk.file_length.map_or("unknown length".to_owned(), |size| format!("{} ({size} bytes)", bytes(size)));
        line(&format!("disk          {}, {length}", disk.member))
    })?;
    line("choose one with --disk NAME")
}

/// Prints what an image is.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn inspection(found: &Inspection, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return super::json(found);
    }
    let size = |size: Option<u64>| size.map_or("unknown".to_owned(), |size| format!("{} ({size} bytes)", bytes(size)));
    line(&format!("source        {}", found.source))?;
    line(&format!("format        {}", format(&found.format, found.compression.as_ref())))?;
    line(&format!("file length   {}", size(found.file_length)))?;
    line(&format!("virtual size  {}", size(found.virtual_size)))?;
    for (name, bytes) in
        [("allocated ", found.allocated), ("stored in ", found.stored), ("compressed", found.compressed)]
    {
        if bytes.is_some_and(|bytes| bytes > 0 || name != "compressed") {
            line(&format!("{name}    {}", size(bytes)))?;
        }
    }
    let features = found.qcow2.as_ref().map(features).unwrap_or_default();
    features.iter().try_for_each(|feature| line(&format!("feature       {feature}")))?;
    found.risks.iter().try_for_each(|risk| line(&format!("risk          {risk}")))
}

fn format(format: &str, compression: Option<&Word>) -> String {
    compression.map_or_else(|| format.to_owned(), |compression| format!("{format} inside {compression}"))
}

fn features(facts: &Qcow2) -> Vec<String> {
    let mut features = vec![
        format!("qcow2 version {}, clusters of {}", facts.version, bytes(facts.cluster_size)),
        format!("compression type {}, refcounts of {} bits", facts.compression_type, facts.refcount_bits),
    ];
    let named = [(facts.extended_l2, "extended L2 entries"), (facts.lazy_refcounts, "lazy refcounts")];
    features.extend(named.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| (*name).to_owned()));
    features
}
