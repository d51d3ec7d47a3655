//! Writes to the API server: each carries our field manager, and each to an existing object its uid, so that it never reaches
//! another object of the same name nor makes a deleted one again.

use std::fmt::Debug;

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{NamespaceResourceScope, Request};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::echo;

/// A refused or failed write.
#[derive(Debug, thiserror::Error)]
#[error("could not {verb} {object}")]
pub struct Error {
    verb: &'static str,
    object: String,
    source: kube::Error,
}

/// What a caller may have to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object is there already.
    Exists,
    /// It is gone, or another one has its name.
    Gone,
    /// Somebody else changed it first.
    Conflict,
    /// A resource quota does not allow it.
    Quota,
    /// The request itself is refused: admission, validation, rights.
    Refused,
    /// The API server cannot be had.
    Unreachable,
}

impl Kind {
    /// What a refused or failed request means for the caller.
    #[must_use]
    pub fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Unreachable };
        match (status.code, status.reason.as_str()) {
            (409, "AlreadyExists") => Self::Exists,
            (409, _) => Self::Conflict,
            (404, _) => Self::Gone,
            (403, _) if status.message.contains("exceeded quota") => Self::Quota,
            (400..=499, _) => Self::Refused,
            _ => Self::Unreachable,
        }
    }
}

impl Error {
    /// What the failure means for the caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of(&self.source)
    }

    /// What the API server said.
    #[must_use]
    pub fn said(&self) -> String {
        match &self.source {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        }
    }
}

/// Writes with one field manager.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: &'static str,
}

impl Writer {
    /// Writes through `client` as `manager`.
    #[must_use]
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager }
    }

    /// Reads an object of a namespace that no cache has; nothing if it is not there.
    ///
    /// # Errors
    /// [`Kind::Refused`], [`Kind::Unreachable`].
    pub async fn read<K>(&self, namespace: &str, name: &str) -> Result<Option<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let found = Api::<K>::namespaced(self.client.clone(), namespace).get_opt(name).await;
        found.map_err(|source| Error { verb: "read", object: format!("{} {namespace}/{name}", K::kind(&())), source })
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`Kind::Exists`], [`Kind::Quota`], [`Kind::Refused`], [`Kind::Unreachable`].
    pub async fn create<K>(&self, object: &K) -> Result<K, Error>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug + 'static,
    {
        let parameters = PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError);
        let request =
            body.and_then(|body| request(object).create(&parameters, body).map_err(kube::Error::BuildRequest));
        self.write("create", object, request).await
    }

    /// Changes what `change` names, leaving the rest as it is.
    ///
    /// # Errors
    /// [`Kind::Gone`], [`Kind::Conflict`], [`Kind::Refused`], [`Kind::Unreachable`].
    pub async fn change<K>(&self, object: &K, change: Value) -> Result<K, Error>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + 'static,
    {
        let change = bound(object, change, false);
        let request = request(object).patch(&object.name_any(), &self.parameters(), &Patch::Merge(change));
        self.write("change", object, request.map_err(kube::Error::BuildRequest)).await
    }

    /// As [`Writer::change`], if nobody else has changed the object since it was read.
    ///
    /// # Errors
    /// As there.
    pub async fn change_as_read<K>(&self, object: &K, change: Value) -> Result<K, Error>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + 'static,
    {
        let change = bound(object, change, true);
        let request = request(object).patch(&object.name_any(), &self.parameters(), &Patch::Merge(change));
        self.write("change", object, request.map_err(kube::Error::BuildRequest)).await
    }

    /// Replaces the status with the one that `object` carries, if nobody else has changed the object since it was read:
    /// conditions are atomic lists, and two writers would erase each other's.
    ///
    /// # Errors
    /// As [`Writer::change`].
    pub async fn replace_status<K>(&self, object: &K) -> Result<K, Error>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug + 'static,
    {
        let parameters = PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError);
        let request = body.and_then(|body| {
            let request = request(object).replace_subresource("status", &object.name_any(), &parameters, body);
            request.map_err(kube::Error::BuildRequest)
        });
        self.write("change the status of", object, request).await
    }

    /// Deletes an object; one that is gone already is no failure.
    ///
    /// # Errors
    /// [`Kind::Refused`], [`Kind::Unreachable`].
    pub async fn delete<K>(&self, object: &K) -> Result<(), Error>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + 'static,
    {
        let only_this = Preconditions { uid: object.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
        let request = request(object).delete(&object.name_any(), &parameters).map_err(kube::Error::BuildRequest);
        match self.send::<K, Value>("delete", object, request).await {
            // It is the object, if something keeps that for a while, or a status.
            Ok(answer) => echo::wrote::<K>(answer["metadata"]["resourceVersion"].as_str()),
            Err(error) if matches!(error.kind(), Kind::Gone | Kind::Conflict) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn parameters(&self) -> PatchParams {
        PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() }
    }

    /// Sends a request that is answered by the object as it is now.
    async fn write<K>(
        &self,
        verb: &'static str,
        object: &K,
        request: Result<http::Request<Vec<u8>>, kube::Error>,
    ) -> Result<K, Error>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + 'static,
    {
        let written: K = self.send(verb, object, request).await?;
        echo::wrote::<K>(written.meta().resource_version.as_deref());
        Ok(written)
    }

    async fn send<K, T>(
        &self,
        verb: &'static str,
        object: &K,
        request: Result<http::Request<Vec<u8>>, kube::Error>,
    ) -> Result<T, Error>
    where
        K: Resource<DynamicType = ()>,
        T: DeserializeOwned,
    {
        let sent = match request {
            Ok(request) => self.client.request(request).await,
            Err(error) => Err(error),
        };
        sent.map_err(|source| Error { verb, object: described(object), source })
    }
}

fn request<K: Resource<DynamicType = ()>>(object: &K) -> Request {
    Request::new(K::url_path(&(), object.meta().namespace.as_deref()))
}

/// `kind namespace/name`.
fn described<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let name = object.meta().name.as_deref().unwrap_or_default();
    match object.meta().namespace.as_deref() {
        Some(namespace) => format!("{} {namespace}/{name}", K::kind(&())),
        None => format!("{} {name}", K::kind(&())),
    }
}

