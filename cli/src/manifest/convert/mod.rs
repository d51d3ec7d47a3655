//! From a DataVolume to what is to be done. Pure.
//!
//! Sizes are CDI's (cdi.md §4.5): `spec.pvc` asks for a volume, of which the file system keeps a share; `spec.storage` asks
//! for a disk, and a volume would be made large enough for it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use contract::{Code, Failure, quantity};
use importer::source::http::{Authorities, Header, Options as HttpOptions};
use importer::source::{Credentials, Location, Secret};
use mover::checksum::Checksum;
use mover::size::Overhead;
use mover::target::Preallocation;

use super::Volume;
use super::data_volume::{Claim, Content, Http, Source, Spec, VolumeMode};
use super::documents::Documents;
use crate::arguments::ContentType;
use crate::request::Request;

/// The share that CDI keeps for a file system where nobody says another.
const OVERHEAD: &str = "0.06";
/// Name of the disk in a volume's file system.
const DISK: &str = "disk.img";

/// Says what the DataVolume of `documents` asks for. `http` and `overhead` are the command line's.
///
/// # Errors
/// Code `usage`, `target-unsupported` or `target-too-small`: what cannot be done here, by the field's path.
pub(super) fn request(
    documents: &Documents,
    volume: Volume,
    http: HttpOptions,
    overhead: Option<Overhead>,
) -> Result<Request, Failure> {
    let spec = &documents.volume.spec;
    refuse_fields_of_clusters(spec)?;
    let claim = Asked::of(spec)?;
    let http_source = http_source(spec)?;
    let is_archive = spec.content_type == Content::Archive;
    if is_archive && http_source.is_none() {
        return Err(refused("spec.source.blank", "an archive cannot come from nothing"));
    }
    let target = if is_archive { directory(&claim, volume)? } else { disk(&claim, volume)? };
    let size = claim.size_of_file(overhead)?;
    let mut unheeded = documents.volume.of_clusters();
    if is_archive {
        unheeded.push(format!("{}.resources.requests.storage", claim.path));
        unheeded.extend(spec.preallocation.map(|_| "spec.preallocation".to_owned()));
    }
    let blank_size = target.device.unwrap_or(size);
    Ok(Request {
        location: http_source.map_or(Ok(Location::Blank(blank_size)), location)?,
        http: http_source.map_or(Ok(http.clone()), |source| options(source, documents, http))?,
        content_type: if is_archive { ContentType::Archive } else { ContentType::Kubevirt },
        size: (!is_archive && target.device.is_none()).then_some(size),
        overhead: None,
        preallocation: match (spec.preallocation, target.device.is_some() && http_source.is_none()) {
            _ if is_archive => Preallocation::None,
            (None | Some(false), _) => Preallocation::None,
            (Some(true), false) => Preallocation::Falloc,
            // All of an empty device is written, as CDI does it.
            (Some(true), true) => Preallocation::Full,
        },
        checksum: http_source.map_or(Ok(None), checksum)?,
        listed: None,
        warnings: warning(&unheeded).into_iter().collect(),
        target: target.path,
    })
}

fn refused(path: &str, why: &str) -> Failure {
    Failure::new(Code::Usage, format!("{path}: {why}")).remedy("correct the manifest")
}

fn warning(unheeded: &[String]) -> Option<String> {
    let fields = unheeded.join(", ");
    (!unheeded.is_empty())
        .then(|| format!("These fields of the manifest matter only in a cluster and do not apply here: {fields}."))
}

/// What asks for something that one machine does not have.
fn refuse_fields_of_clusters(spec: &Spec) -> Result<(), Failure> {
    let claims = [("spec.pvc", &spec.pvc), ("spec.storage", &spec.storage)];
    let claims = claims.iter().filter_map(|(path, claim)| Some((*path, claim.as_ref()?)));
    let populated = claims.clone().find(|(_, claim)| claim.data_source.is_some() || claim.data_source_ref.is_some());
    let fields = [
        ("spec.sourceRef", spec.source_ref.is_some(), "a DataSource is an object of a cluster"),
        (
            "spec.checkpoints",
            spec.checkpoints.is_some(),
            "imports in stages are of vddk and imageio, which are not supported",
        ),
        (
            "spec.finalCheckpoint",
            spec.final_checkpoint.is_some(),
            "imports in stages are of vddk and imageio, which are not supported",
        ),
    ];
    if let Some((path, _, why)) = fields.into_iter().find(|(_, is_present, _)| *is_present) {
        return Err(refused(path, why));
    }
    match populated {
        Some((path, _)) => {
            Err(refused(&format!("{path}.dataSource"), "a volume's data source is an object of a cluster"))
        }
        None => Ok(()),
    }
}

