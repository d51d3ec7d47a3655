//! Results in words and in JSON.

use contract::{ArchiveReport, Checked, Failure, ImportReport, SCHEMA};
use formats::probe::Compression;
use formats::qcow2::Facts;
use importer::import::Explanation;
use mover::container::{Disk, Image};
use mover::inspect::Inspection;
use mover::look::Look;
use serde_json::{Value, json};

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
    }
    report.warnings.iter().for_each(|warning| eprintln!("gantry: warning: {warning}"));
    Ok(())
}

/// Prints what an import would do.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn explanation(found: &Explanation, as_json: bool) -> Result<(), Failure> {
    let Explanation { source, look, plan, inspection, target, room, fetch, write } = found;
    let compression = look.compression.map(Compression::name);
    let mut warnings = source.warnings();
    if let Some(write) = write.filter(|write| write > room) {
        warnings.push(format!("The disk may need {}, and the target can take {}.", bytes(write), bytes(*room)));
    }
    if as_json {
        return super::json(&json!({
            "schema": SCHEMA,
            "source": source.name(),
            "member": source.member(),
            "length": source.len(),
            "access": source.access(),
            "format": look.format.name(),
            "compression": compression,
            "virtualSize": inspection.virtual_size,
            "route": plan.route.name(),
            "because": plan.because,
            "connections": source.parallelism(),
            "fetch": fetch,
            "write": write,
            "target": target.name(),
            "room": room,
            "resumable": source.identity().is_some(),
            "warnings": warnings,
        }));
    }
    let size = |size: Option<u64>| size.map_or("unknown until it is decoded".to_owned(), bytes);
    line(&format!("source      {} ({})", source.name(), source.len().map_or("unknown length".to_owned(), bytes)))?;
    source.access().iter().try_for_each(|access| line(&format!("access      {access}")))?;
    line(&format!(
        "format      {}{}, disk of {}",
        look.format,
        compression.map(|name| format!(" inside {name}")).unwrap_or_default(),
        size(inspection.virtual_size)
    ))?;
    line(&format!("route       {}: {}", plan.route, plan.because))?;
    line(&format!("fetch       {}, connections: {}", size(*fetch), source.parallelism()))?;
    line(&format!("write       {} at most, zeros are left out", size(*write)))?;
    line(&format!("target      {}, can take {}", target.name(), bytes(*room)))?;
    let resumable =
        if source.identity().is_some() { "yes" } else { "no: the source gives no entity tag or date to know it by" };
    line(&format!("resumable   {resumable}"))?;
    warnings.iter().try_for_each(|warning| line(&format!("warning     {warning}")))
}

/// Prints the disks of an archive that holds several.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn disks(archive: &str, disks: &[Disk], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let disks: Vec<Value> =
            disks.iter().map(|disk| json!({"member": disk.name, "fileLength": disk.size})).collect();
        return super::json(&json!({"schema": SCHEMA, "source": archive, "disks": disks}));
    }
    line(&format!("source        {archive}"))?;
    disks.iter().try_for_each(|disk| {
        let size = disk.size.map_or("unknown length".to_owned(), |size| format!("{} ({size} bytes)", bytes(size)));
        line(&format!("disk          {}, {size}", disk.name))
    })?;
    line("choose one with --disk NAME")
}

/// Prints what an image is.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn inspection(image: &Image, look: &Look, found: &Inspection, as_json: bool) -> Result<(), Failure> {
    let compression = look.compression.map(Compression::name);
    let (source, risks) = (&*image.source, risks(image, found));
    if as_json {
        return super::json(&json!({
            "schema": SCHEMA,
            "source": source.name(),
            "member": source.member(),
            "format": look.format.name(),
            "compression": compression,
            "fileLength": source.len(),
            "virtualSize": found.virtual_size,
            "allocated": found.allocation.map(|allocation| allocation.guest),
            "stored": found.allocation.map(|allocation| allocation.host),
            "compressed": found.allocation.map(|allocation| allocation.encoded),
            "qcow2": found.qcow2.as_ref().map(qcow2),
            "risks": risks,
        }));
    }
    line(&format!("source        {}", source.name()))?;
    line(&format!(
        "format        {}{}",
        look.format,
        compression.map(|name| format!(" inside {name}")).unwrap_or_default()
    ))?;
    let size = |size: Option<u64>| size.map_or("unknown".to_owned(), |size| format!("{} ({size} bytes)", bytes(size)));
    line(&format!("file length   {}", size(source.len())))?;
    line(&format!("virtual size  {}", size(found.virtual_size)))?;
    if let Some(allocation) = found.allocation {
        line(&format!("allocated     {}", size(Some(allocation.guest))))?;
        line(&format!("stored in     {}", size(Some(allocation.host))))?;
        if allocation.encoded > 0 {
            line(&format!("compressed    {}", size(Some(allocation.encoded))))?;
        }
    }
    if let Some(facts) = &found.qcow2 {
        features(facts).iter().try_for_each(|feature| line(&format!("feature       {feature}")))?;
    }
    risks.iter().try_for_each(|risk| line(&format!("risk          {risk}")))
}

fn qcow2(facts: &Facts) -> Value {
    json!({
        "version": facts.version,
        "clusterSize": facts.cluster_size,
        "compressionType": compression_type(facts),
        "extendedL2": facts.extended_l2,
        "lazyRefcounts": facts.lazy_refcounts,
        "dirty": facts.dirty,
        "corrupt": facts.corrupt,
        "refcountBits": facts.refcount_bits,
        "snapshots": facts.snapshots,
        "bitmaps": facts.bitmaps,
    })
}

fn compression_type(facts: &Facts) -> &'static str {
    match facts.compression {
        formats::ClusterCodec::Deflate | formats::ClusterCodec::Zlib { .. } => "zlib",
        formats::ClusterCodec::Zstd => "zstd",
    }
}

fn features(facts: &Facts) -> Vec<String> {
    let mut features = vec![
        format!("qcow2 version {}, clusters of {}", facts.version, bytes(facts.cluster_size)),
        format!("compression type {}, refcounts of {} bits", compression_type(facts), facts.refcount_bits),
    ];
    let named = [(facts.extended_l2, "extended L2 entries"), (facts.lazy_refcounts, "lazy refcounts")];
    features.extend(named.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| (*name).to_owned()));
    features
}

/// What a careful user should know before importing.
fn risks(image: &Image, found: &Inspection) -> Vec<String> {
    let mut risks = image.source.warnings();
    if image.others_may_follow {
        risks
            .push("The archive was read only as far as this disk; an import refuses it if another follows.".to_owned());
    }
    if let Some(facts) = &found.qcow2 {
        if facts.snapshots > 0 {
            risks
                .push(format!("{} internal snapshots are not imported; the disk's current state is.", facts.snapshots));
        }
        if facts.bitmaps > 0 {
            risks.push(format!("{} dirty bitmaps are not imported.", facts.bitmaps));
        }
        if facts.dirty {
            risks.push("The image was not closed cleanly; its reference counts are not used.".to_owned());
        }
        if facts.corrupt {
            risks.push("The image is marked corrupt; check it with `qemu-img check`.".to_owned());
        }
    }
    risks
}
