//! The label keys and values of CDI.
//!
//! Like annotations they are API, so misspelled ones stay as they are.

/// `app` on every object of the product.
pub const APP: &str = "app";
/// Its value.
pub const APP_VALUE: &str = "containerized-data-importer";
/// Component that an object belongs to.
pub const COMPONENT: &str = "cdi.kubevirt.io";
/// [`COMPONENT`] of importer pods.
pub const COMPONENT_IMPORTER: &str = "importer";
/// [`COMPONENT`] of upload pods.
pub const COMPONENT_UPLOAD_SERVER: &str = "cdi-upload-server";
/// [`COMPONENT`] of the pods at the source of a clone.
pub const COMPONENT_CLONE_SOURCE: &str = "cdi-clone-source";
/// [`COMPONENT`] of the pods that expand a clone.
pub const COMPONENT_POPULATOR_PREP: &str = "cdi-populator-prep";
/// [`COMPONENT`] of objects of a clone by snapshot.
pub const COMPONENT_SMART_CLONE: &str = "cdi-smart-clone";
/// [`COMPONENT`] of the PVC that a snapshot is restored to for a host-assisted copy.
pub const COMPONENT_CLONE_FALLBACK_PVC: &str = "cdi-clone-from-snapshot-source-host-assisted-fallback-pvc";
/// [`COMPONENT`] of the controller's pods.
pub const COMPONENT_CONTROLLER: &str = "cdi-deployment";
/// [`COMPONENT`] of the API server's pods.
pub const COMPONENT_APISERVER: &str = "cdi-apiserver";

/// Product that an object is part of.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Version of that product.
pub const VERSION: &str = "app.kubernetes.io/version";
/// What manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// [`MANAGED_BY`] of what controllers make.
pub const MANAGED_BY_CONTROLLER: &str = "cdi-controller";
/// [`MANAGED_BY`] of what an operator makes.
pub const MANAGED_BY_OPERATOR: &str = "cdi-operator";
/// Kind of component in Kubernetes' recommended labels.
pub const KUBERNETES_COMPONENT: &str = "app.kubernetes.io/component";
/// Its value.
pub const KUBERNETES_COMPONENT_STORAGE: &str = "storage";

/// `true` on what Prometheus should scrape.
pub const PROMETHEUS: &str = "prometheus.cdi.kubevirt.io";
/// `true` on a PVC: the webhook completes it from the StorageProfile.
pub const APPLY_STORAGE_PROFILE: &str = "cdi.kubevirt.io/applyStorageProfile";
/// uid of the PVC that an upload pod or service is for.
pub const UPLOAD_TARGET: &str = "cdi.kubevirt.io/uploadTarget";
/// Service that an upload pod is behind.
pub const SERVICE: &str = "service";
/// uid of the owner of a temporary object of a clone.
pub const OWNED_BY_UID: &str = "cdi.kubevirt.io/OwnedByUID";
/// uid of the source PVC: pods that read the same one run on the same node.
pub const HOST_ASSISTED_SOURCE: &str = "cdi.kubevirt.io/hostAssistedSourcePodCloneSource";
/// Identity of the pod at the source of a clone; the spelling is API.
pub const CLONE_UNIQUE_ID: &str = "cdi.kubevirt.io/storage.clone.cloneUniqeId";

/// Cron that made an object.
pub const DATA_IMPORT_CRON: &str = "cdi.kubevirt.io/dataImportCron";
/// Namespace of that cron.
pub const DATA_IMPORT_CRON_NAMESPACE: &str = "cdi.kubevirt.io/dataImportCronNs";
/// Cron that a polling job is for.
pub const DATA_IMPORT_CRON_POLLER: &str = "cdi.kubevirt.io/dataImportCronPoller";
/// `true`: the object goes with its cron.
pub const DATA_IMPORT_CRON_CLEANUP: &str = "cdi.kubevirt.io/dataImportCron.cleanup";

/// `true`: left out of backups.
pub const VELERO_EXCLUDE: &str = "velero.io/exclude-from-backup";
/// `disabled`: a file system that a disk image fills up on purpose raises no alert.
pub const PVC_FILLING_UP_ALERT: &str = "alerts.k8s.io/KubePersistentVolumeFillingUp";
/// `true`: the pod may reach services of the cluster.
pub const ALLOW_ACCESS_CLUSTER_SERVICES: &str = "np.kubevirt.io/allow-access-cluster-services";

/// Default instance type of a disk.
pub const DEFAULT_INSTANCETYPE: &str = "instancetype.kubevirt.io/default-instancetype";
/// Kind of that instance type.
pub const DEFAULT_INSTANCETYPE_KIND: &str = "instancetype.kubevirt.io/default-instancetype-kind";
/// Default preference of a disk.
pub const DEFAULT_PREFERENCE: &str = "instancetype.kubevirt.io/default-preference";
/// Kind of that preference.
pub const DEFAULT_PREFERENCE_KIND: &str = "instancetype.kubevirt.io/default-preference-kind";
/// Whether credentials can be changed while a machine with this disk runs.
pub const DYNAMIC_CREDENTIALS_SUPPORT: &str = "kubevirt.io/dynamic-credentials-support";
/// The labels that a DataVolume inherits from its source.
pub const INHERITED: &[&str] = &[
    DEFAULT_INSTANCETYPE,
    DEFAULT_INSTANCETYPE_KIND,
    DEFAULT_PREFERENCE,
    DEFAULT_PREFERENCE_KIND,
    DYNAMIC_CREDENTIALS_SUPPORT,
];

/// What an operator installed.
pub const OPERATOR: &str = "operator.cdi.kubevirt.io";
/// Version of the operator that made an object.
pub const OPERATOR_CREATE_VERSION: &str = "operator.cdi.kubevirt.io/createVersion";
/// Version of the operator that changed an object last.
pub const OPERATOR_UPDATE_VERSION: &str = "operator.cdi.kubevirt.io/updateVersion";

/// `true` on roles that are added to the user role admin.
pub const AGGREGATE_TO_ADMIN: &str = "rbac.authorization.k8s.io/aggregate-to-admin";
/// `true` on roles that are added to the user role edit.
pub const AGGREGATE_TO_EDIT: &str = "rbac.authorization.k8s.io/aggregate-to-edit";
/// `true` on roles that are added to the user role view.
pub const AGGREGATE_TO_VIEW: &str = "rbac.authorization.k8s.io/aggregate-to-view";
