//! Objects as users write them are read and written back without loss; what is absent or unknown does no harm.

#![cfg(test)]

use api::cdi::{
    Cdi, CdiConfig, ContentType, DataImportCron, DataSource, DataVolume, DataVolumeStatus, ObjectTransfer,
    StorageProfile, VolumeCloneSource, VolumeImportSource, VolumeUploadSource,
};
use api::condition::{self, Condition};
use api::forklift::{OpenstackVolumePopulator, OvirtVolumePopulator};
use api::phase::Phase;
use api::upload::UploadTokenRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads an object as `K` and checks that writing it gives the same.
fn same_again<K: DeserializeOwned + Serialize>(kind: &str, body: &Value) -> K {
    let group = kind.rsplit_once('/').map_or("cdi.kubevirt.io", |(group, _)| group);
    let kind = kind.rsplit('/').next().unwrap();
    let mut object = json!({"apiVersion": format!("{group}/v1beta1"), "kind": kind, "metadata": {"name": "x"}});
    for (key, value) in body.as_object().unwrap() {
        object[key] = value.clone();
    }
    let read: K = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{kind}: {error}"));
    assert_eq!(serde_json::to_value(&read).unwrap(), object, "{kind}");
    read
}

fn condition(type_: &str) -> Value {
    json!({
        "type": type_, "status": "True", "reason": "Ready", "message": "all is well",
        "lastTransitionTime": "2026-03-01T10:00:00Z", "lastHeartbeatTime": "2026-03-01T10:00:01Z",
    })
}

#[test]
fn a_data_volume_with_everything_is_kept() {
    let sources = json!({
        "http": {
            "url": "https://cloud.example/images/debian.qcow2", "secretRef": "login", "certConfigMap": "authorities",
            "extraHeaders": ["X-Zone: west"], "secretExtraHeaders": ["token"], "checksum": "sha256:00",
            "insecureSkipVerify": false,
        },
        "s3": {"url": "https://s3.example/images/disk.raw", "secretRef": "keys", "certConfigMap": "authorities"},
        "gcs": {"url": "gs://images/disk.raw", "secretRef": "account"},
        "registry": {
            "url": "docker://quay.example/disks/fedora:40", "pullMethod": "node", "secretRef": "login",
            "certConfigMap": "authorities", "platform": {"architecture": "arm64"},
        },
        "pvc": {"namespace": "golden", "name": "fedora"},
        "snapshot": {"namespace": "golden", "name": "fedora-snap"},
        "upload": {},
        "blank": {},
        "imageio": {
            "url": "https://engine.example/ovirt-engine/api", "diskId": "7", "secretRef": "login",
            "certConfigMap": "authorities", "insecureSkipVerify": true,
        },
        "vddk": {
            "url": "https://vcenter.example", "uuid": "52e", "backingFile": "[store] vm/vm.vmdk", "thumbprint": "20:6C",
            "secretRef": "login", "certConfigMap": "authorities", "initImageURL": "registry.example/vddk:8",
            "extraArgs": "vddk-args",
        },
    });
    for (name, source) in sources.as_object().unwrap() {
        let body = json!({
            "spec": {
                "source": {name: source},
                "storage": {
                    "accessModes": ["ReadWriteMany"], "volumeMode": "Block", "storageClassName": "fast",
                    "volumeName": "pv-1", "resources": {"requests": {"storage": "30Gi"}},
                    "selector": {"matchLabels": {"tier": "gold"}},
                    "dataSource": {"kind": "PersistentVolumeClaim", "name": "old"},
                    "dataSourceRef": {"apiGroup": "example.com", "kind": "Book", "name": "b", "namespace": "lib"},
                },
                "contentType": "kubevirt", "priorityClassName": "high", "serviceAccountName": "mover",
                "preallocation": true, "finalCheckpoint": false,
                "checkpoints": [{"previous": "", "current": "s1"}, {"previous": "s1", "current": "s2"}],
            },
            "status": {
                "claimName": "x", "phase": "ImportInProgress", "progress": "12.34%", "restartCount": 2,
                "conditions": [condition("Ready"), condition("Bound"), condition("Running")],
                "gantry": {
                    "step": "copying", "attempt": 2, "bytesDone": 5_368_709_120_i64, "bytesTotal": 10_737_418_240_i64,
                    "bytesPerSecond": 104_857_600, "etaSeconds": 51, "fingerprint": "gantry1:10737418240:ab",
                    "lastError": {
                        "code": "source-connection", "cause": "the connection was cut", "remedy": "nothing to do",
                        "retried": true, "time": "2026-03-01T10:00:00Z",
                    },
                },
            },
        });
        same_again::<DataVolume>("DataVolume", &body);
    }
}

