//! The importer in real pods, on volumes of gantry-csi: `cargo xtask kubernetes test`.

use anyhow::{Context, Result};
use fixtures::device::may_grow_mounted;
use fixtures::images::MIB;
use fixtures::images::qcow2::{Clusters, Qcow2};
use fixtures::kubernetes::{BUSYBOX, Cluster, IMPORTER, WORKER};
use serde_json::Value;
use tests::bed::Bed;
use tests::objects::{filled, until};

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $name}
spec:
  accessModes: [ReadWriteOnce]
  volumeMode: $mode
  storageClassName: gantry
  resources: {requests: {storage: $capacity}}
  $source
";

/// A pod with the claim's volume, as Pod Security's profile "restricted" has it.
const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: $work-$name}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  securityContext:
    {runAsUser: $user, runAsGroup: $user, fsGroup: $user, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: work
    image: $image
    imagePullPolicy: IfNotPresent
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    $volume
    $program
  volumes: [{name: disk, persistentVolumeClaim: {claimName: $name}}]
";

/// What a pod does: its name, its image, and the rest of its container.
type Work = (&'static str, &'static str, &'static str);

/// As CDI's controller would write it (cdi.md §4.1–4.3).
const IMPORT: Work = (
    "importer",
    IMPORTER,
    "args: ['-v=1']
    resources: {limits: {memory: 128Mi}}
    ports: [{name: metrics, containerPort: 8443}]
    env:
    - {name: IMPORTER_SOURCE, value: http}
    - {name: IMPORTER_ENDPOINT, value: '$url'}
    - {name: IMPORTER_CONTENTTYPE, value: kubevirt}
    - {name: IMPORTER_IMAGE_SIZE, value: 256Mi}
    - {name: OWNER_UID, value: 1b0ce4d2-6f6f-4d8e-9c1e-5a57b2f8a5d1}
    - {name: FILESYSTEM_OVERHEAD, value: '0.06'}
    - {name: INSECURE_TLS, value: 'false'}
    - {name: PREALLOCATION, value: 'false'}",
);

/// Says what the volume holds.
const LOOK: Work =
    ("look", BUSYBOX, "command: [/bin/busybox, sh, -c, 'busybox head -c $length $path | busybox sha256sum']");

/// Keeps the volume in use, and has written a line.
const WRITE: Work = (
    "write",
    BUSYBOX,
    "command: [/bin/busybox, sh, -c, 'echo $text | busybox dd of=$path conv=notrunc,fsync && busybox sleep 1000000']",
);

/// What [`WRITE`] writes, without the line's end.
const FIRST: &str = "first";
const SHA256_OF_FIRST: &str = "sha256:a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";

const SNAPSHOT: &str = "
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: snapshot-of-$name}
spec: {volumeSnapshotClassName: gantry, source: {persistentVolumeClaimName: $name}}
";

/// Volume mode, its part of a container, and where the disk is in it.
type Mode = (&'static str, &'static str, &'static str);

const MODES: [Mode; 2] = [
    ("Filesystem", "volumeMounts: [{name: disk, mountPath: /data}]", "/data/disk.img"),
    ("Block", "volumeDevices: [{name: disk, devicePath: /dev/cdi-block-volume}]", "/dev/cdi-block-volume"),
];

const SIZE: u64 = 128 * MIB;

/// A claim in the cluster, and the pods on its volume.
struct Claim<'a> {
    cluster: &'a Cluster,
    name: String,
    mode: Mode,
}

impl<'a> Claim<'a> {
    /// Makes a claim for `capacity`, with the content of `source`, a field of its spec.
    fn make(cluster: &'a Cluster, name: &str, mode: Mode, capacity: &str, source: &str) -> Result<Self> {
        let name = format!("{name}-{}", mode.0.to_lowercase());
        let words = [("$name", &*name), ("$mode", mode.0), ("$capacity", capacity), ("$source", source)];
        cluster.apply(&filled(CLAIM, &words))?;
        Ok(Self { cluster, name, mode })
    }

    /// Starts a pod on it; `word` of its program stands for `value`. Returns the pod's name.
    fn start(&self, (work, image, program): Work, word: &str, value: &str) -> Result<String> {
        let (_, volume, path) = self.mode;
        let user = WORKER.to_string();
        let words = [
            ("$program", program),
            (word, value),
            ("$volume", volume),
            ("$image", image),
            ("$work", work),
            ("$path", path),
        ];
        self.cluster.apply(&filled(&filled(POD, &words), &[("$name", &self.name), ("$user", &user)]))?;
        Ok(format!("{work}-{}", self.name))
    }

    /// The SHA-256 of the first `length` bytes of its disk, as a pod sees it.
    fn digest(&self, length: u64) -> Result<String> {
        let pod = self.start(LOOK, "$length", &length.to_string())?;
        let (said, _) = ended(self.cluster, &pod)?;
        delete(self.cluster, "pod", &pod)?;
        Ok(format!("sha256:{}", said.split(' ').next().unwrap_or_default()))
    }
}

/// Whether the volume of a claim grows when it is next used.
fn is_for_node(claim: &Value) -> bool {
    let conditions = claim["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "FileSystemResizePending" && one["status"] == "True")
}

fn delete(cluster: &Cluster, kind: &str, name: &str) -> Result<()> {
    cluster.ask(&["delete", kind, name]).map(drop)
}

/// Waits for the end of a pod and returns its only container's log and termination message.
fn ended(cluster: &Cluster, pod: &str) -> Result<(String, String)> {
    until(cluster, &format!("pod/{pod}"), "Succeeded", |pod| pod["status"]["phase"] == "Succeeded")?;
    let message = "jsonpath={.status.containerStatuses[0].state.terminated.message}";
    Ok((cluster.ask(&["logs", pod])?, cluster.ask(&["get", "pod", pod, "--output", message])?))
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_importer_pod_fills_a_volume_of_each_mode() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let cluster = &bed.cluster;
    Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&bed.disk, &bed.folder.path().join("disk.qcow2"))?;
    for mode in MODES {
        let claim = Claim::make(cluster, "imported", mode, "256Mi", "")?;
        let pod = claim.start(IMPORT, "$url", &bed.server.url("disk.qcow2"))?;
        let (log, message) = ended(cluster, &pod)?;
        let message: Value = serde_json::from_str(&message).context(log)?;
        assert_eq!(message["message"], "Import Complete", "{message}");
        delete(cluster, "pod", &pod)?;
        assert_eq!(claim.digest(SIZE)?, bed.digest()?, "{mode:?}");
        delete(cluster, "pvc", &claim.name)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_sidecars_take_snapshots_of_volumes_in_use_restore_clone_and_grow_them() -> Result<()> {
    let cluster = Cluster::running()?;
    for mode in MODES {
        let source = Claim::make(&cluster, "source", mode, "64Mi", "")?;
        let name = &source.name;
        let writer = source.start(WRITE, "$text", FIRST)?;
        until(&cluster, &format!("pod/{writer}"), "Running", |pod| pod["status"]["phase"] == "Running")?;
        cluster.apply(&SNAPSHOT.replace("$name", name))?;
        let taken = format!("volumesnapshot/snapshot-of-{name}");
        until(&cluster, &taken, "ready", |snapshot| snapshot["status"]["readyToUse"] == true)?;
        let snapshot = format!(
            "dataSource: {{apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snapshot-of-{name}}}"
        );
        let volume = format!("dataSource: {{kind: PersistentVolumeClaim, name: {name}}}");
        for (copy, from) in [("restored", &snapshot), ("cloned", &volume)] {
            let claim = Claim::make(&cluster, copy, mode, "64Mi", from)?;
            assert_eq!(claim.digest(FIRST.len() as u64)?, SHA256_OF_FIRST, "{copy} {mode:?}");
            if mode.0 == "Block" || may_grow_mounted()? {
                let larger = r#"{"spec": {"resources": {"requests": {"storage": "128Mi"}}}}"#;
                cluster.ask(&["patch", "pvc", &claim.name, "--patch", larger])?;
                // A volume grows on its node, when it is next used: by a pod that comes after the kubelet was asked to do it.
                let object = format!("pvc/{}", claim.name);
                until(&cluster, &object, "to be grown by its node", is_for_node)?;
                claim.digest(FIRST.len() as u64)?;
                until(&cluster, &object, "grown", |claim| claim["status"]["capacity"]["storage"] == "128Mi")?;
            } else {
                println!("not grown: a mounted ext4 needs CAP_SYS_RESOURCE for it, which this machine withholds");
            }
            delete(&cluster, "pvc", &claim.name)?;
        }
        delete(&cluster, "volumesnapshot", &format!("snapshot-of-{name}"))?;
    }
    // The writers go on, so that the end of the cluster finds volumes in use.
    Ok(())
}
