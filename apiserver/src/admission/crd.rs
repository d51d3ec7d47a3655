//! Whether the definition of one of our kinds may go: with it go all objects of the kind, and what they own.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::{Count, Refusal};

/// The groups that are ours.
const GROUPS: [&str; 2] = [api::cdi::GROUP, api::forklift::GROUP];

/// A definition of one of our kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// Its group.
    pub group: String,
    /// A version that is served.
    pub version: String,
    /// Its name in paths.
    pub plural: String,
    /// Its kind.
    pub kind: String,
}

/// What has to be counted before the definition may go; nothing if it is not ours, or if none of its versions is served.
#[must_use]
pub fn guarded(definition: &CustomResourceDefinition) -> Option<Ours> {
    let spec = &definition.spec;
    let served = spec.versions.iter().find(|version| version.storage && version.served);
    let version = served.or_else(|| spec.versions.iter().find(|version| version.served))?.name.clone();
    GROUPS.contains(&spec.group.as_str()).then(|| Ours {
        group: spec.group.clone(),
        version,
        plural: spec.names.plural.clone(),
        kind: spec.names.kind.clone(),
    })
}

/// Why the definition stays, if there are objects of it.
#[must_use]
pub fn delete(ours: &Ours, objects: Count) -> Option<Refusal> {
    if objects.seen == 0 {
        return None;
    }
    let (lost, remedy) = stakes(&ours.kind);
    Some(Refusal(format!(
        "{}.{} stays: there are {objects} objects of kind {}, and deleting their definition deletes them: {lost}; {remedy}",
        ours.plural, ours.group, ours.kind
    )))
}

/// What is lost with objects of `kind`, and what to do instead.
fn stakes(kind: &str) -> (&'static str, &'static str) {
    const FIRST: &str = "delete the objects first";
    const REMADE: &str = "the product is installed and makes them again, so delete its manifest gantry.yaml first";
    match kind {
        "DataVolume" => ("DataVolumes own their PersistentVolumeClaims, so every disk they made would be lost", FIRST),
        "StorageProfile" => ("what is set in their spec would be lost", REMADE),
        "CDIConfig" => ("the settings of the installation would be lost", REMADE),
        "CDI" => ("the settings of the installation would be lost", FIRST),
        "DataImportCron" => ("the images they keep up to date, and the DataSources of these, would be lost", FIRST),
        "DataSource" => ("virtual machines that are made from them would find no source", FIRST),
        "VolumeImportSource"
        | "VolumeUploadSource"
        | "VolumeCloneSource"
        | "OvirtVolumePopulator"
        | "OpenstackVolumePopulator" => ("claims that are being filled from them would never be filled", FIRST),
        _ => ("what they hold would be lost", FIRST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(group: &str, versions: &str) -> CustomResourceDefinition {
        let text = format!(
            "{{metadata: {{name: datavolumes.{group}}}, spec: {{group: {group}, scope: Namespaced,
               names: {{plural: datavolumes, kind: DataVolume}}, versions: {versions}}}}}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    const V1BETA1: &str =
        "[{name: v1alpha1, served: true, storage: false}, {name: v1beta1, served: true, storage: true}]";

    #[test]
    fn definitions_of_our_groups_are_guarded() {
        for (group, versions, version) in [
            ("cdi.kubevirt.io", V1BETA1, Some("v1beta1")),
            ("forklift.cdi.kubevirt.io", V1BETA1, Some("v1beta1")),
            (
                "cdi.kubevirt.io",
                "[{name: a, served: true, storage: false}, {name: b, served: false, storage: true}]",
                Some("a"),
            ),
            ("cdi.kubevirt.io", "[{name: a, served: false, storage: true}]", None),
            ("kubevirt.io", V1BETA1, None),
            ("example.com", V1BETA1, None),
        ] {
            let ours = guarded(&definition(group, versions));
            assert_eq!(ours.as_ref().map(|ours| ours.version.as_str()), version, "{group} {versions}");
        }
    }

    #[test]
    fn a_definition_stays_while_there_are_objects_of_it() {
        let ours = guarded(&definition("cdi.kubevirt.io", V1BETA1)).unwrap();
        assert_eq!(delete(&ours, Count::default()), None);
        let told = delete(&ours, Count { seen: 3, more: false }).unwrap().0;
        for part in [
            "datavolumes.cdi.kubevirt.io stays",
            "there are 3 objects",
            "every disk they made would be lost",
            "delete the objects first",
        ] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn what_the_controller_makes_again_has_a_remedy_of_its_own() {
        let ours =
            Ours { kind: "StorageProfile".to_owned(), ..guarded(&definition("cdi.kubevirt.io", V1BETA1)).unwrap() };
        assert!(
            delete(&ours, Count { seen: 1, more: false }).unwrap().0.contains("delete its manifest gantry.yaml first")
        );
    }
}