#[test]
fn the_other_ways_to_say_what_a_data_volume_is_are_kept() {
    same_again::<DataVolume>(
        "DataVolume",
        &json!({"spec": {
            "sourceRef": {"kind": "DataSource", "namespace": "golden", "name": "fedora"},
            "pvc": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}},
        }}),
    );
    let stream = json!({"spec": {"source": {"registry": {"imageStream": "rhel9"}}, "storage": {}}});
    same_again::<DataVolume>("DataVolume", &stream);
}

#[test]
fn sources_of_images_are_kept() {
    same_again::<DataSource>(
        "DataSource",
        &json!({
            "spec": {"source": {"dataSource": {"namespace": "golden", "name": "fedora"}}},
            "status": {"source": {"pvc": {"namespace": "golden", "name": "fedora-1"}}, "conditions": [condition("Ready")]},
        }),
    );
    let cron = same_again::<DataImportCron>(
        "DataImportCron",
        &json!({
            "spec": {
                "schedule": "0 */6 * * *", "managedDataSource": "fedora", "garbageCollect": "Outdated", "importsToKeep": 2,
                "retentionPolicy": "None", "serviceAccountName": "importer",
                "template": {
                    "metadata": {"labels": {"os": "fedora"}},
                    "spec": {"source": {"registry": {"url": "docker://quay.example/fedora"}}, "storage": {}},
                },
            },
            "status": {
                "currentImports": [{"DataVolumeName": "fedora-0123456789ab", "Digest": "sha256:0123"}],
                "lastImportedPVC": {"namespace": "golden", "name": "fedora-0123456789ab"},
                "lastExecutionTimestamp": "2026-03-01T10:00:00Z", "lastImportTimestamp": "2026-03-01T09:00:00Z",
                "sourceFormat": "pvc", "conditions": [condition("UpToDate"), condition("Progressing")],
            },
        }),
    );
    let labels = cron.spec.template.metadata.and_then(|metadata| metadata.labels).unwrap();
    assert_eq!(labels["os"], "fedora");
}

#[test]
fn settings_and_profiles_are_kept() {
    let config = json!({
        "uploadProxyURLOverride": "https://upload.example",
        "importProxy": {
            "HTTPProxy": "http://proxy:3128", "HTTPSProxy": "http://proxy:3128", "noProxy": ".svc", "trustedCAProxy": "ca",
        },
        "scratchSpaceStorageClass": "fast", "podResourceRequirements": {"limits": {"cpu": "1"}, "requests": {"memory": "60M"}},
        "featureGates": ["HonorWaitForFirstConsumer"], "webhookPvcRendering": "Disabled",
        "filesystemOverhead": {"global": "0.06", "storageClass": {"fast": "0"}}, "preallocation": false,
        "insecureRegistries": ["registry.local:5000"], "dataVolumeTTLSeconds": 0,
        "tlsSecurityProfile": {"type": "Custom", "custom": {"ciphers": ["A"], "minTLSVersion": "VersionTLS12"}},
        "imagePullSecrets": [{"name": "pull"}], "logVerbosity": 3,
        "gantry": {
            "sourcePolicy": {"denyPrivate": true, "allow": ["10.1.0.0/16"], "deny": ["192.0.2.0/24"]},
            "namespaceSourcePolicies": {"team": {"deny": ["198.51.100.0/24"]}},
        },
    });
    same_again::<CdiConfig>(
        "CDIConfig",
        &json!({
            "spec": config,
            "status": {
                "uploadProxyURL": "https://upload.example", "uploadProxyCA": "-----BEGIN", "importProxy": {"noProxy": ".svc"},
                "scratchSpaceStorageClass": "fast", "defaultPodResourceRequirements": {"requests": {"cpu": "100m"}},
                "filesystemOverhead": {"global": "0.06", "storageClass": {"fast": "0"}}, "preallocation": false,
                "imagePullSecrets": [{"name": "pull"}],
            },
        }),
    );
    same_again::<Cdi>(
        "CDI",
        &json!({
            "spec": {
                "imagePullPolicy": "IfNotPresent", "uninstallStrategy": "BlockUninstallIfWorkloadsExist",
                "infra": {
                    "nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"operator": "Exists"}], "affinity": {},
                    "deploymentReplicas": 2, "apiServerReplicas": 2, "uploadProxyReplicas": 1,
                },
                "workload": {"nodeSelector": {"kubernetes.io/os": "linux"}},
                "customizeComponents": {
                    "patches": [{"resourceName": "*", "resourceType": "Deployment", "patch": "{}", "type": "merge"}],
                    "flags": {"api": {"v": "5"}, "controller": {"v": "5"}, "uploadProxy": {"v": "5"}},
                },
                "cloneStrategyOverride": "copy", "config": config, "priorityClass": "system-cluster-critical",
                "certConfig": {
                    "ca": {"duration": "48h", "renewBefore": "24h"}, "server": {"duration": "24h"}, "client": {"renewBefore": "12h"},
                },
            },
            "status": {
                "phase": "Deployed", "conditions": [condition("Available")], "operatorVersion": "1", "targetVersion": "1",
                "observedVersion": "1",
            },
        }),
    );
    let sets = json!([{"accessModes": ["ReadWriteMany"], "volumeMode": "Block"}]);
    same_again::<StorageProfile>(
        "StorageProfile",
        &json!({
            "spec": {
                "cloneStrategy": "csi-clone", "claimPropertySets": sets, "dataImportCronSourceFormat": "snapshot",
                "snapshotClass": "fast",
            },
            "status": {
                "storageClass": "fast", "provisioner": "csi.example.com", "cloneStrategy": "csi-clone",
                "claimPropertySets": sets, "dataImportCronSourceFormat": "snapshot", "snapshotClass": "fast",
                "conditions": [condition("Recognized")],
            },
        }),
    );
}

