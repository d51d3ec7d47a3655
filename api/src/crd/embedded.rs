//! What the schemas of Kubernetes' own types need: list types, the shape of a quantity, and words.
//!
//! k8s-openapi's schemas carry structure and Kubernetes' documentation. How lists merge in server-side apply is not in them,
//! and is API: two appliers of one list must get the same result as with CDI's definitions.

use serde_json::{Map, Value, json};

/// Where definitions of Kubernetes' types are.
const PREFIX: &str = "io.k8s.";

/// What a number with a unit looks like.
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Types that are replaced as a whole.
const ATOMIC_MAPS: &[&str] =
    &["LabelSelector", "LocalObjectReference", "NodeSelector", "NodeSelectorTerm", "TypedLocalObjectReference"];

/// Lists that are replaced as a whole, by their type and name.
const ATOMIC_LISTS: &[(&str, &str)] = &[
    ("LabelSelector", "matchExpressions"),
    ("LabelSelectorRequirement", "values"),
    ("NodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"),
    ("NodeSelector", "nodeSelectorTerms"),
    ("NodeSelectorRequirement", "values"),
    ("NodeSelectorTerm", "matchExpressions"),
    ("NodeSelectorTerm", "matchFields"),
    ("PersistentVolumeClaimSpec", "accessModes"),
    ("PodAffinity", "preferredDuringSchedulingIgnoredDuringExecution"),
    ("PodAffinity", "requiredDuringSchedulingIgnoredDuringExecution"),
    ("PodAffinityTerm", "matchLabelKeys"),
    ("PodAffinityTerm", "mismatchLabelKeys"),
    ("PodAffinityTerm", "namespaces"),
    ("PodAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution"),
    ("PodAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"),
];

/// Marks a default that is to be kept; an attribute of its own, since all others are dropped.
const KEPT_DEFAULT: &str = "x-default";

/// Descriptions, by type and field.
const WORDS: &[(&str, &[(&str, &str)])] = &[
    (
        "Affinity",
        &[
            ("nodeAffinity", "Nodes to run on."),
            ("podAffinity", "Pods to be near to."),
            ("podAntiAffinity", "Pods to be far from."),
        ],
    ),
    (
        "LabelSelector",
        &[
            ("matchExpressions", "Conditions on labels, all of which must hold."),
            ("matchLabels", "Labels with the value each must have."),
        ],
    ),
    (
        "LabelSelectorRequirement",
        &[
            ("key", "Key of the label."),
            ("operator", "In, NotIn, Exists or DoesNotExist."),
            ("values", "Values for In and NotIn; empty for the others."),
        ],
    ),
    ("LocalObjectReference", &[("name", "Name of the object, of the same namespace.")]),
    (
        "NodeAffinity",
        &[
            ("preferredDuringSchedulingIgnoredDuringExecution", "Wishes, by weight."),
            ("requiredDuringSchedulingIgnoredDuringExecution", "What a node must be like."),
        ],
    ),
    ("NodeSelector", &[("nodeSelectorTerms", "Terms, one of which must hold.")]),
    (
        "NodeSelectorRequirement",
        &[
            ("key", "Key of the label or name of the field."),
            ("operator", "In, NotIn, Exists, DoesNotExist, Gt or Lt."),
            ("values", "Values for In and NotIn, one number for Gt and Lt; empty for the others."),
        ],
    ),
    (
        "NodeSelectorTerm",
        &[
            ("matchExpressions", "Conditions on the node's labels, all of which must hold."),
            ("matchFields", "Conditions on the node's fields, all of which must hold."),
        ],
    ),
    (
        "PersistentVolumeClaimSpec",
        &[
            ("accessModes", "Ways to mount the volume; a DataVolume takes exactly one."),
            ("dataSource", "PersistentVolumeClaim or VolumeSnapshot that the storage itself fills the volume from."),
            ("dataSourceRef", "Any object that a volume populator fills the volume from."),
            ("resources", "Size of the volume."),
            ("selector", "Labels of the persistent volumes that may be taken."),
            ("storageClassName", "Class of the volume; without it the cluster's default."),
            ("volumeAttributesClassName", "Class of attributes that the volume can change later."),
            ("volumeMode", "Block or Filesystem, which is the default."),
            ("volumeName", "Name of the persistent volume to take."),
        ],
    ),
    (
        "PodAffinity",
        &[
            ("preferredDuringSchedulingIgnoredDuringExecution", "Wishes, by weight."),
            ("requiredDuringSchedulingIgnoredDuringExecution", "Pods that must be near."),
        ],
    ),
    (
        "PodAffinityTerm",
        &[
            ("labelSelector", "Labels of the pods."),
            ("matchLabelKeys", "Labels in which the pods must equal this one."),
            ("mismatchLabelKeys", "Labels in which the pods must differ from this one."),
            ("namespaceSelector", "Labels of the pods' namespaces."),
            ("namespaces", "Names of the pods' namespaces; without any, and without namespaceSelector, this one."),
            ("topologyKey", "Label of nodes that says what near means."),
        ],
    ),
    (
        "PodAntiAffinity",
        &[
            ("preferredDuringSchedulingIgnoredDuringExecution", "Wishes, by weight."),
            ("requiredDuringSchedulingIgnoredDuringExecution", "Pods that must be far."),
        ],
    ),
    ("PreferredSchedulingTerm", &[("preference", "What a node should be like."), ("weight", "From 1 to 100.")]),
    (
        "ResourceClaim",
        &[
            ("name", "Name of an entry in the pod's resource claims."),
            ("request", "Name of a request in that claim; without it all."),
        ],
    ),
    (
        "ResourceRequirements",
        &[
            ("claims", "Resource claims that the container uses."),
            ("limits", "Most that the container may use."),
            ("requests", "What the container is sure to get."),
        ],
    ),
    (
        "Toleration",
        &[
            ("effect", "NoSchedule, PreferNoSchedule or NoExecute; without it all."),
            ("key", "Key of the taint; without it all."),
            ("operator", "Exists, Lt, Gt or Equal, which is the default."),
            ("tolerationSeconds", "How long a taint NoExecute does not matter; without it for ever."),
            ("value", "Value of the taint, unless the operator is Exists."),
        ],
    ),
    (
        "TypedLocalObjectReference",
        &[
            ("apiGroup", "Group of the object's kind; without it the core group."),
            ("kind", "Kind of the object."),
            ("name", "Name of the object."),
        ],
    ),
    (
        "TypedObjectReference",
        &[
            ("apiGroup", "Group of the object's kind; without it the core group."),
            ("kind", "Kind of the object."),
            ("name", "Name of the object."),
            ("namespace", "Namespace of the object; DataVolumes refuse it."),
        ],
    ),
    (
        "VolumeResourceRequirements",
        &[("limits", "Most that the volume may have."), ("requests", "Size of the volume, under storage.")],
    ),
    (
        "WeightedPodAffinityTerm",
        &[("podAffinityTerm", "Pods that should be near or far."), ("weight", "From 1 to 100.")],
    ),
];

