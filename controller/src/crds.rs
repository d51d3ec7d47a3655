//! The custom resource definitions: installed by whoever runs first, so that one manifest brings the whole product and an
//! upgrade of the controller brings its kinds along. Deleting the product's manifest does not delete them, nor any disk.
//!
//! Who deletes a definition deletes all objects of it. While the product is there a webhook counts them; for afterwards the leader
//! marks the definitions of kinds that somebody would miss something of, and a policy of the API server (`api::guard`) keeps these.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use api::annotation::IN_USE;
use api::cdi::{CdiConfig, StorageProfile, StorageProfileSpec, VolumeImportSource};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::sleep;

use crate::caches::Caches;
use crate::{Context, MANAGER, cdiconfig};

/// Field manager of the marks: who applies a definition without a mark does not take it away.
const MARKER: &str = "cdi-controller-in-use";
/// How often the caches are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a mark that was not taken waits.
const AGAIN: Duration = Duration::from_secs(30);

/// Applies all definitions, and the policy that keeps them. They are the same whichever replica does it.
///
/// # Errors
/// When the API server does not take one.
pub(crate) async fn install(client: &Client) -> Result<(), Error> {
    for definition in api::crds() {
        apply(client, &definition).await?;
    }
    let (policy, binding) = api::guard();
    let guarded = async {
        apply(client, &policy).await?;
        apply(client, &binding).await
    };
    match guarded.await {
        Err(Error::Api(status)) if status.code == 404 => {
            tracing::warn!(
                "this Kubernetes has no admission policies: without the product nothing keeps definitions in use"
            );
            Ok(())
        }
        guarded => guarded,
    }
}

/// Applies an object; what somebody else has changed in it is ours to say.
async fn apply<K>(client: &Client, object: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let parameters = PatchParams::apply(MANAGER).force();
    Api::<K>::all(client.clone()).patch(&object.name_any(), &parameters, &Patch::Apply(object)).await.map(drop)
}

/// Keeps the marks of definitions that are in use until dropped; the caches must be filled.
pub(crate) async fn mark(context: &Context) {
    let mut marked = BTreeMap::new();
    loop {
        let changed = in_use(&context.caches).into_iter().find(|(name, used)| marked.get(name) != Some(used));
        let Some((name, used)) = changed else {
            sleep(LOOK_EVERY).await;
            continue;
        };
        match set(&context.client, name, used).await {
            Ok(()) => {
                marked.insert(name, used);
            }
            Err(error) => {
                tracing::warn!(%error, definition = name, used, "a definition could not be marked");
                sleep(AGAIN).await;
            }
        }
    }
}

/// Sets the mark of a definition, or takes it away.
async fn set(client: &Client, name: &str, used: bool) -> Result<(), Error> {
    let marks = if used { json!({IN_USE: "true"}) } else { json!({}) };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": marks},
    });
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let parameters = PatchParams::apply(MARKER).force();
    definitions.patch_metadata(name, &parameters, &Patch::Apply(&definition)).await.map(drop)
}

/// Definitions of the kinds that are watched, and whether somebody would miss objects of them. Of kinds that are not served yet
/// there are none.
fn in_use(caches: &Caches) -> [(&'static str, bool); 5] {
    [
        ("datavolumes.cdi.kubevirt.io", !caches.data_volumes.is_empty()),
        ("cdis.cdi.kubevirt.io", !caches.cdis.is_empty()),
        ("cdiconfigs.cdi.kubevirt.io", caches.configs.state().iter().any(|config| is_set(config))),
        ("storageprofiles.cdi.kubevirt.io", caches.profiles.state().iter().any(|profile| is_filled_in(profile))),
        (
            "volumeimportsources.cdi.kubevirt.io",
            caches.import_sources.state().iter().any(|source| is_somebodys(source)),
        ),
    ]
}

/// Whether somebody has set something in it.
fn is_set(config: &CdiConfig) -> bool {
    config.spec != cdiconfig::beginning()
}

/// Whether somebody has filled it in.
fn is_filled_in(profile: &StorageProfile) -> bool {
    profile.spec != StorageProfileSpec::default()
}

/// Whether it is not just a part of a DataVolume.
fn is_somebodys(source: &VolumeImportSource) -> bool {
    !source.owner_references().iter().any(|owner| owner.kind == "DataVolume")
}

#[cfg(test)]
mod tests {
    use reconcile::Echoes;

    use super::*;
    use crate::sample::yaml;
    use crate::watches::{Queues, Watches};

    #[test]
    fn what_the_controller_makes_by_itself_nobody_would_miss() {
        let mut config = CdiConfig::new("config", cdiconfig::beginning());
        assert!(!is_set(&config));
        config.spec.preallocation = Some(true);
        assert!(is_set(&config));
        let mut profile = StorageProfile::new("class", StorageProfileSpec::default());
        assert!(!is_filled_in(&profile));
        profile.spec.clone_strategy = Some("copy".to_owned());
        assert!(is_filled_in(&profile));
        let mut source: VolumeImportSource = yaml("{metadata: {name: source}, spec: {}}");
        assert!(is_somebodys(&source));
        let owner = "{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, name: disk, uid: '1'}";
        source.metadata.owner_references = Some(vec![yaml(owner)]);
        assert!(!is_somebodys(&source));
    }

    #[test]
    fn marks_are_of_definitions_that_there_are() {
        let caches = Watches::new(&Queues::default(), &Echoes::default()).caches();
        assert!(in_use(&caches).iter().all(|(name, used)| api::rights::CRD_NAMES.contains(name) && !used));
    }
}