/// The change with the uid of the object, and the version that was read where nobody may have written since.
fn bound<K: Resource>(object: &K, mut change: Value, as_read: bool) -> Value {
    let metadata = &mut change["metadata"];
    if let Some(uid) = &object.meta().uid {
        metadata["uid"] = json!(uid);
    }
    if let Some(version) = object.meta().resource_version.as_ref().filter(|_| as_read) {
        metadata["resourceVersion"] = json!(version);
    }
    change
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn refused(code: u16, reason: &str, message: &str) -> Error {
        let status = kube::core::Status { code, reason: reason.into(), message: message.into(), ..Default::default() };
        Error { verb: "create", object: "Pod a/b".into(), source: kube::Error::Api(status.boxed()) }
    }

    #[test]
    fn a_refusal_is_known_by_its_kind() {
        for (code, reason, message, kind) in [
            (409, "AlreadyExists", "", Kind::Exists),
            (409, "Conflict", "", Kind::Conflict),
            (404, "NotFound", "", Kind::Gone),
            (403, "Forbidden", "exceeded quota: small, requested: requests.storage=1Gi", Kind::Quota),
            (403, "Forbidden", "violates PodSecurity", Kind::Refused),
            (422, "Invalid", "", Kind::Refused),
            (500, "InternalError", "", Kind::Unreachable),
        ] {
            assert_eq!(refused(code, reason, message).kind(), kind, "{code} {reason}");
        }
    }

    #[test]
    fn a_change_is_bound_to_the_object_that_was_read() {
        let object = ConfigMap {
            metadata: ObjectMeta { uid: Some("u".into()), resource_version: Some("7".into()), ..ObjectMeta::default() },
            ..ConfigMap::default()
        };
        let change = json!({"metadata": {"labels": {"a": "b"}}});
        assert_eq!(
            bound(&object, change.clone(), true),
            json!({"metadata": {"labels": {"a": "b"}, "uid": "u", "resourceVersion": "7"}})
        );
        assert_eq!(bound(&object, change, false), json!({"metadata": {"labels": {"a": "b"}, "uid": "u"}}));
    }
}
