//! Pods that look into a claim and say what they see.

use anyhow::{Result, ensure};
use fixtures::kubernetes::BUSYBOX;
use serde_json::Value;

use crate::objects::{Namespace, filled};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: $pod}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 107, runAsGroup: 107, fsGroup: 107, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: work
    image: $image
    imagePullPolicy: IfNotPresent
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    $volume
    command: [/bin/busybox, sh, -c, '$command']
  volumes: [{name: disk, persistentVolumeClaim: {claimName: $claim}}]
";

/// Starts a pod that runs a command with the claim's file system at `/data`, or its device at `/disk`.
///
/// # Errors
/// When the API server refuses it.
pub fn start(namespace: &Namespace, claim: &str, block: bool, command: &str) -> Result<()> {
    let volume = if block {
        "volumeDevices: [{name: disk, devicePath: /disk}]"
    } else {
        "volumeMounts: [{name: disk, mountPath: /data}]"
    };
    let pod = name(claim);
    namespace.apply(&filled(
        POD,
        &[("$pod", &pod), ("$image", BUSYBOX), ("$volume", volume), ("$command", command), ("$claim", claim)],
    ))
}

/// What the pod of [`start`] has printed, once it has ended well; it goes then.
///
/// # Errors
/// When it fails, or does not end.
pub fn said(namespace: &Namespace, claim: &str) -> Result<String> {
    let pod = name(claim);
    let is_over = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let ended = namespace.until(&format!("pod/{pod}"), "over", is_over)?;
    let log = namespace.ask(&["logs", &pod])?;
    ensure!(ended["status"]["phase"] == "Succeeded", "{log}");
    namespace.ask(&["delete", "pod", &pod])?;
    Ok(log.trim().to_owned())
}

/// What a command prints that sees the claim.
///
/// # Errors
/// As [`start`] and [`said`].
pub fn ask(namespace: &Namespace, claim: &str, block: bool, command: &str) -> Result<String> {
    start(namespace, claim, block, command)?;
    said(namespace, claim)
}

/// `sha256:` and the digest of the first `size` bytes of the disk in the claim.
///
/// # Errors
/// As [`ask`].
pub fn digest(namespace: &Namespace, claim: &str, block: bool, size: u64) -> Result<String> {
    begin_digest(namespace, claim, block, size)?;
    said_digest(namespace, claim)
}

/// Starts a pod that reads the first `size` bytes of the disk in the claim, which may not be filled yet.
///
/// # Errors
/// As [`start`].
pub fn begin_digest(namespace: &Namespace, claim: &str, block: bool, size: u64) -> Result<()> {
    let disk = if block { "/disk" } else { "/data/disk.img" };
    start(namespace, claim, block, &format!("busybox head -c {size} {disk} | busybox sha256sum"))
}

/// What the pod of [`begin_digest`] has read, as [`digest`] tells it.
///
/// # Errors
/// As [`said`].
pub fn said_digest(namespace: &Namespace, claim: &str) -> Result<String> {
    let text = said(namespace, claim)?;
    Ok(format!("sha256:{}", text.split(' ').next().unwrap_or_default()))
}

fn name(claim: &str) -> String {
    format!("consumer-of-{claim}")
}
