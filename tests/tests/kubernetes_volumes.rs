//! The importer in real pods, on volumes of gantry-csi: `cargo xtask kubernetes test`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::device::may_grow_mounted;
use fixtures::images::qcow2::{Clusters, Qcow2};
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, BUSYBOX, Cluster, IMPORTER, WORKER};
use fixtures::nginx::Settings;
use serde_json::Value;
use tests::sha256;

/// A claim, and the importer's pod as CDI's controller would write it (cdi.md §4.1–4.3).
const IMPORT: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME}
spec:
  accessModes: [ReadWriteOnce]
  volumeMode: MODE
  storageClassName: gantry
  resources: {requests: {storage: 256Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: importer-NAME}
spec:
  restartPolicy: OnFailure
  SECURITY
  containers:
  - name: importer
    image: IMAGE
    imagePullPolicy: IfNotPresent
    args: ['-v=1']
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    resources: {limits: {memory: 128Mi}}
    ports: [{name: metrics, containerPort: 8443}]
    env:
    - {name: IMPORTER_SOURCE, value: http}
    - {name: IMPORTER_ENDPOINT, value: 'URL'}
    - {name: IMPORTER_CONTENTTYPE, value: kubevirt}
    - {name: IMPORTER_IMAGE_SIZE, value: 128Mi}
    - {name: OWNER_UID, value: 1b0ce4d2-6f6f-4d8e-9c1e-5a57b2f8a5d1}
    - {name: FILESYSTEM_OVERHEAD, value: '0.06'}
    - {name: INSECURE_TLS, value: 'false'}
    - {name: PREALLOCATION, value: 'false'}
    VOLUME
  volumes: [{name: disk, persistentVolumeClaim: {claimName: NAME}}]
";

/// A pod that says what the volume holds.
const LOOK: &str = "
apiVersion: v1
kind: Pod
metadata: {name: look-NAME}
spec:
  restartPolicy: Never
  SECURITY
  containers:
  - name: look
    image: IMAGE
    imagePullPolicy: IfNotPresent
    command: [/bin/busybox, sh, -c, 'busybox head -c SIZE PATH | busybox sha256sum']
    VOLUME
  volumes: [{name: disk, persistentVolumeClaim: {claimName: NAME}}]
";

/// What Pod Security's profile "restricted" asks for.
const SECURITY: &str = "securityContext: {runAsUser: WORKER, runAsGroup: WORKER, fsGroup: WORKER, runAsNonRoot: true, \
    seccompProfile: {type: RuntimeDefault}}";

/// Volume mode, its part of a container, and where the disk is in it.
const MODES: [(&str, &str, &str); 2] = [
    ("Filesystem", "volumeMounts: [{name: disk, mountPath: /data}]", "/data/disk.img"),
    ("Block", "volumeDevices: [{name: disk, devicePath: /dev/cdi-block-volume}]", "/dev/cdi-block-volume"),
];

const SIZE: u64 = 128 * MIB;

/// SHA-256 of "first", the bytes that [`WRITE`] begins with.
const FIRST: &str = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";

/// Fills in the words of a manifest.
fn filled(manifest: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(manifest.to_owned(), |text, (word, value)| text.replace(word, value))
}

/// Waits for the end of a pod and returns its only container's log and termination message.
fn ended(cluster: &Cluster, pod: &str) -> Result<(String, String)> {
    let field = |path: &str| cluster.ask(&["get", "pod", pod, "--output", &format!("jsonpath={{.status.{path}}}")]);
    let end = Instant::now() + Duration::from_secs(120);
    while field("phase")? != "Succeeded" {
        ensure!(
            Instant::now() < end && field("phase")? != "Failed",
            "{}\n{}",
            cluster.ask(&["describe", "pod", pod])?,
            cluster.ask(&["logs", pod]).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok((cluster.ask(&["logs", pod])?, field("containerStatuses[0].state.terminated.message")?))
}

/// A pod that keeps a volume in use and writes a line at its start.
const WRITE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: write-NAME}
spec:
  restartPolicy: Never
  SECURITY
  terminationGracePeriodSeconds: 0
  containers:
  - name: write
    image: IMAGE
    imagePullPolicy: IfNotPresent
    command: [/bin/busybox, sh, -c, 'echo first | busybox dd of=PATH conv=notrunc,fsync && busybox sleep 1000000']
    VOLUME
  volumes: [{name: disk, persistentVolumeClaim: {claimName: NAME}}]
";

const SNAPSHOT: &str = "
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: SNAPSHOT}
spec: {volumeSnapshotClassName: gantry, source: {persistentVolumeClaimName: NAME}}
";

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME}
spec:
  accessModes: [ReadWriteOnce]
  volumeMode: MODE
  storageClassName: gantry
  resources: {requests: {storage: 64Mi}}
  SOURCE
";