#[test]
fn sources_of_claims_and_transfers_are_kept() {
    same_again::<VolumeImportSource>(
        "VolumeImportSource",
        &json!({
            "spec": {
                "source": {"blank": {}}, "preallocation": true, "contentType": "archive", "targetClaim": "disk",
                "checkpoints": [{"previous": "", "current": "s1"}], "finalCheckpoint": true,
            },
            "status": {},
        }),
    );
    let upload = json!({"spec": {"contentType": "archive", "preallocation": true}, "status": {}});
    same_again::<VolumeUploadSource>("VolumeUploadSource", &upload);
    same_again::<VolumeCloneSource>(
        "VolumeCloneSource",
        &json!({"spec": {
            "source": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "snap"},
            "preallocation": false, "priorityClassName": "high",
        }}),
    );
    same_again::<ObjectTransfer>(
        "ObjectTransfer",
        &json!({
            "spec": {
                "source": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "a", "name": "b",
                    "requiredAnnotations": {"c": "d"},
                },
                "target": {"namespace": "e", "name": "f"}, "parentName": "g",
            },
            "status": {"data": {"h": "i"}, "phase": "Running", "conditions": [condition("Complete")]},
        }),
    );
    same_again::<OvirtVolumePopulator>(
        "forklift.cdi.kubevirt.io/OvirtVolumePopulator",
        &json!({
            "spec": {"engineUrl": "https://engine.example", "secretRef": "s", "diskId": "7", "transferNetwork": "net"},
            "status": {"progress": "12"},
        }),
    );
    same_again::<OpenstackVolumePopulator>(
        "forklift.cdi.kubevirt.io/OpenstackVolumePopulator",
        &json!({
            "spec": {"identityUrl": "https://keystone.example", "secretRef": "s", "imageId": "7", "transferNetwork": "net"},
            "status": {"progress": "12"},
        }),
    );
    same_again::<UploadTokenRequest>(
        "upload.cdi.kubevirt.io/UploadTokenRequest",
        &json!({"spec": {"pvcName": "disk"}, "status": {"token": "t"}}),
    );
}

#[test]
fn what_is_absent_is_a_default_and_is_not_written() {
    let read: DataVolume = serde_json::from_value(json!({"metadata": {}, "spec": {}})).unwrap();
    assert_eq!(read, DataVolume::default());
    let written = json!({"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {}, "spec": {}});
    assert_eq!(json!(read), written);
    assert_eq!(read.spec.known_content_type(), Some(ContentType::Kubevirt));
    assert_eq!(json!(DataVolumeStatus::default()), json!({}));
}

#[test]
fn words_of_a_newer_version_make_no_object_unreadable() {
    let read: DataVolume = serde_json::from_value(json!({
        "metadata": {"name": "x"},
        "spec": {"source": {"teleport": {"url": "x"}}, "contentType": "hologram", "speed": 9},
        "status": {"phase": "Teleporting", "conditions": [{"type": "Ready"}], "gantry": {"lastError": {"code": "x"}}},
    }))
    .unwrap();
    assert_eq!(read.spec.known_content_type(), None);
    let status = read.status.unwrap();
    assert_eq!((status.phase.as_deref(), status.known_phase()), (Some("Teleporting"), Phase::Unknown));
    assert_eq!(condition::find(&status.conditions, condition::READY).unwrap().status, "");
    assert_eq!(status.gantry.unwrap().last_error.unwrap().remedy, "");
}

#[test]
fn a_condition_is_found_by_its_type() {
    let conditions =
        [condition::BOUND, condition::READY].map(|type_| Condition { type_: type_.to_owned(), ..Default::default() });
    assert_eq!(condition::find(&conditions, condition::READY), Some(&conditions[1]));
    assert_eq!(condition::find(&conditions, condition::RUNNING), None);
}
