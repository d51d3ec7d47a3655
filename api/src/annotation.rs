//! The annotation keys of CDI, and our own under `gantry.dev/`.
//!
//! Keys are API: users write them and KubeVirt reads them, so misspelled ones stay as they are.

// Binding and the choice of path.

/// Any value on a DataVolume or PVC: do not wait for a first consumer.
pub const BIND_IMMEDIATE: &str = "cdi.kubevirt.io/storage.bind.immediate.requested";
/// `true` or `false`: whether the volume is filled through a prime PVC. Set by the controller unless the user did.
pub const USE_POPULATOR: &str = "cdi.kubevirt.io/storage.usePopulator";
/// `true`: worker pods and the prime PVC stay after success.
pub const RETAIN_AFTER_COMPLETION: &str = "cdi.kubevirt.io/storage.pod.retainAfterCompletion";
/// Asked for removal of the DataVolume after success. Has no effect; virtctl still reads it.
pub const DELETE_AFTER_COMPLETION: &str = "cdi.kubevirt.io/storage.deleteAfterCompletion";
/// On a DataVolume: the name of a PVC that is already filled.
pub const PRE_POPULATED: &str = "cdi.kubevirt.io/storage.prePopulated";
/// On a PVC: the name of the DataVolume it is filled for.
pub const POPULATED_FOR: &str = "cdi.kubevirt.io/storage.populatedFor";
/// On a DataVolume: look for persistent volumes that are reserved for its claim.
pub const CHECK_STATIC_VOLUME: &str = "cdi.kubevirt.io/storage.checkStaticVolume";
/// On a PVC: the names of those volumes, as JSON.
pub const PERSISTENT_VOLUME_LIST: &str = "cdi.kubevirt.io/storage.persistentVolumeList";
/// `true` or `false` on a DataVolume: whether an existing PVC may be taken over; wins over the feature gate.
pub const ALLOW_CLAIM_ADOPTION: &str = "cdi.kubevirt.io/allowClaimAdoption";
/// `true` on a PVC that another populator fills.
pub const EXTERNAL_POPULATION: &str = "cdi.kubevirt.io/externalPopulation";
/// On a PVC: the uid of the DataVolume that made it.
pub const CREATED_FOR_DATA_VOLUME: &str = "cdi.kubevirt.io/createdForDataVolume";

// The worker pod.

/// Phase of the worker pod.
pub const POD_PHASE: &str = "cdi.kubevirt.io/storage.pod.phase";
/// `true` when the worker pod is ready.
pub const POD_READY: &str = "cdi.kubevirt.io/storage.pod.ready";
/// Restarts of the worker's container.
pub const POD_RESTARTS: &str = "cdi.kubevirt.io/storage.pod.restarts";
/// `false` when the worker pod cannot be scheduled.
pub const POD_SCHEDULABLE: &str = "cdi.kubevirt.io/storage.pod.schedulable";
/// Priority class of worker pods.
pub const PRIORITY_CLASS_NAME: &str = "cdi.kubevirt.io/storage.pod.priorityclassname";
/// Service account of worker pods.
pub const SERVICE_ACCOUNT_NAME: &str = "cdi.kubevirt.io/storage.pod.serviceAccountName";

// What the conditions of a DataVolume are made from.