/// Waits until a field of an object has a value.
fn until(cluster: &Cluster, object: &str, field: &str, value: &str) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let found = cluster.ask(&["get", object, "--output", &format!("jsonpath={{{field}}}")])?;
        if found == value {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{field} is {found:?}\n{}", cluster.ask(&["describe", object])?);
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_sidecars_take_snapshots_of_volumes_in_use_restore_clone_and_grow_them() -> Result<()> {
    let cluster = Cluster::running()?;
    let security = SECURITY.replace("WORKER", &WORKER.to_string());
    for (mode, volume, path) in MODES {
        let name = format!("source-{}", mode.to_lowercase());
        let words = |name: &str, manifest: &str, source: &str| {
            let words = [("NAME", name), ("MODE", mode), ("VOLUME", volume), ("SECURITY", &security), ("PATH", path)];
            filled(&filled(manifest, &words), &[("IMAGE", BUSYBOX), ("SIZE", "5"), ("SOURCE", source)])
        };
        cluster.apply(&words(&name, CLAIM, ""))?;
        cluster.apply(&words(&name, WRITE, ""))?;
        let writer = format!("write-{name}");
        until(&cluster, &format!("pod/{writer}"), ".status.phase", "Running")?;
        let snapshot = format!("snapshot-of-{name}");
        cluster.apply(&words(&name, SNAPSHOT, "").replace("SNAPSHOT", &snapshot))?;
        until(&cluster, &format!("volumesnapshot/{snapshot}"), ".status.readyToUse", "true")?;
        let made = [
            (
                format!("restored-{name}"),
                format!("dataSource: {{apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: {snapshot}}}"),
            ),
            (format!("cloned-{name}"), format!("dataSource: {{kind: PersistentVolumeClaim, name: {name}}}")),
        ];
        for (copy, source) in &made {
            cluster.apply(&words(copy, CLAIM, source))?;
            cluster.apply(&words(copy, LOOK, ""))?;
            let (said, _) = ended(&cluster, &format!("look-{copy}"))?;
            assert_eq!(said.split(' ').next(), Some(FIRST), "{copy}: {said}");
        }
        let (copy, _) = &made[0];
        if mode == "Block" || may_grow_mounted()? {
            let larger = r#"{"spec": {"resources": {"requests": {"storage": "128Mi"}}}}"#;
            cluster.ask(&["patch", "pvc", copy, "--patch", larger])?;
            cluster.ask(&["delete", "pod", &format!("look-{copy}")])?;
            // A volume grows on its node, when it is next used.
            cluster.apply(&words(copy, LOOK, ""))?;
            ended(&cluster, &format!("look-{copy}"))?;
            until(&cluster, &format!("pvc/{copy}"), ".status.capacity.storage", "128Mi")?;
        } else {
            println!("not grown: a mounted ext4 needs CAP_SYS_RESOURCE for it, which this machine withholds");
        }
        cluster.ask(&["delete", "pod", &writer, &format!("look-{copy}"), &format!("look-{}", made[1].0)])?;
        cluster.ask(&["delete", "volumesnapshot", &snapshot])?;
        cluster.ask(&["delete", "pvc", &name, copy, &made[1].0])?;
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_importer_pod_fills_a_volume_of_each_mode() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    let original = raw::dense(&folder.path().join("disk.raw"), SIZE, 1)?;
    Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&original, &folder.path().join("disk.qcow2"))?;
    let nginx = Settings::new(folder.path()).address(ADDRESS).start()?;
    let security = SECURITY.replace("WORKER", &WORKER.to_string());
    for (mode, volume, path) in MODES {
        let name = mode.to_lowercase();
        let (url, size) = (nginx.url("disk.qcow2"), SIZE.to_string());
        let words = [("NAME", &*name), ("MODE", mode), ("VOLUME", volume), ("SECURITY", &security), ("URL", &url)];
        cluster.apply(&filled(&filled(IMPORT, &words), &[("IMAGE", IMPORTER)]))?;
        let (log, message) = ended(&cluster, &format!("importer-{name}"))?;
        let message: Value = serde_json::from_str(&message).context(log)?;
        assert_eq!(message["message"], "Import Complete", "{message}");
        cluster.ask(&["delete", "pod", &format!("importer-{name}")])?;
        let look = filled(&filled(LOOK, &words), &[("IMAGE", BUSYBOX), ("PATH", path), ("SIZE", &size)]);
        cluster.apply(&look)?;
        let (said, _) = ended(&cluster, &format!("look-{name}"))?;
        let found = said.split(' ').next().map(|digest| format!("sha256:{digest}"));
        assert_eq!(found, Some(sha256(&original)?), "{mode}: {said}");
        cluster.ask(&["delete", "pod", &format!("look-{name}")])?;
        cluster.ask(&["delete", "pvc", &name])?;
    }
    Ok(())
}
