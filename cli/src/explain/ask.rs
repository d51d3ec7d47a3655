//! Asking the API server what it would answer: creates that it judges as any other and does not do.

use contract::{Code, Failure};
use controller::preview::Refused;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::Request;
use serde_json::Value;

use crate::kubernetes::{Access, failure, of_kind};

/// Who is said to create: the controller that will.
const MANAGER: &str = "cdi-controller";

/// A kind of object to ask about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    /// Code of a refusal that has no other.
    refused: Code,
}

pub(super) const DATA_VOLUME: Kind =
    Kind { group: "cdi.kubevirt.io", version: "v1beta1", plural: "datavolumes", refused: Code::ClusterRefused };
pub(super) const CLAIM: Kind =
    Kind { group: "", version: "v1", plural: "persistentvolumeclaims", refused: Code::ClaimNotValid };
pub(super) const POD: Kind = Kind { group: "", version: "v1", plural: "pods", refused: Code::PodRefused };

/// What the API server would do with an object.
#[derive(Debug)]
pub(super) enum Answer {
    /// Take it, and make it this.
    Accepted(Value),
    /// Not take it.
    Refused(Failure),
    /// There is one of its name.
    Exists,
    /// The user may not create such an object.
    NotAllowed(String),
}

/// Asks what would come of creating `object`.
///
/// # Errors
/// The cluster cannot be had, or does not know the user.
pub(super) async fn create(access: &Access, kind: Kind, namespace: &str, object: &Value) -> Result<Answer, Failure> {
    let path = format!("{}/namespaces/{namespace}/{}", kind.path(), kind.plural);
    let body = serde_json::to_vec(object).map_err(|error| defect(&error))?;
    let parameters = PostParams { dry_run: true, field_manager: Some(MANAGER.into()) };
    let mut request = Request::new(path).create(&parameters, body).map_err(|error| defect(&error))?;
    // As kubectl: a field that no kind has is a mistake.
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = strict.parse().map_err(|error| defect(&error))?;
    let answered = access.client.request::<Value>(request).await;
    judge(access, kind, namespace, answered).await
}

/// Asks what would come of applying `object` to the one of its name, as kubectl would.
///
/// # Errors
/// As [`create`].
pub(super) async fn apply(
    access: &Access,
    kind: Kind,
    namespace: &str,
    name: &str,
    object: &Value,
) -> Result<Answer, Failure> {
    let path = format!("{}/namespaces/{namespace}/{}", kind.path(), kind.plural);
    let parameters = PatchParams { dry_run: true, ..PatchParams::apply("kubectl").force() };
    let request = Request::new(path).patch(name, &parameters, &Patch::Apply(object)).map_err(|error| defect(&error))?;
    let answered = access.client.request::<Value>(request).await;
    judge(access, kind, namespace, answered).await
}

async fn judge(access: &Access, kind: Kind, namespace: &str, answered: kube::Result<Value>) -> Result<Answer, Failure> {
    let error = match answered {
        Ok(kept) => return Ok(Answer::Accepted(kept)),
        Err(error) => error,
    };
    let kube::Error::Api(status) = &error else { return Err(failure(&error)) };
    let said = status.message.clone();
    match (Refused::of(&error), status.code) {
        (Refused::Exists, _) => Ok(Answer::Exists),
        (_, 401) => Err(failure(&error)),
        // The namespace is named where it is what is not there.
        (_, 404) if !said.contains("namespaces") => Err(of_kind(&error)),
        (_, 404) => Ok(Answer::Refused(failure(&error))),
        (Refused::Quota, _) => Ok(Answer::Refused(Failure::new(Code::QuotaExceeded, said))),
        (_, 403) if !may_create(access, kind, namespace).await? => Ok(Answer::NotAllowed(said)),
        (Refused::Unreachable, _) => Ok(Answer::Refused(failure(&error))),
        _ => Ok(Answer::Refused(Failure::new(kind.refused, said))),
    }
}

impl Kind {
    fn path(self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }
}

fn defect(error: &dyn std::error::Error) -> Failure {
    Failure::new(Code::Internal, format!("cannot make the request: {error}"))
}

/// Whether the user may create objects of a kind at all: admission refuses with the same number as authorization.
async fn may_create(access: &Access, kind: Kind, namespace: &str) -> Result<bool, Failure> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(kind.group.into()),
                resource: Some(kind.plural.into()),
                verb: Some("create".into()),
                namespace: Some(namespace.into()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(access.client.clone());
    let answered = api.create(&PostParams::default(), &review).await.map_err(|error| failure(&error))?;
    Ok(answered.status.is_some_and(|status| status.allowed))
}