/// Status of the DataVolume's condition Running.
pub const RUNNING_CONDITION: &str = "cdi.kubevirt.io/storage.condition.running";
/// Its message.
pub const RUNNING_CONDITION_MESSAGE: &str = "cdi.kubevirt.io/storage.condition.running.message";
/// Its reason.
pub const RUNNING_CONDITION_REASON: &str = "cdi.kubevirt.io/storage.condition.running.reason";
/// Status of the DataVolume's condition Bound.
pub const BOUND_CONDITION: &str = "cdi.kubevirt.io/storage.condition.bound";
/// Its message.
pub const BOUND_CONDITION_MESSAGE: &str = "cdi.kubevirt.io/storage.condition.bound.message";
/// Its reason.
pub const BOUND_CONDITION_REASON: &str = "cdi.kubevirt.io/storage.condition.bound.reason";
/// Whether the source side of a clone runs.
pub const SOURCE_RUNNING_CONDITION: &str = "cdi.kubevirt.io/storage.condition.source.running";
/// Its message.
pub const SOURCE_RUNNING_CONDITION_MESSAGE: &str = "cdi.kubevirt.io/storage.condition.source.running.message";
/// Its reason.
pub const SOURCE_RUNNING_CONDITION_REASON: &str = "cdi.kubevirt.io/storage.condition.source.running.reason";

// What is to be written.

/// `kubevirt` or `archive`.
pub const CONTENT_TYPE: &str = "cdi.kubevirt.io/storage.contentType";
/// `true` when preallocation is asked for.
pub const PREALLOCATION_REQUESTED: &str = "cdi.kubevirt.io/storage.preallocation.requested";
/// `true` when the volume was preallocated.
pub const PREALLOCATION_APPLIED: &str = "cdi.kubevirt.io/storage.preallocation";

// The source, encoded on the PVC. A bare PVC with these is imported too.

/// Kind of the source: http, s3, gcs, glance, none, registry, imageio, vddk.
pub const IMPORT_SOURCE: &str = "cdi.kubevirt.io/storage.import.source";
/// Its URL.
pub const IMPORT_ENDPOINT: &str = "cdi.kubevirt.io/storage.import.endpoint";
/// Secret with its credentials.
pub const IMPORT_SECRET_NAME: &str = "cdi.kubevirt.io/storage.import.secretName";
/// ConfigMap with its certificate authorities.
pub const IMPORT_CERT_CONFIG_MAP: &str = "cdi.kubevirt.io/storage.import.certConfigMap";
/// `pod` or `node`.
pub const IMPORT_REGISTRY_METHOD: &str = "cdi.kubevirt.io/storage.import.registryImportMethod";
/// Image stream instead of a URL.
pub const IMPORT_REGISTRY_IMAGE_STREAM: &str = "cdi.kubevirt.io/storage.import.registryImageStream";
/// Architecture to choose from a list of manifests.
pub const IMPORT_REGISTRY_ARCHITECTURE: &str = "cdi.kubevirt.io/storage.import.registryImageArchitecture";
/// Disk at an oVirt engine.
pub const IMPORT_DISK_ID: &str = "cdi.kubevirt.io/storage.import.diskId";
/// Virtual machine at a vCenter.
pub const IMPORT_UUID: &str = "cdi.kubevirt.io/storage.import.uuid";
/// Disk of that virtual machine.
pub const IMPORT_BACKING_FILE: &str = "cdi.kubevirt.io/storage.import.backingFile";
/// Certificate thumbprint of the vCenter.
pub const IMPORT_THUMBPRINT: &str = "cdi.kubevirt.io/storage.import.vddk.thumbprint";
/// Start of the keys of extra headers; a number follows.
pub const IMPORT_EXTRA_HEADERS_PREFIX: &str = "cdi.kubevirt.io/storage.import.extraHeaders.";
/// Start of the keys of secrets with extra headers; a number follows.
pub const IMPORT_SECRET_EXTRA_HEADERS_PREFIX: &str = "cdi.kubevirt.io/storage.import.secretExtraHeaders.";
/// Checksum of the file as it is downloaded.
pub const IMPORT_CHECKSUM: &str = "cdi.kubevirt.io/storage.import.checksum";
/// `true`: certificates are not checked.
pub const IMPORT_INSECURE_SKIP_VERIFY: &str = "cdi.kubevirt.io/storage.import.insecureSkipVerify";

// The state of an import.