/// Completes the definition of a type if it is one of Kubernetes'.
pub(super) fn complete(name: &str, definition: &mut Map<String, Value>) {
    if !name.starts_with(PREFIX) {
        return;
    }
    let name = name.rsplit('.').next().unwrap_or(name);
    // Its documentation is Kubernetes' own; fields of ours that embed it say what it is for.
    definition.remove("description");
    describe(name, definition);
    match name {
        "Quantity" => quantity(definition),
        "LocalObjectReference" => optional_name(definition),
        "ResourceRequirements" => {
            set(definition, "claims", "x-kubernetes-list-type", json!("map"));
            set(definition, "claims", "x-kubernetes-list-map-keys", json!(["name"]));
        }
        _ => {}
    }
    if ATOMIC_MAPS.contains(&name) {
        definition.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    for (_, field) in ATOMIC_LISTS.iter().filter(|(type_, _)| *type_ == name) {
        set(definition, field, "x-kubernetes-list-type", json!("atomic"));
    }
}

/// Puts back a default that was marked to be kept.
pub(super) fn keep_defaults(schema: &mut Map<String, Value>) {
    if let Some(default) = schema.remove(KEPT_DEFAULT) {
        schema.insert("default".to_owned(), default);
    }
}

/// Every field gets our words, or none.
fn describe(name: &str, definition: &mut Map<String, Value>) {
    let words = WORDS.iter().find(|(type_, _)| *type_ == name).map_or(&[][..], |(_, words)| words);
    let Some(Value::Object(properties)) = definition.get_mut("properties") else {
        return;
    };
    for (field, schema) in properties {
        let Value::Object(schema) = schema else {
            continue;
        };
        match words.iter().find(|(known, _)| known == field) {
            Some((_, words)) => schema.insert("description".to_owned(), json!(words)),
            None => schema.remove("description"),
        };
    }
}

/// A number, or text with a unit.
fn quantity(definition: &mut Map<String, Value>) {
    definition.remove("type");
    definition.insert("anyOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
    definition.insert("pattern".to_owned(), json!(QUANTITY));
    definition.insert("x-kubernetes-int-or-string".to_owned(), json!(true));
}

/// The API server fills in an absent name, so that it is not required although it is always there.
fn optional_name(definition: &mut Map<String, Value>) {
    definition.remove("required");
    set(definition, "name", KEPT_DEFAULT, json!(""));
}

fn set(definition: &mut Map<String, Value>, field: &str, key: &str, value: Value) {
    if let Some(Value::Object(schema)) = definition.get_mut("properties").and_then(|all| all.get_mut(field)) {
        schema.insert(key.to_owned(), value);
    }
}
