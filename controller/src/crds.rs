//! The custom resource definitions: installed by whoever runs first, so that one manifest brings the whole product and an
//! upgrade of the controller brings its kinds along. Deleting the product's manifest does not delete them, nor any disk.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error, ResourceExt};

use crate::MANAGER;

/// Applies all definitions. They are the same whichever replica does it.
///
/// # Errors
/// When the API server does not take one.
pub(crate) async fn install(client: &Client) -> Result<(), Error> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    // What somebody else has changed in them is ours to say.
    let parameters = PatchParams::apply(MANAGER).force();
    for definition in api::crds() {
        definitions.patch(&definition.name_any(), &parameters, &Patch::Apply(&definition)).await?;
    }
    Ok(())
}
