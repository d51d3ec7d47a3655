//! The classes of snapshots, which are an addition to Kubernetes: a cluster may get it later, or never.

use std::time::Duration;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::pinned_kind;
use kube::runtime::reflector::Store;
use kube::{Client, Error};
use reconcile::{Queue, Watch};

use crate::storageprofile;

/// How often a cluster without snapshots is asked whether it has them now.
pub(crate) const LOOK: Duration = Duration::from_secs(30);

fn kind() -> GroupVersionKind {
    GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshotClass")
}

fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&kind(), "volumesnapshotclasses")
}

/// The watch of them.
pub(crate) fn watch(queues: &Queue<StorageClass>, classes: Store<StorageClass>) -> Watch<DynamicObject> {
    Watch::of(resource()).wakes(queues, move |class| storageprofile::classes_of_snapshot_class(class, &classes))
}

/// Whether the cluster has them.
///
/// # Errors
/// The API server cannot be had.
pub(crate) async fn are_served(client: &Client) -> Result<bool, Error> {
    match pinned_kind(client, &kind()).await {
        Ok(_) => Ok(true),
        Err(Error::Discovery(_)) => Ok(false),
        Err(Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// Runs the watch once the cluster has them, for which it looks so often.
pub(crate) async fn run(watch: Watch<DynamicObject>, client: Client, look: Duration) {
    loop {
        match are_served(&client).await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "whether there are snapshots could not be asked"),
        }
        tokio::time::sleep(look).await;
    }
    watch.run(Api::all_with(client, &resource())).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::http::StatusCode;
    use axum::routing::get;
    use axum::{Json, Router};
    use kube::{Config, ResourceExt};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    /// The address of an API server that does not know snapshots until it has been asked for them twice.
    async fn api_server() -> String {
        let asked = Arc::new(AtomicU32::new(0));
        let kinds = move || {
            let known = json!({"name": "volumesnapshotclasses", "kind": "VolumeSnapshotClass", "namespaced": false, "verbs": ["watch"]});
            let list = json!({"groupVersion": "snapshot.storage.k8s.io/v1", "resources": [known]});
            let is_early = asked.fetch_add(1, Ordering::Relaxed) < 2;
            async move { if is_early { Err(StatusCode::NOT_FOUND) } else { Ok(Json(list)) } }
        };
        let event = |kind: &str, metadata| {
            let object = json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "metadata": metadata, "driver": "d"});
            json!({"type": kind, "object": object}).to_string() + "\n"
        };
        let added = event("ADDED", json!({"name": "late", "resourceVersion": "1"}));
        let all = json!({"resourceVersion": "2", "annotations": {"k8s.io/initial-events-end": "true"}});
        let events = added + &event("BOOKMARK", all);
        let router = Router::new().route("/apis/snapshot.storage.k8s.io/v1", get(kinds)).route(
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses",
            get(move || std::future::ready(events.clone())),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn classes_that_a_cluster_gets_later_are_seen() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::try_from(Config::new(api_server().await.parse().unwrap())).unwrap();
        let (classes, _writer) = kube::runtime::reflector::store();
        let watch = watch(&Queue::default(), classes);
        let found = watch.store();
        assert!(!are_served(&client).await.unwrap());
        tokio::select! {
            () = run(watch, client, Duration::from_millis(1)) => unreachable!("a watch does not end"),
            ready = found.wait_until_ready() => ready.unwrap(),
        }
        assert_eq!(found.state().iter().map(|class| class.name_any()).collect::<Vec<_>>(), ["late"]);
    }
}