/// The http source, or `None` for an empty disk.
fn http_source(spec: &Spec) -> Result<Option<&Http>, Failure> {
    let source = spec.source.as_ref().ok_or_else(|| refused("spec.source", "it is missing"))?;
    let Source { http, blank, s3, gcs, registry, pvc, snapshot, upload, imageio, vddk } = source;
    let others = [
        ("s3", s3.is_some(), "not supported by this version; use an http source with a signed address"),
        ("gcs", gcs.is_some(), "not supported by this version; use an http source with a signed address"),
        ("registry", registry.is_some(), "not supported by this version; use an http source"),
        ("imageio", imageio.is_some(), "not supported by this version; use an http source"),
        ("vddk", vddk.is_some(), "not supported by this version; use an http source"),
        ("pvc", pvc.is_some(), "a claim is an object of a cluster; import from the disk's path"),
        ("snapshot", snapshot.is_some(), "a snapshot is an object of a cluster"),
        ("upload", upload.is_some(), "there is no upload server here; import from the file's path"),
    ];
    if let Some((name, _, why)) = others.into_iter().find(|(_, is_present, _)| *is_present) {
        return Err(refused(&format!("spec.source.{name}"), why));
    }
    match (http, blank) {
        (Some(_), Some(_)) | (None, None) => Err(refused("spec.source", "it must have exactly one source")),
        (http, _) => Ok(http.as_ref()),
    }
}

/// The claim that is asked for.
struct Asked<'a> {
    path: &'static str,
    claim: &'a Claim,
    /// Whether it is `spec.pvc`, whose size is the volume's.
    is_pvc: bool,
    bytes: u64,
}

impl<'a> Asked<'a> {
    fn of(spec: &'a Spec) -> Result<Self, Failure> {
        let (path, claim, is_pvc) = match (&spec.pvc, &spec.storage) {
            (Some(claim), None) => ("spec.pvc", claim, true),
            (None, Some(claim)) => ("spec.storage", claim, false),
            _ => return Err(refused("spec", "it must have exactly one of pvc and storage")),
        };
        let field = format!("{path}.resources.requests.storage");
        let requests = claim.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let storage = requests.and_then(|requests| requests.storage.as_ref());
        let storage = storage.ok_or_else(|| refused(&field, "it is missing"))?;
        let bytes = quantity::parse(&storage.text()).map_err(|failure| refused(&field, failure.what()))?;
        if bytes == 0 {
            return Err(refused(&field, "a disk of no bytes is none"));
        }
        Ok(Self { path, claim, is_pvc, bytes })
    }

    /// The mode, if it is decided: a claim's default is `Filesystem`, a storage's is its profile's.
    fn mode(&self) -> Option<VolumeMode> {
        self.claim.volume_mode.or(self.is_pvc.then_some(VolumeMode::Filesystem))
    }

    /// Bytes of the disk's file on a volume as it is asked for.
    fn size_of_file(&self, overhead: Option<Overhead>) -> Result<u64, Failure> {
        if !self.is_pvc && overhead.is_some() {
            let what = "--filesystem-overhead does not apply to spec.storage, whose size is the disk's own";
            return Err(Failure::new(Code::Usage, what).remedy("leave the option out"));
        }
        let overhead = if self.is_pvc { overhead.map_or_else(|| OVERHEAD.parse(), Ok)? } else { Overhead::default() };
        let volume = if self.is_pvc { self.bytes } else { overhead.required(self.bytes) };
        Ok(overhead.usable(volume))
    }
}

struct Target {
    path: PathBuf,
    /// Size of a device.
    device: Option<u64>,
}

/// Where an archive goes.
fn directory(claim: &Asked<'_>, volume: Volume) -> Result<Target, Failure> {
    if claim.mode() == Some(VolumeMode::Block) {
        let path = format!("{}.volumeMode", claim.path);
        return Err(refused(&path, "an archive is unpacked into a file system, and the volume is a block device"));
    }
    match volume {
        Volume::Directory(path) | Volume::File(path) | Volume::Device(path, _) => Ok(Target { path, device: None }),
        Volume::Unnamed => Err(Failure::new(Code::Usage, "the DataVolume is an archive, and no target is named")
            .remedy("name the directory to unpack into: gantry import --manifest FILE DIRECTORY")),
    }
}

