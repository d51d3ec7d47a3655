//! The product goes and comes again, and its definitions stay for whoever has objects of them: `cargo xtask kubernetes test`.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fixtures::images::MIB;
use fixtures::kubernetes::Cluster;
use tests::bed::Bed;
use tests::data_volume::DataVolume;
use tests::objects::Namespace;
use tests::{binary, fingerprint};

const SIZE: u64 = 64 * MIB;
const DEFINITION: &str = "datavolumes.cdi.kubevirt.io";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_product_can_be_deleted_and_installed_again_in_the_midst_of_an_import() -> Result<()> {
    let bed = Bed::new(SIZE, "limit_rate 2m;")?;
    let cluster = &bed.cluster;
    let fingerprint = fingerprint(&mut Command::new(binary()), &bed.disk)?;
    let namespace = Namespace::new(cluster, "again")?;
    let uid = |name: &str| Ok(namespace.there(name)?["metadata"]["uid"].clone());
    DataVolume::blank("kept").block(true).fill(&namespace)?;
    the_webhook_keeps_the_definition(cluster)?;
    bed.data_volume("half").block(true).apply(&namespace)?;
    namespace.until_phase("datavolume/half", "ImportInProgress")?;
    let objects = ["datavolume/kept", "pvc/kept", "datavolume/half", "pvc/half"];
    let before = objects.map(uid).into_iter().collect::<Result<Vec<_>>>()?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/gantry.yaml");
    cluster.ask(&["delete", "--filename", &manifest.display().to_string(), "--timeout", "120s"])?;
    let after = objects.map(uid).into_iter().collect::<Result<Vec<_>>>()?;
    ensure!(before == after, "other objects: {before:?} {after:?}");
    the_policy_keeps_the_definition(cluster)?;
    cluster.install(&manifest)?;
    // The controller brings back what is missing of its kinds, and what it makes of them.
    cluster.ask(&["get", "storageprofiles", "gantry"])?;
    let done = namespace.succeeded("half")?;
    let said = done["status"]["gantry"]["fingerprint"].as_str().context("no fingerprint")?;
    ensure!(said == fingerprint, "{said}, not {fingerprint}");
    ensure!(objects.map(uid).into_iter().collect::<Result<Vec<_>>>()? == before, "made anew");
    namespace.ask(&["delete", "datavolumes", "--all"])?;
    nothing_keeps_the_definition(cluster)
}

/// Deletes a definition, which must be refused with all of these words.
fn refused(cluster: &Cluster, words: &[&str]) -> Result<()> {
    let error = match cluster.ask(&["delete", "crd", DEFINITION, "--wait=false"]) {
        Ok(said) => bail!("{said}"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(words.iter().all(|word| error.contains(word)), "{error}");
    Ok(())
}

/// The one that counts, while the product is there.
fn the_webhook_keeps_the_definition(cluster: &Cluster) -> Result<()> {
    refused(cluster, &["DataVolume"])
}

/// Not even once the product has gone does anybody delete it; one that nobody would miss anything of may go.
fn the_policy_keeps_the_definition(cluster: &Cluster) -> Result<()> {
    let webhooks = cluster.ask(&["get", "validatingwebhookconfigurations", "--output", "name"])?;
    ensure!(!webhooks.contains("cdi-api-crd-guard"), "the product is there: {webhooks}");
    refused(cluster, &["datavolumes.cdi.kubevirt.io stays", "every disk they made", "gantry.dev/in-use-"])?;
    cluster.ask(&["delete", "crd", "storageprofiles.cdi.kubevirt.io"]).map(drop)
}

/// There are no DataVolumes any more.
fn nothing_keeps_the_definition(cluster: &Cluster) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match cluster.ask(&["delete", "crd", DEFINITION, "--dry-run=server"]) {
            Ok(_) => return Ok(()),
            Err(refused) => ensure!(Instant::now() < end, "{refused:#}"),
        }
        sleep(Duration::from_millis(200));
    }
}
