//! AdmissionReview, version 1, in and out.

use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, META_API_VERSION_V1, META_KIND};
use kube::core::response::{Status, StatusCause, StatusDetails, StatusSummary, reason};

use super::facts::Unread;
use crate::admission::{Cause, Refusal};
use api::render;

/// A request as it was posted.
pub(super) type Request = AdmissionRequest<DynamicObject>;

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It may happen.
    Allowed,
    /// It may happen with this change.
    Patched(json_patch::Patch),
    /// The object is wrong.
    Wrong(Vec<Cause>),
    /// It may not happen as things are.
    Refused(String),
    /// It cannot be told, because something could not be read.
    Unknown(String),
}

impl Verdict {
    /// One word for logs and metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Patched(_) => "patched",
            Self::Wrong(_) => "wrong",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What the user is told, empty if there is nothing to tell.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Allowed | Self::Patched(_) => String::new(),
            Self::Wrong(causes) => causes.iter().map(Cause::to_string).collect::<Vec<_>>().join("; "),
            Self::Refused(message) | Self::Unknown(message) => message.clone(),
        }
    }
}

impl From<Vec<Cause>> for Verdict {
    fn from(causes: Vec<Cause>) -> Self {
        if causes.is_empty() { Self::Allowed } else { Self::Wrong(causes) }
    }
}

impl From<Option<Refusal>> for Verdict {
    fn from(refusal: Option<Refusal>) -> Self {
        refusal.map_or(Self::Allowed, |refusal| Self::Refused(refusal.0))
    }
}

impl From<Unread> for Verdict {
    fn from(unread: Unread) -> Self {
        Self::Unknown(unread.to_string())
    }
}

impl From<render::Refusal> for Verdict {
    fn from(refusal: render::Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

/// Why something posted is no request that can be judged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It is no AdmissionReview.
    #[error("the body is not an AdmissionReview: {0}")]
    Body(serde_json::Error),
    /// It is one of another version.
    #[error("this is {kind} {version:?}, and only AdmissionReview \"admission.k8s.io/v1\" is understood")]
    Version {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
    /// It is an answer, not a request.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// The webhook judges other kinds or operations.
    #[error("{path} does not judge {operation} of {kind}")]
    Stray {
        /// The webhook's path.
        path: &'static str,
        /// What is to be done.
        operation: String,
        /// With what.
        kind: String,
    },
    /// The request has no object where it must have one.
    #[error("the request has no {0}")]
    NoObject(&'static str),
    /// The object is not what its kind says.
    #[error("the {kind} cannot be read: {source}")]
    Object {
        /// Its kind.
        kind: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The request in a body.
pub(super) fn read(body: &[u8]) -> Result<Request, Error> {
    let review: AdmissionReview<DynamicObject> = serde_json::from_slice(body).map_err(Error::Body)?;
    if review.types.kind != META_KIND || review.types.api_version != META_API_VERSION_V1 {
        return Err(Error::Version { kind: review.types.kind, version: review.types.api_version });
    }
    review.try_into().map_err(|_| Error::NoRequest)
}

/// The answer to a request, as JSON.
pub(super) fn answer(request: &Request, verdict: &Verdict, warnings: Vec<String>) -> Result<Vec<u8>, String> {
    let mut response = AdmissionResponse::from(request);
    let (code, word) = match verdict {
        Verdict::Allowed => (200, reason::UNKNOWN),
        Verdict::Patched(patch) => {
            response = response.with_patch(patch.clone()).map_err(|error| error.to_string())?;
            (200, reason::UNKNOWN)
        }
        Verdict::Wrong(_) => (422, reason::INVALID),
        Verdict::Refused(_) => (403, reason::FORBIDDEN),
        Verdict::Unknown(_) => (500, reason::INTERNAL_ERROR),
    };
    if code != 200 {
        response = response.deny(verdict.message());
        response.result = status(request, verdict, code, word);
    }
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    serde_json::to_vec(&response.into_review()).map_err(|error| error.to_string())
}

fn status(request: &Request, verdict: &Verdict, code: u16, word: &str) -> Status {
    let causes = match verdict {
        Verdict::Wrong(causes) => causes.iter().map(cause).collect(),
        _ => Vec::new(),
    };
    let details = StatusDetails {
        name: request.name.clone(),
        group: request.kind.group.clone(),
        kind: request.kind.kind.clone(),
        uid: String::new(),
        causes,
        retry_after_seconds: 0,
    };
    Status {
        status: Some(StatusSummary::Failure),
        code,
        message: verdict.message(),
        metadata: None,
        reason: word.to_owned(),
        details: Some(details),
    }
}

fn cause(cause: &Cause) -> StatusCause {
    StatusCause { reason: cause.kind.as_str().to_owned(), message: cause.message.clone(), field: cause.field.clone() }
}