/// Where a disk goes: the given device, or the file that a pod would make.
fn disk(claim: &Asked<'_>, volume: Volume) -> Result<Target, Failure> {
    let unsupported = |why: &str, remedy: &str| {
        Err(Failure::new(Code::TargetUnsupported, format!("{}.volumeMode: {why}", claim.path)).remedy(remedy))
    };
    match (volume, claim.mode()) {
        (Volume::Device(..), Some(VolumeMode::Filesystem)) => unsupported(
            "the volume has a file system, and the target is a block device",
            "set volumeMode to Block, or name a file",
        ),
        (Volume::Device(path, size), _) if size < claim.bytes => {
            let what = format!("the device has {size} bytes, and {} asks for {}", claim.path, claim.bytes);
            Err(Failure::new(Code::TargetTooSmall, what).at(path.display().to_string()))
        }
        (Volume::Device(path, size), _) => Ok(Target { path, device: Some(size) }),
        (_, Some(VolumeMode::Block)) => unsupported(
            "the volume is a block device, and the target is none",
            "name a block device, or set volumeMode to Filesystem",
        ),
        (Volume::Directory(path), _) => Ok(Target { path: path.join(DISK), device: None }),
        (Volume::File(path), _) => Ok(Target { path, device: None }),
        (Volume::Unnamed, _) => Ok(Target { path: Path::new(DISK).to_owned(), device: None }),
    }
}

/// Empty text counts as none, as for CDI.
fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn location(source: &Http) -> Result<Location, Failure> {
    let location = Location::parse(&source.url).map_err(|failure| refused("spec.source.http.url", failure.what()))?;
    match location {
        Location::Http { .. } => Ok(location),
        _ => Err(refused("spec.source.http.url", "it is none of http:// and https://")),
    }
}

fn checksum(source: &Http) -> Result<Option<Checksum>, Failure> {
    let checksum = given(&source.checksum).map(Checksum::from_str).transpose();
    checksum.map_err(|failure| refused("spec.source.http.checksum", failure.what()))
}

/// The command line's options with what the source adds.
fn options(source: &Http, documents: &Documents, mut http: HttpOptions) -> Result<HttpOptions, Failure> {
    http.insecure |= source.insecure_skip_verify == Some(true);
    if let Some(name) = given(&source.secret_ref) {
        if http.credentials.is_some() {
            return Err(refused("spec.source.http.secretRef", "--user names a user too").remedy("give one of them"));
        }
        http.credentials = credentials(name, documents)?;
    }
    if let Some(name) = given(&source.cert_config_map) {
        let data = documents.data("ConfigMap", name, "spec.source.http.certConfigMap")?;
        let authorities = data.iter().map(|(key, pem)| Authorities { name: format!("{name}/{key}"), pem: pem.clone() });
        http.authorities.extend(authorities);
    }
    for (line, number) in source.extra_headers.iter().zip(0..) {
        let path = format!("spec.source.http.extraHeaders[{number}]");
        http.headers.push(Header::parse(line).map_err(|failure| refused(&path, failure.what()))?);
    }
    for (name, number) in source.secret_extra_headers.iter().zip(0..) {
        let path = format!("spec.source.http.secretExtraHeaders[{number}]");
        for (key, line) in documents.data("Secret", name, &path)? {
            let line = text(line, name, key)?;
            let header = Header::parse_secret(line.trim_end_matches(['\r', '\n']));
            http.headers.push(header.map_err(|failure| refused(&path, failure.what()))?);
        }
    }
    Ok(http)
}

/// User and password, by CDI's names; none if the user is empty.
fn credentials(name: &str, documents: &Documents) -> Result<Option<Credentials>, Failure> {
    let path = "spec.source.http.secretRef";
    let data = documents.data("Secret", name, path)?;
    let value = |key: &str| match data.get(key) {
        Some(bytes) => text(bytes, name, key),
        None => Err(refused(path, &format!("the Secret {name:?} has no {key}"))),
    };
    let (user, password) = (value("accessKeyId")?, value("secretKey")?);
    Ok(given(user).map(|user| Credentials { user: Secret::new(user), password: Secret::new(password) }))
}

fn text<'a>(bytes: &'a [u8], name: &str, key: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|_| Failure::new(Code::Usage, format!("the value of {key:?} of the Secret {name:?} is no text")))
}

#[cfg(test)]
mod tests;
