//! What an import is to do, as annotations of its claim say it: CDI's protocol between its controllers, and for those who
//! annotate a claim by hand (cdi.md §2.9).

use std::collections::BTreeMap;

use api::annotation;
use api::cdi::{BlankSource, ContentType, HttpSource};
use contract::{Code, Failure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

/// Where the disk comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A server.
    Http(Http),
    /// Nowhere: an empty disk.
    Blank,
}

/// Access to a server. Secrets and config maps are names in the claim's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) url: String,
    pub(crate) secret: Option<String>,
    pub(crate) certificates: Option<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) secret_headers: Vec<String>,
    pub(crate) checksum: Option<String>,
    pub(crate) insecure: bool,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) source: Source,
    pub(crate) archive: bool,
    pub(crate) preallocation: bool,
    pub(crate) direct_io: bool,
}

const HTTP: &str = "http";
const NONE: &str = "none";

impl Request {
    /// Whether a claim asks for an import.
    pub(crate) fn is_of(claim: &PersistentVolumeClaim) -> bool {
        let annotations = claim.annotations();
        annotations.contains_key(annotation::IMPORT_SOURCE) || annotations.contains_key(annotation::IMPORT_ENDPOINT)
    }

    /// The import that a claim asks for.
    ///
    /// # Errors
    /// A source that is not served, or an annotation that says nothing.
    pub(crate) fn of(claim: &PersistentVolumeClaim) -> Result<Self, Failure> {
        let has = |key: &str| claim.annotations().get(key).cloned().filter(|value| !value.is_empty());
        let is = |key: &str| has(key).as_deref() == Some("true");
        let source = match has(annotation::IMPORT_SOURCE).as_deref() {
            Some(NONE) => Source::Blank,
            // CDI takes an unknown source for http; one that is known and not served would fetch something else.
            Some(other @ ("s3" | "gcs" | "glance" | "registry" | "imageio" | "vddk")) => {
                let what = format!("the source {other} is not served by this release");
                return Err(Failure::new(Code::SourceUnserved, what).at(annotation::IMPORT_SOURCE));
            }
            _ => Source::Http(Http {
                url: has(annotation::IMPORT_ENDPOINT).ok_or_else(|| {
                    Failure::new(Code::ClaimNotValid, "an import needs an endpoint").at(annotation::IMPORT_ENDPOINT)
                })?,
                secret: has(annotation::IMPORT_SECRET_NAME),
                certificates: has(annotation::IMPORT_CERT_CONFIG_MAP),
                headers: numbered(claim, annotation::IMPORT_EXTRA_HEADERS_PREFIX),
                secret_headers: numbered(claim, annotation::IMPORT_SECRET_EXTRA_HEADERS_PREFIX),
                checksum: has(annotation::IMPORT_CHECKSUM),
                insecure: is(annotation::IMPORT_INSECURE_SKIP_VERIFY),
            }),
        };
        Ok(Self {
            source,
            archive: has(annotation::CONTENT_TYPE).as_deref() == Some("archive"),
            preallocation: is(annotation::PREALLOCATION_REQUESTED),
            direct_io: is(annotation::REQUIRES_DIRECT_IO),
        })
    }
}

/// Values of `PREFIX0`, `PREFIX1` ... in the order of their numbers.
fn numbered(claim: &PersistentVolumeClaim, prefix: &str) -> Vec<String> {
    let number = |key: &str| key.strip_prefix(prefix)?.parse::<u32>().ok();
    let found: BTreeMap<u32, &String> =
        claim.annotations().iter().filter_map(|(key, value)| Some((number(key)?, value))).collect();
    found.into_values().cloned().collect()
}