/// Name of the importer pod.
pub const IMPORT_POD: &str = "cdi.kubevirt.io/storage.import.importPodName";
/// `true` once an importer asked for scratch space. Never set by us.
pub const REQUIRES_SCRATCH: &str = "cdi.kubevirt.io/storage.import.requiresScratch";
/// `true` after an importer was killed for lack of memory.
pub const REQUIRES_DIRECT_IO: &str = "cdi.kubevirt.io/storage.import.requiresDirectIo";
/// `true` when trying again is of no use.
pub const IMPORT_FATAL_ERROR: &str = "cdi.kubevirt.io/storage.import.fatalError";

// VDDK.

/// Version of the VDDK library that was used.
pub const VDDK_VERSION: &str = "cdi.kubevirt.io/storage.pod.vddk.version";
/// Host it was connected to.
pub const VDDK_HOST: &str = "cdi.kubevirt.io/storage.pod.vddk.host";
/// Image with the library.
pub const VDDK_INIT_IMAGE_URL: &str = "cdi.kubevirt.io/storage.pod.vddk.initimageurl";
/// ConfigMap with further settings of the library.
pub const VDDK_EXTRA_ARGS: &str = "cdi.kubevirt.io/storage.pod.vddk.extraargs";

// Imports in stages.

/// Checkpoint the current stage begins at.
pub const CHECKPOINT_PREVIOUS: &str = "cdi.kubevirt.io/storage.checkpoint.previous";
/// Checkpoint the current stage ends at.
pub const CHECKPOINT_CURRENT: &str = "cdi.kubevirt.io/storage.checkpoint.current";
/// `true` when the current stage is the last.
pub const CHECKPOINT_FINAL: &str = "cdi.kubevirt.io/storage.checkpoint.final";
/// Start of the keys of finished stages; the checkpoint follows.
pub const CHECKPOINT_COPIED_PREFIX: &str = "cdi.kubevirt.io/storage.checkpoint.copied";
/// `true` when the last stage is finished.
pub const CHECKPOINT_DONE: &str = "cdi.kubevirt.io/storage.checkpoint.done";

// Upload.

/// Any value: the PVC is to be uploaded to.
pub const UPLOAD_TARGET: &str = "cdi.kubevirt.io/storage.upload.target";
/// Name in the certificate of the client that may upload.
pub const UPLOAD_CLIENT_NAME: &str = "cdi.kubevirt.io/uploadClientName";
/// Name of the upload pod.
pub const UPLOAD_POD: &str = "cdi.kubevirt.io/storage.uploadPodName";
/// Marks what the upload controller made.
pub const CREATED_BY_UPLOAD: &str = "cdi.kubevirt.io/storage.createdByUploadController";

// Clone.

/// Proof that the user may read the source.
pub const CLONE_TOKEN: &str = "cdi.kubevirt.io/storage.clone.token";
/// The same, long-lived.
pub const EXTENDED_CLONE_TOKEN: &str = "cdi.kubevirt.io/storage.extended.clone.token";
/// `namespace/name` of the source of a legacy host-assisted clone.
pub const CLONE_REQUEST: &str = "k8s.io/CloneRequest";
/// Marks a finished legacy clone.
pub const CLONE_OF: &str = "k8s.io/CloneOf";
/// How the clone is made.
pub const CLONE_TYPE: &str = "cdi.kubevirt.io/cloneType";
/// Phase of the clone.
pub const CLONE_PHASE: &str = "cdi.kubevirt.io/clonePhase";
/// Last error of the clone.
pub const CLONE_ERROR: &str = "cdi.kubevirt.io/cloneError";
/// Why the clone is a host-assisted copy.
pub const CLONE_FALLBACK_REASON: &str = "cdi.kubevirt.io/cloneFallbackReason";
/// The target may be larger than the source.
pub const PERMISSIVE_CLONE: &str = "cdi.kubevirt.io/permissiveClone";
/// The PVC is filled by the CSI driver's own clone.
pub const CSI_CLONE_REQUEST: &str = "cdi.kubevirt.io/CSICloneRequest";
/// Name of the pod at the source of a clone.
pub const SOURCE_CLONE_POD: &str = "cdi.kubevirt.io/storage.sourceClonePodName";
/// Strategy hint on a StorageClass.
pub const CLONE_STRATEGY: &str = "cdi.kubevirt.io/clone-strategy";
/// Virtual size of the image on a source PVC; the spelling is API.
pub const VIRTUAL_SIZE: &str = "cdi.Kubervirt.io/virtualSize";
/// Capacity of a source PVC when its virtual size was found; the spelling is API.
pub const SOURCE_CAPACITY: &str = "cdi.Kubervirt.io/sourceCapacity";

