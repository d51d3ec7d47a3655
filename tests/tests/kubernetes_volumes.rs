//! The importer in real pods, on volumes of gantry-csi: `cargo xtask kubernetes test`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
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
            cluster.ask(&["logs", pod])?
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok((cluster.ask(&["logs", pod])?, field("containerStatuses[0].state.terminated.message")?))
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
    let volumes = cluster.ask(&["get", "pv", "--output", "name"])?;
    assert_eq!(volumes, "", "a deleted claim's volume is left");
    Ok(())
}