/// Annotations that ask for the import of a source; nothing if it is neither.
pub(crate) fn annotations(http: Option<&HttpSource>, blank: Option<&BlankSource>) -> Option<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut put = |key: String, value: &str| {
        if !value.is_empty() {
            all.insert(key, value.to_owned());
        }
    };
    match (http, blank) {
        (Some(http), _) => {
            put(annotation::IMPORT_SOURCE.into(), HTTP);
            put(annotation::IMPORT_ENDPOINT.into(), &http.url);
            put(annotation::IMPORT_SECRET_NAME.into(), http.secret_ref.as_deref().unwrap_or_default());
            put(annotation::IMPORT_CERT_CONFIG_MAP.into(), http.cert_config_map.as_deref().unwrap_or_default());
            put(annotation::IMPORT_CHECKSUM.into(), http.checksum.as_deref().unwrap_or_default());
            for (number, header) in http.extra_headers.iter().enumerate() {
                put(format!("{}{number}", annotation::IMPORT_EXTRA_HEADERS_PREFIX), header);
            }
            for (number, secret) in http.secret_extra_headers.iter().enumerate() {
                put(format!("{}{number}", annotation::IMPORT_SECRET_EXTRA_HEADERS_PREFIX), secret);
            }
            if http.insecure_skip_verify == Some(true) {
                put(annotation::IMPORT_INSECURE_SKIP_VERIFY.into(), "true");
            }
        }
        (None, Some(_)) => put(annotation::IMPORT_SOURCE.into(), NONE),
        (None, None) => return None,
    }
    Some(all)
}

/// Annotations about what an import makes of its source.
pub(crate) fn content(content_type: Option<&str>, preallocation: bool) -> [(String, String); 2] {
    let content = ContentType::of(content_type).unwrap_or_default();
    [
        (annotation::CONTENT_TYPE.into(), content.as_str().into()),
        (annotation::PREALLOCATION_REQUESTED.into(), preallocation.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectMeta;

    use super::*;

    fn claim(annotations: BTreeMap<String, String>) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            metadata: ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() },
            ..PersistentVolumeClaim::default()
        }
    }

    #[test]
    fn what_is_annotated_is_read_back_with_its_headers_in_order() {
        let http = HttpSource {
            url: "http://server/disk".into(),
            secret_ref: Some("secret".into()),
            cert_config_map: Some("authorities".into()),
            extra_headers: (0..12).map(|number| format!("X-{number}: {number}")).collect(),
            secret_extra_headers: vec!["first".into(), "second".into()],
            checksum: Some("sha256:00".into()),
            insecure_skip_verify: Some(true),
        };
        let mut all = annotations(Some(&http), None).unwrap();
        all.extend(content(Some("archive"), true));
        let request = Request::of(&claim(all)).unwrap();
        let Source::Http(read) = request.source else { panic!("not http") };
        assert_eq!(read.headers, http.extra_headers);
        assert_eq!(read.secret_headers, http.secret_extra_headers);
        assert_eq!((read.url, read.secret, read.certificates), (http.url, http.secret_ref, http.cert_config_map));
        assert_eq!((read.checksum, read.insecure), (http.checksum, true));
        assert!(request.archive && request.preallocation && !request.direct_io);
    }

    #[test]
    fn a_blank_disk_needs_no_endpoint() {
        let all = annotations(None, Some(&BlankSource {})).unwrap();
        assert_eq!(Request::of(&claim(all)).unwrap().source, Source::Blank);
    }

    #[test]
    fn a_source_that_is_not_served_and_an_absent_endpoint_are_refused() {
        for (key, value, code) in [
            (annotation::IMPORT_SOURCE, "s3", Code::SourceUnserved),
            (annotation::IMPORT_SOURCE, "http", Code::ClaimNotValid),
            (annotation::IMPORT_ENDPOINT, "", Code::ClaimNotValid),
        ] {
            let claim = claim([(key.to_owned(), value.to_owned())].into());
            assert!(Request::is_of(&claim));
            assert_eq!(Request::of(&claim).unwrap_err().code(), code, "{value}");
        }
    }
}