// Ownership.

/// uid of the owner.
pub const OWNER_UID: &str = "cdi.kubevirt.io/ownerUID";
/// Owner of an object in another namespace.
pub const OWNER_REF: &str = "cdi.kubevirt.io/storage.ownerRef";
/// `namespace/name` of the owning DataVolume.
pub const OWNED_BY_DATA_VOLUME: &str = "cdi.kubevirt.io/ownedByDataVolume";

// Populators.

/// Namespace of the source of a clone.
pub const DATA_SOURCE_NAMESPACE: &str = "cdi.kubevirt.io/dataSourceNamespace";
/// Kind of populator that fills the PVC.
pub const POPULATOR_KIND: &str = "cdi.kubevirt.io/storage.populator.kind";
/// Name of the prime PVC.
pub const POPULATOR_PVC_PRIME: &str = "cdi.kubevirt.io/storage.populator.pvcPrime";
/// Progress of the populator.
pub const POPULATOR_PROGRESS: &str = "cdi.kubevirt.io/storage.populator.progress";
/// Kind of the object that events are repeated on.
pub const EVENT_SOURCE_KIND: &str = "cdi.kubevirt.io/events.source.kind";
/// Its `namespace/name`.
pub const EVENT_SOURCE: &str = "cdi.kubevirt.io/events.source";

// DataImportCron.

/// On a VolumeSnapshot: volume mode of what it was made from.
pub const SOURCE_VOLUME_MODE: &str = "cdi.kubevirt.io/storage.import.sourceVolumeMode";
/// On a VolumeSnapshot: size to restore it to.
pub const ADVISED_RESTORE_SIZE: &str = "cdi.kubevirt.io/storage.import.advisedRestoreSize";
/// Digest that the cron should import next.
pub const SOURCE_DESIRED_DIGEST: &str = "cdi.kubevirt.io/storage.import.sourceDesiredDigest";
/// Where the image stream points to.
pub const IMAGE_STREAM_DOCKER_REF: &str = "cdi.kubevirt.io/storage.import.imageStreamDockerRef";
/// When the source is looked at next.
pub const NEXT_CRON_TIME: &str = "cdi.kubevirt.io/storage.import.nextCronTime";
/// When the source was looked at last.
pub const LAST_CRON_TIME: &str = "cdi.kubevirt.io/storage.import.lastCronTime";
/// When an import was used last.
pub const LAST_USE_TIME: &str = "cdi.kubevirt.io/storage.import.lastUseTime";
/// StorageClass of an import.
pub const IMPORT_STORAGE_CLASS: &str = "cdi.kubevirt.io/storage.import.storageClass";

// StorageProfile.

/// Smallest PVC that the provisioner makes.
pub const MINIMUM_SUPPORTED_PVC_SIZE: &str = "cdi.kubevirt.io/minimumSupportedPvcSize";
/// `true`: imports of crons use ReadWriteOnce.
pub const USE_READ_WRITE_ONCE_FOR_DATA_IMPORT_CRON: &str = "cdi.kubevirt.io/useReadWriteOnceForDataImportCron";
/// VolumeSnapshotClass for snapshots of crons.
pub const SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON: &str = "cdi.kubevirt.io/snapshotClassForDataImportCron";

