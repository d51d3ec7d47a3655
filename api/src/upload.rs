//! The group `upload.cdi.kubevirt.io`: an API of its own server, with one kind that is created and never stored.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// The group of this kind.
pub const GROUP: &str = "upload.cdi.kubevirt.io";

/// Which claim is to be uploaded to.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[kube(
    group = "upload.cdi.kubevirt.io",
    version = "v1beta1",
    kind = "UploadTokenRequest",
    doc = "Asks for a token that allows an upload to a claim.",
    plural = "uploadtokenrequests",
    namespaced,
    schema = "disabled",
    status = "UploadTokenRequestStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "utr",
    shortname = "utrs"
)]
#[serde(rename_all = "camelCase", default)]
pub struct UploadTokenRequestSpec {
    /// Name of the claim, of the same namespace.
    pub pvc_name: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UploadTokenRequestStatus {
    /// The token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
