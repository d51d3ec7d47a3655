//! What becomes of the claim of a DataVolume is told on both, by CDI's reasons: `cargo xtask kubernetes test`.

use anyhow::{Context, Result, ensure};
use fixtures::images::MIB;
use fixtures::kubernetes::Cluster;
use serde_json::Value;
use tests::bed::Bed;
use tests::consumer;
use tests::data_volume::DataVolume;
use tests::objects::Namespace;

/// Of the disk that is served.
const SIZE: u64 = 8 * MIB;

const DATA_VOLUME: &str = "DataVolume";
const CLAIM: &str = "PersistentVolumeClaim";

/// A claim that somebody makes by himself.
const FOREIGN: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}
";

/// What keeps a DataVolume from its claim, or had it lose it: its code, the reason of the condition Bound and of the event.
fn kept_from(namespace: &Namespace, name: &str, code: &str, reason: &str) -> Result<()> {
    let told = namespace.told(name, code)?;
    let bound = told["status"]["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Bound");
    let bound = bound.with_context(|| format!("no condition Bound: {told}"))?;
    ensure!(bound["status"] == "False" && bound["reason"] == reason, "{bound}");
    let event =
        namespace.until_event(DATA_VOLUME, name, if reason == "ClaimLost" { "ErrClaimLost" } else { reason })?;
    ensure!(event["type"] == "Warning", "{event}");
    Ok(())
}

fn uid(object: &Value) -> &Value {
    &object["metadata"]["uid"]
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_of_somebody_else_is_told_and_left_alone() -> Result<()> {
    let cluster = Cluster::running()?;
    let namespace = Namespace::restricted(&cluster, "foreign")?;
    // There is no default class: it waits, and somebody is quicker.
    DataVolume::blank("disk").claim("storage: {resources: {requests: {storage: 64Mi}}}").apply(&namespace)?;
    kept_from(&namespace, "disk", "claim-no-class", "ErrClaimNotValid")?;
    namespace.apply(FOREIGN)?;
    kept_from(&namespace, "disk", "claim-exists", "ErrResourceExists")?;
    let claim = namespace.until_phase("pvc/disk", "Bound")?;
    ensure!(claim["metadata"]["ownerReferences"].is_null(), "{claim}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_that_goes_is_told_and_made_again_when_it_has_gone() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "going")?;
    bed.data_volume("disk").fill(&namespace)?;
    let before = namespace.there("pvc/disk")?;
    // Its user holds it.
    consumer::start(&namespace, "disk", false, "sleep 600")?;
    namespace.until_phase("pod/consumer-of-disk", "Running")?;
    namespace.ask(&["delete", "pvc", "disk", "--wait=false"])?;
    kept_from(&namespace, "disk", "claim-deleted", "ErrResourceMarkedForDeletion")?;
    namespace.ask(&["delete", "pod", "consumer-of-disk"])?;
    namespace.until("pvc/disk", "a new one", |claim| uid(claim) != uid(&before))?;
    namespace.succeeded("disk").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_that_loses_its_volume_fails_the_data_volume() -> Result<()> {
    let cluster = Cluster::running()?;
    let namespace = Namespace::restricted(&cluster, "losing")?;
    DataVolume::blank("disk").block(true).fill(&namespace)?;
    let claim = namespace.there("pvc/disk")?;
    let volume = claim["spec"]["volumeName"].as_str().context("no volume")?;
    // Kubernetes and the provisioner keep a volume in use; whoever takes that away loses it.
    cluster.ask(&["delete", "pv", volume, "--wait=false"])?;
    cluster.ask(&["patch", "pv", volume, "--type", "merge", "--patch", "{\"metadata\": {\"finalizers\": null}}"])?;
    kept_from(&namespace, "disk", "claim-lost", "ClaimLost")?;
    let lost = namespace.until_phase("datavolume/disk", "Failed")?;
    ensure!(lost["status"]["gantry"]["lastError"]["retried"] == false, "{lost}");
    Ok(())
}

/// A complete volume that does not fit any more waits for somebody, who deletes it.
#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_complete_volume_that_goes_before_it_is_handed_over_is_made_again() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "remade")?;
    let held = bed.server.hold()?;
    bed.data_volume("disk").apply(&namespace)?;
    let target = namespace.until("pvc/disk", "there", |_| true)?;
    let prime = format!("prime-{}", uid(&target).as_str().unwrap_or_default());
    let filled = namespace.until_phase(&format!("pvc/{prime}"), "Bound")?;
    let volume = filled["spec"]["volumeName"].as_str().context("no volume")?;
    let smaller = r#"{"spec": {"capacity": {"storage": "1Mi"}}}"#;
    bed.cluster.ask(&["patch", "pv", volume, "--type", "merge", "--patch", smaller])?;
    drop(held);
    namespace.told("disk", "claim-not-valid")?;
    namespace.ask(&["delete", "pvc", &prime, "--wait=false"])?;
    namespace.succeeded("disk")?;
    ensure!(namespace.there("pvc/disk")?["spec"]["volumeName"] != volume, "it has the volume that was deleted");
    let digest = consumer::digest(&namespace, "disk", false, SIZE)?;
    ensure!(digest == bed.digest()?, "it holds something else: {digest}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_quota_is_told_and_the_import_goes_on_once_it_allows_it() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "quota")?;
    let quota = |size: &str| {
        let spec = format!("{{hard: {{requests.storage: {size}}}}}");
        format!("{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: small}}, spec: {spec}}}")
    };
    for (name, size, kind) in [("claim", "32Mi", DATA_VOLUME), ("prime", "100Mi", CLAIM)] {
        namespace.apply(&quota(size))?;
        bed.data_volume(name).apply(&namespace)?;
        let told = namespace.told(name, "quota-exceeded")?;
        ensure!(told["status"].to_string().contains("ErrExceededQuota"), "{told}");
        namespace.until_event(kind, name, "ErrExceededQuota")?;
        namespace.apply(&quota("1Gi"))?;
        namespace.succeeded(name)?;
        namespace.ask(&["delete", "datavolume", name])?;
        namespace.gone(&format!("pvc/{name}"))?;
    }
    Ok(())
}

/// A class that no driver serves.
const UNDRIVEN: &str = "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: undriven}, provisioner: kubernetes.io/no-provisioner}";

/// It leaves its content to another, whom nobody would call.
const EXTERNAL: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: external}
spec:
  pvc:
    accessModes: [ReadWriteOnce]
    storageClassName: undriven
    dataSource: {kind: PersistentVolumeClaim, name: original}
    resources: {requests: {storage: 64Mi}}
";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_class_without_a_driver_populates_nothing() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "undriven")?;
    bed.cluster.apply(UNDRIVEN)?;
    let told = told_without_driver(&bed, &namespace);
    bed.cluster.ask(&["delete", "storageclass", "undriven"])?;
    told
}

fn told_without_driver(bed: &Bed, namespace: &Namespace) -> Result<()> {
    namespace.apply(EXTERNAL)?;
    kept_from(namespace, "external", "claim-no-class", "NoCSIDriverForExternalPopulation")?;
    // It wants to be populated nevertheless.
    bed.data_volume("populated").class("undriven").populator(true).apply(namespace)?;
    namespace.told("populated", "claim-not-valid")?;
    namespace.until_event(CLAIM, "populated", "ErrClaimNotValid").map(drop)
}