// CDI and the rest.

/// On a CDI object: its `spec.config` rules over CDIConfig.
pub const CONFIG_AUTHORITY: &str = "cdi.kubevirt.io/configAuthority";
/// ObjectTransfer that an object belongs to.
pub const OBJECT_TRANSFER_NAME: &str = "cdi.kubevirt.io/objectTransferName";
/// Hash of the customisations of a component.
pub const CUSTOMIZER_IDENTIFIER: &str = "cdi.kubevirt.io/customizer-identifier";
/// `*` on a pod: image streams are resolved in its images.
pub const RESOLVE_NAMES: &str = "alpha.image.policy.openshift.io/resolve-names";

// Keys of others that are read or written.

/// `true` on the default StorageClass.
pub const DEFAULT_STORAGE_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// `true` on the default StorageClass for virtual machines' disks.
pub const DEFAULT_VIRT_STORAGE_CLASS: &str = "storageclass.kubevirt.io/is-default-virt-class";
/// `true` on the default VolumeSnapshotClass.
pub const DEFAULT_SNAPSHOT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";
/// Node that the scheduler chose for the first consumer of a PVC.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Who makes the volume of a PVC; one that was made by hand has none.
pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// CSI driver that serves volumes of an in-tree provisioner.
pub const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
/// Networks of a pod (multus).
pub const POD_NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// Default network of a pod (multus).
pub const POD_DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";
/// `false` on worker pods: no sidecar of Istio.
pub const ISTIO_INJECT: &str = "sidecar.istio.io/inject";
/// `disabled` on worker pods: no sidecar of Linkerd.
pub const LINKERD_INJECT: &str = "linkerd.io/inject";
/// Ports of a pod that OVN leaves open.
pub const OVN_OPEN_DEFAULT_PORTS: &str = "k8s.ovn.org/open-default-ports";

// Finalizers share the prefix.

/// On a DataVolume that clones from another namespace.
pub const FINALIZER_DATA_VOLUME: &str = "cdi.kubevirt.io/dataVolumeFinalizer";
/// On the pod at the source of a clone.
pub const FINALIZER_CLONE_SOURCE: &str = "cdi.kubevirt.io/cloneSource";
/// On a PVC that the clone populator fills.
pub const FINALIZER_CLONE_POPULATOR: &str = "cdi.kubevirt.io/clonePopulator";
/// On the pod that imports an image stream.
pub const FINALIZER_IMPORT_IMAGE_STREAM: &str = "cdi.kubevirt.io/importImageStream";
/// On an object that is being transferred.
pub const FINALIZER_OBJECT_TRANSFER: &str = "cdi.kubevirt.io/objectTransfer";

// Ours.

/// Fingerprint of a volume's content as populated; removed when the first writable consumer starts.
pub const FINGERPRINT: &str = "gantry.dev/fingerprint";
/// `true` on the definition of a kind while there are objects of it that somebody would miss.
pub const IN_USE: &str = "gantry.dev/in-use";
/// What last went wrong with an import, as the JSON object of `status.gantry.lastError`.
pub const LAST_ERROR: &str = "gantry.dev/last-error";
/// On an importer pod: digest of what it was made from. One that does not run and would be made otherwise by now is made anew.
pub const MADE_FROM: &str = "gantry.dev/made-from";

/// The annotations of a DataVolume or PVC that its worker pods get too.
pub const PROPAGATED_TO_PODS: &[&str] =
    &[POD_NETWORKS, POD_DEFAULT_NETWORK, ISTIO_INJECT, LINKERD_INJECT, PRIORITY_CLASS_NAME, SERVICE_ACCOUNT_NAME];

/// What counts as true in the annotations of CDI (Go's `strconv.ParseBool`).
#[must_use]
pub fn is_true(text: &str) -> bool {
    ["1", "t", "T", "true", "TRUE", "True"].contains(&text)
}
