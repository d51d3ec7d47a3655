//! The rules of import sources: those of DataVolumes and of VolumeImportSources are the same.

use api::cdi::{
    ContentType, DataVolumeSource, GcsSource, HttpSource, ImageIoSource, ImportSource, PvcSource, RegistrySource,
    S3Source, SnapshotSource, VddkSource,
};

use super::Cause;

/// One source of either kind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    Http(&'a HttpSource),
    S3(&'a S3Source),
    Gcs(&'a GcsSource),
    Registry(&'a RegistrySource),
    Pvc(&'a PvcSource),
    Snapshot(&'a SnapshotSource),
    Upload,
    Blank,
    Imageio(&'a ImageIoSource),
    Vddk(&'a VddkSource),
}

impl<'a> Source<'a> {
    /// All that a DataVolume names.
    pub(super) fn of_data_volume(source: &'a DataVolumeSource) -> Vec<Self> {
        let all = [
            source.http.as_ref().map(Self::Http),
            source.s3.as_ref().map(Self::S3),
            source.gcs.as_ref().map(Self::Gcs),
            source.registry.as_ref().map(Self::Registry),
            source.pvc.as_ref().map(Self::Pvc),
            source.snapshot.as_ref().map(Self::Snapshot),
            source.upload.as_ref().map(|_| Self::Upload),
            source.blank.as_ref().map(|_| Self::Blank),
            source.imageio.as_ref().map(Self::Imageio),
            source.vddk.as_ref().map(Self::Vddk),
        ];
        all.into_iter().flatten().collect()
    }

    /// All that a VolumeImportSource names.
    pub(super) fn of_import(source: &'a ImportSource) -> Vec<Self> {
        let all = [
            source.http.as_ref().map(Self::Http),
            source.s3.as_ref().map(Self::S3),
            source.gcs.as_ref().map(Self::Gcs),
            source.registry.as_ref().map(Self::Registry),
            source.blank.as_ref().map(|_| Self::Blank),
            source.imageio.as_ref().map(Self::Imageio),
            source.vddk.as_ref().map(Self::Vddk),
        ];
        all.into_iter().flatten().collect()
    }

    /// The path of its field.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Http(_) => "spec.source.http",
            Self::S3(_) => "spec.source.s3",
            Self::Gcs(_) => "spec.source.gcs",
            Self::Registry(_) => "spec.source.registry",
            Self::Pvc(_) => "spec.source.pvc",
            Self::Snapshot(_) => "spec.source.snapshot",
            Self::Upload => "spec.source.upload",
            Self::Blank => "spec.source.blank",
            Self::Imageio(_) => "spec.source.imageio",
            Self::Vddk(_) => "spec.source.vddk",
        }
    }

    /// Whether it can be imported in stages.
    pub(super) fn has_stages(self) -> bool {
        matches!(self, Self::Imageio(_) | Self::Vddk(_))
    }

    /// Whether this release has a controller for it.
    fn is_served(self) -> bool {
        matches!(self, Self::Http(_) | Self::Blank)
    }

    /// What is wrong with it.
    pub(super) fn causes(self, content: ContentType) -> Vec<Cause> {
        let own = match self {
            Self::Http(source) => http(source),
            Self::S3(source) => url("spec.source.s3.url", &source.url, &["http", "https", "gs"]),
            Self::Gcs(source) => url("spec.source.gcs.url", &source.url, &["http", "https", "gs"]),
            Self::Registry(source) => registry(source, content),
            Self::Pvc(PvcSource { namespace, name }) => named(namespace, name, "spec.source.pvc", "PVC"),
            Self::Snapshot(SnapshotSource { namespace, name }) => {
                named(namespace, name, "spec.source.snapshot", "snapshot")
            }
            Self::Imageio(source) => imageio(source),
            Self::Vddk(source) => vddk(source),
            Self::Blank if content == ContentType::Archive => {
                vec![Cause::invalid("spec.contentType", "SourceType cannot be blank and the contentType be archive")]
            }
            Self::Upload | Self::Blank => Vec::new(),
        };
        own.into_iter().chain(self.foreign_names()).collect()
    }

    /// That this release cannot import it.
    pub(super) fn unserved(self) -> Option<Cause> {
        (!self.is_served()).then(|| not_yet(self.field()))
    }

    /// Secrets and config maps are read in the namespace of the object that names them, and nowhere else.
    fn foreign_names(self) -> Vec<Cause> {
        let (first, second, third, more): (&Option<_>, &Option<_>, &Option<_>, &[String]) = match self {
            Self::Http(http) => (&http.secret_ref, &http.cert_config_map, &None, &http.secret_extra_headers),
            Self::S3(s3) => (&s3.secret_ref, &s3.cert_config_map, &None, &[]),
            Self::Gcs(gcs) => (&gcs.secret_ref, &None, &None, &[]),
            Self::Registry(registry) => (&registry.secret_ref, &registry.cert_config_map, &None, &[]),
            Self::Imageio(imageio) => (&imageio.secret_ref, &imageio.cert_config_map, &None, &[]),
            Self::Vddk(vddk) => (&vddk.secret_ref, &vddk.cert_config_map, &vddk.extra_args, &[]),
            Self::Pvc(_) | Self::Snapshot(_) | Self::Upload | Self::Blank => (&None, &None, &None, &[]),
        };
        let fields = [("secretRef", first), ("certConfigMap", second), ("extraArgs", third)];
        let single = fields.into_iter().flat_map(|(field, name)| name.iter().map(move |name| (field, name)));
        let all = single.chain(more.iter().map(|name| ("secretExtraHeaders", name)));
        all.filter_map(|(field, name)| foreign_name(&format!("{}.{field}", self.field()), name)).collect()
    }
}

/// That the name at `field` points out of its namespace.
pub(super) fn foreign_name(field: &str, name: &str) -> Option<Cause> {
    let message = || format!("{name:?} is not a name; only objects of the same namespace can be used");
    name.contains('/').then(|| Cause::invalid(field, message()))
}

/// That what stands at `field` needs a controller of a later release.
pub(super) fn not_yet(field: &str) -> Cause {
    Cause::invalid(field, "this release imports from http and blank; the other sources come with later releases")
}

fn http(source: &HttpSource) -> Vec<Cause> {
    let checksum = source.checksum.as_deref().filter(|text| !text.is_empty()).and_then(checksum);
    url("spec.source.http.url", &source.url, &["http", "https"]).into_iter().chain(checksum).collect()
}

/// Messages leave out the address itself: it may hold a password or a signature.
fn url(field: &str, url: &str, schemes: &[&str]) -> Vec<Cause> {
    let wrong = match address(url) {
        Err(why) => format!(": {why}"),
        Ok(scheme) if !schemes.contains(&scheme.as_str()) => {
            format!(" scheme: {scheme:?} is none of {}", schemes.join(", "))
        }
        Ok(_) => return Vec::new(),
    };
    vec![Cause::invalid(field, format!("spec.source Invalid source URL{wrong}"))]
}

/// The scheme of an address, if the rest of it names a host (RFC 3986 §3).
fn address(url: &str) -> Result<String, &'static str> {
    if url.is_empty() {
        return Err("it is empty");
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it contains spaces or control characters");
    }
    let (scheme, rest) = url.split_once("://").ok_or("it is not of the form https://HOST/PATH")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.strip_prefix('[').and_then(|place| place.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    if !port.is_empty() && port.parse::<u16>().is_err() {
        return Err("its port is not a number up to 65535");
    }
    Ok(scheme.to_ascii_lowercase())
}

fn checksum(text: &str) -> Option<Cause> {
    const DIGITS: [(&str, usize); 4] = [("md5", 32), ("sha1", 40), ("sha256", 64), ("sha512", 128)];
    let refused =
        |why: String| Some(Cause::invalid("spec.source.http.checksum", format!("Invalid checksum format: {why}")));
    let Some((name, hex)) = text.split_once(':') else {
        return refused(format!("{text:?} is not of the form ALGORITHM:HEX, such as sha256:12ab..."));
    };
    let known = DIGITS.iter().find(|(algorithm, _)| algorithm.eq_ignore_ascii_case(name));
    let Some((algorithm, digits)) = known else {
        return refused(format!("the algorithm {name:?} is none of md5, sha1, sha256, sha512"));
    };
    let hex = hex.trim();
    if hex.len() == *digits && hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    refused(format!("{algorithm} has {digits} hexadecimal digits"))
}

fn registry(source: &RegistrySource, content: ContentType) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (source.url.as_deref(), source.image_stream.as_deref()) {
        (Some(url), None) => causes.extend(registry_url(url)),
        (None, Some(_)) => {}
        (Some(_), Some(_)) | (None, None) => {
            let message = "Source registry should have either URL or ImageStream";
            causes.push(Cause::invalid("spec.source.registry", message));
        }
    }
    let method = source.pull_method.as_deref().unwrap_or_default();
    if !["", "pod", "node"].contains(&method) {
        let message = format!("ImportMethod {method} is neither pod, node or \"\"");
        causes.push(Cause::invalid("spec.source.registry.pullMethod", message));
    }
    if source.image_stream.is_some() && method != "node" {
        let message = "Source registry ImageStream is supported only with node pull import method";
        causes.push(Cause::invalid("spec.source.registry.imageStream", message));
    }
    if content == ContentType::Archive {
        let message = "ContentType must be kubevirt when Source is Registry";
        causes.push(Cause::invalid("spec.contentType", message));
    }
    causes
}

fn registry_url(url: &str) -> Option<Cause> {
    let wrong =
        |what| Some(Cause::invalid("spec.source.registry.url", format!("Illegal registry source URL{what} {url}")));
    match url.split_once(':') {
        None => wrong(""),
        Some((scheme, rest))
            if rest.trim_start_matches('/').is_empty() && ["docker", "oci-archive"].contains(&scheme) =>
        {
            wrong("")
        }
        Some(("docker" | "oci-archive", _)) => None,
        Some(_) => wrong(" scheme"),
    }
}

fn imageio(source: &ImageIoSource) -> Vec<Cause> {
    const FIELD: &str = "spec.source.imageio";
    let mut causes = url("spec.source.imageio.url", &source.url, &["http", "https"]);
    if is_empty(source.secret_ref.as_ref()) || source.disk_id.is_empty() {
        causes.push(Cause::invalid(FIELD, "source Imageio is not valid: secretRef and diskId are needed"));
    }
    if is_empty(source.cert_config_map.as_ref()) && source.insecure_skip_verify != Some(true) {
        let message = "source Imageio requires CertConfigMap or InsecureSkipVerify";
        causes.push(Cause::invalid(FIELD, message));
    }
    causes
}

fn vddk(source: &VddkSource) -> Vec<Cause> {
    let needed = [&source.secret_ref, &source.uuid, &source.backing_file, &source.thumbprint];
    if needed.into_iter().any(|field| is_empty(field.as_ref())) {
        let message = "source VDDK is not valid: secretRef, uuid, backingFile and thumbprint are needed";
        return vec![Cause::invalid("spec.source.vddk", message)];
    }
    Vec::new()
}

/// Whether the object is there is not asked: a clone waits for it.
fn named(namespace: &str, name: &str, field: &str, what: &str) -> Vec<Cause> {
    if namespace.is_empty() || name.is_empty() {
        return vec![Cause::invalid(field, format!("source {what} is not valid: namespace and name are needed"))];
    }
    Vec::new()
}

fn is_empty(text: Option<&String>) -> bool {
    text.is_none_or(String::is_empty)
}
