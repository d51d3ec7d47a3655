//! What DataVolumes and claims can ask for beyond a disk from a server: `cargo xtask kubernetes test`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fixtures::command::run;
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::ADDRESS;
use fixtures::tls::Authority;
use serde_json::{Value, json};
use tests::bed::Bed;
use tests::consumer;
use tests::data_volume::DataVolume;
use tests::objects::{Namespace, filled};
use tests::sha256;

const SIZE: u64 = 16 * MIB;

/// Ensures that a claim holds the disk.
fn holds(namespace: &Namespace, name: &str, bed: &Bed) -> Result<()> {
    let digest = consumer::digest(namespace, name, false, SIZE)?;
    ensure!(digest == bed.digest()?, "{name} holds something else: {digest}");
    Ok(())
}

fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["annotations"][key].as_str().unwrap_or_default()
}

/// Name of the claim that an import writes to: the claim itself, or the one that is handed over to it.
fn written(claim: &Value, populator: bool) -> String {
    let of = |key: &str| claim["metadata"][key].as_str().unwrap_or_default();
    if populator { format!("prime-{}", of("uid")) } else { of("name").to_owned() }
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_archive_is_unpacked_into_its_volume() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let tree = bed.folder.path().join("tree/inner");
    fs::create_dir_all(&tree)?;
    fs::write(tree.join("file"), "what the archive holds")?;
    run(Command::new("tar").current_dir(bed.folder.path()).args(["-C", "tree", "-czf", "tree.tar.gz", "."]))?;
    let namespace = Namespace::restricted(&bed.cluster, "archives")?;
    for (name, populator) in [("handed-over", true), ("in-place", false)] {
        let tree = DataVolume::http(name, &bed.server.url("tree.tar.gz")).populator(populator);
        tree.spec("contentType: archive").fill(&namespace)?;
        let claim = namespace.there(&format!("pvc/{name}"))?;
        ensure!(annotation(&claim, "cdi.kubevirt.io/storage.contentType") == "archive", "{claim}");
        let text = consumer::ask(&namespace, name, false, "cat /data/inner/file; test ! -e /data/disk.img")?;
        ensure!(text == "what the archive holds", "{text}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_preallocated_disk_has_all_its_blocks() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    raw::blank(&bed.folder.path().join("sparse.raw"), SIZE)?;
    let namespace = Namespace::restricted(&bed.cluster, "preallocated")?;
    // Blocks of 512 bytes, and the size they are of.
    let blocks = |name: &str| -> Result<(u64, u64)> {
        let text = consumer::ask(&namespace, name, false, "busybox stat -c \"%b %s\" /data/disk.img")?;
        let (blocks, size) = text.split_once(' ').context("no two numbers")?;
        Ok((blocks.parse::<u64>()? * 512, size.parse()?))
    };
    let sparse = format!("http: {{url: '{}'}}", bed.server.url("sparse.raw"));
    for (name, source) in [("from-server", &*sparse), ("empty", "blank: {}")] {
        for (suffix, asked) in [("full", true), ("thin", false)] {
            let name = format!("{name}-{suffix}");
            DataVolume::new(&name, source).spec(&format!("preallocation: {asked}")).fill(&namespace)?;
            let claim = namespace.there(&format!("pvc/{name}"))?;
            let requested = annotation(&claim, "cdi.kubevirt.io/storage.preallocation.requested");
            ensure!(requested == asked.to_string(), "{claim}");
            ensure!((annotation(&claim, "cdi.kubevirt.io/storage.preallocation") == "true") == asked, "{claim}");
            let (allocated, size) = blocks(&name)?;
            ensure!(size >= SIZE && (allocated >= size) == asked, "{name}: {allocated} of {size} bytes");
        }
    }
    Ok(())
}

/// A folder of the node as a volume of a class that is a name only.
const BY_HAND: &str = "
apiVersion: v1
kind: PersistentVolume
metadata: {name: by-hand}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 128Mi}
  hostPath: {path: $folder, type: Directory}
  persistentVolumeReclaimPolicy: Retain
  storageClassName: by-hand
";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_volume_that_was_made_by_hand_gives_its_modes_and_is_filled() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let folder = bed.folder.path().join("volume");
    fs::create_dir(&folder)?;
    // Nobody changes the owner of a node's folder for a pod.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    let namespace = Namespace::restricted(&bed.cluster, "by-hand")?;
    bed.cluster.apply(&filled(BY_HAND, &[("$folder", &folder.display().to_string())]))?;
    let claim = "storage: {storageClassName: by-hand, resources: {requests: {storage: 64Mi}}}";
    let found = bed.data_volume("disk").claim(claim).fill(&namespace).and_then(|_| {
        let spec = &namespace.there("pvc/disk")?["spec"];
        ensure!(spec["volumeName"] == "by-hand" && spec["accessModes"] == json!(["ReadWriteOnce"]), "{spec}");
        holds(&namespace, "disk", &bed)
    });
    bed.cluster.ask(&["delete", "persistentvolume", "by-hand", "--wait=false"])?;
    found
}

/// The class has a driver, which makes volumes; this one is there, and somebody's bytes are on it.
#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_used_volume_that_is_named_is_filled_and_an_empty_disk_on_it_is_empty() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "named")?;
    bed.data_volume("first").block(true).fill(&namespace)?;
    let first = namespace.there("pvc/first")?;
    // It names the volume, too, and would get it back.
    namespace.gone(&format!("pvc/{}", written(&first, true)))?;
    let volume = first["spec"]["volumeName"].as_str().context("no volume")?.to_owned();
    let patch = |patch: &str| bed.cluster.ask(&["patch", "pv", &volume, "--type", "merge", "--patch", patch]);
    patch(r#"{"spec": {"persistentVolumeReclaimPolicy": "Retain"}}"#)?;
    let claim = format!(
        "pvc: {{accessModes: [ReadWriteOnce], volumeMode: Block, storageClassName: gantry-immediate, volumeName: {volume}, \
         resources: {{requests: {{storage: 64Mi}}}}}}"
    );
    let mut last = "first";
    let nothing = sha256(&raw::blank(&bed.folder.path().join("nothing.raw"), SIZE)?)?;
    for (name, data_volume, digest) in
        [("empty", DataVolume::blank("empty"), nothing), ("again", bed.data_volume("again"), bed.digest()?)]
    {
        namespace.ask(&["delete", "datavolume", last])?;
        namespace.gone(&format!("pvc/{last}"))?;
        patch(r#"{"spec": {"claimRef": null}}"#)?;
        data_volume.claim(&claim).fill(&namespace)?;
        ensure!(namespace.there(&format!("pvc/{name}"))?["spec"]["volumeName"] == volume, "{name} has another volume");
        let found = consumer::digest(&namespace, name, true, SIZE)?;
        ensure!(found == digest, "{name} holds {found}, not {digest}");
        last = name;
    }
    patch(r#"{"spec": {"persistentVolumeReclaimPolicy": "Delete"}}"#).map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn what_is_to_be_kept_after_an_import_is_kept() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "retained")?;
    for (name, populator) in [("handed-over", true), ("in-place", false)] {
        let retained = bed.data_volume(name).annotation("cdi.kubevirt.io/storage.pod.retainAfterCompletion", "true");
        retained.populator(populator).fill(&namespace)?;
        let written = written(&namespace.there(&format!("pvc/{name}"))?, populator);
        namespace.until_phase(&format!("pod/importer-{written}"), "Succeeded")?;
        if populator {
            namespace.until_phase(&format!("pvc/{written}"), "Lost")?;
            namespace.until_event("PersistentVolumeClaim", name, "RetainedPVCPrime")?;
        }
        holds(&namespace, name, &bed)?;
        namespace.ask(&["delete", "datavolume", name])?;
        namespace.gone(&format!("pod/importer-{written}"))?;
        namespace.gone(&format!("pvc/{written}"))?;
    }
    Ok(())
}

const BARE: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $name, $metadata}
spec: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}, $rest}
";

fn claim(namespace: &Namespace, name: &str, metadata: &str, rest: &str) -> Result<()> {
    namespace.apply(&filled(BARE, &[("$name", name), ("$metadata", metadata), ("$rest", rest)]))
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_that_is_there_is_taken_over_only_where_it_may_be() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "adopted")?;
    for name in ["adopted", "named"] {
        let named = "annotations: {cdi.kubevirt.io/storage.populatedFor: named}";
        claim(&namespace, name, if name == "named" { named } else { "" }, "")?;
        consumer::ask(&namespace, name, false, "echo precious > /data/disk.img")?;
    }
    let (may, adopted) = ("cdi.kubevirt.io/allowClaimAdoption", bed.data_volume("adopted"));
    for data_volume in [&adopted, &adopted.clone().annotation(may, "false")] {
        let error = data_volume.apply(&namespace).err().context("another's claim was taken")?;
        ensure!(format!("{error:#}").contains("already exists"), "{error:#}");
    }
    for (name, annotation, value) in
        [("adopted", may, "true"), ("named", "cdi.kubevirt.io/storage.prePopulated", "named")]
    {
        let data_volume = bed.data_volume(name).annotation(annotation, value).fill(&namespace)?;
        ensure!(data_volume["status"]["progress"] == "100.0%", "{data_volume}");
        ensure!(consumer::ask(&namespace, name, false, "cat /data/disk.img")? == "precious", "{name} was written over");
    }
    let owners =
        |name: &str| namespace.there(&format!("pvc/{name}")).map(|claim| claim["metadata"]["ownerReferences"].clone());
    let uid = namespace.there("datavolume/adopted")?["metadata"]["uid"].clone();
    ensure!(owners("adopted")?[0]["uid"] == uid && owners("adopted")?[0]["controller"] == true, "it has no owner");
    ensure!(owners("named")?.is_null(), "a claim that is only named stays its user's");
    ensure!(bed.server.requests()?.is_empty(), "something was fetched");
    Ok(())
}

const WORKERS: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: importers}
";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn workers_inherit_what_cdi_passes_on_and_nothing_else() -> Result<()> {
    let bed = Bed::new(SIZE, "limit_rate 2m;")?;
    let namespace = Namespace::restricted(&bed.cluster, "inherited")?;
    namespace.apply(WORKERS)?;
    bed.cluster
        .apply("{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: gantry-test}, value: 7}")?;
    for (name, populator) in [("handed-over", true), ("in-place", false)] {
        bed.data_volume(name)
            .labels("team: blue, instancetype.kubevirt.io/default-preference: linux")
            .annotation("team/owner", "somebody")
            .annotation("k8s.v1.cni.cncf.io/networks", "storage")
            .annotation("v1.multus-cni.io/default-network", "fast")
            .annotation("sidecar.istio.io/inject", "true")
            .populator(populator)
            .spec("priorityClassName: gantry-test")
            .spec("serviceAccountName: importers")
            .apply(&namespace)?;
        let claim = namespace.until(&format!("pvc/{name}"), "there", |_| true)?;
        let pod = format!("pod/importer-{}", written(&claim, populator));
        let pod = namespace.until(&pod, "there", |_| true)?;
        check_worker(&pod, &claim)?;
        namespace.succeeded(name)?;
        holds(&namespace, name, &bed)?;
    }
    bed.cluster.ask(&["delete", "priorityclass", "gantry-test"]).map(drop)
}

fn check_worker(pod: &Value, claim: &Value) -> Result<()> {
    ensure!(pod["spec"]["priorityClassName"] == "gantry-test" && pod["spec"]["priority"] == 7, "{pod}");
    ensure!(pod["spec"]["serviceAccountName"] == "importers", "{pod}");
    ensure!(pod["spec"]["automountServiceAccountToken"] == false, "{pod}");
    for (object, key, value) in [
        (claim, "team/owner", "somebody"),
        (pod, "team/owner", ""),
        (pod, "k8s.v1.cni.cncf.io/networks", "storage"),
        (pod, "v1.multus-cni.io/default-network", "fast"),
        (pod, "sidecar.istio.io/inject", "true"),
        (pod, "linkerd.io/inject", "disabled"),
        (pod, "cdi.kubevirt.io/storage.usePopulator", ""),
    ] {
        ensure!(annotation(object, key) == value, "{key}: {object}");
    }
    for object in [claim, pod] {
        for (key, value) in [
            ("team", "blue"),
            ("instancetype.kubevirt.io/default-preference", "linux"),
            ("app", "containerized-data-importer"),
            ("app.kubernetes.io/managed-by", "cdi-controller"),
        ] {
            ensure!(object["metadata"]["labels"][key] == value, "{key}: {object}");
        }
    }
    ensure!(claim["metadata"]["labels"]["alerts.k8s.io/KubePersistentVolumeFillingUp"] == "disabled", "{claim}");
    ensure!(pod["metadata"]["labels"]["cdi.kubevirt.io"] == "importer", "{pod}");
    ensure!(pod["metadata"]["labels"]["prometheus.cdi.kubevirt.io"] == "true", "{pod}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_with_import_annotations_is_filled() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "annotated")?;
    let metadata = format!(
        "annotations: {{cdi.kubevirt.io/storage.import.source: http, cdi.kubevirt.io/storage.import.endpoint: '{}',
      cdi.kubevirt.io/storage.import.checksum: '{}'}}",
        bed.url(),
        bed.digest()?
    );
    claim(&namespace, "annotated", &metadata, "")?;
    let is_done = |found: &Value| annotation(found, "cdi.kubevirt.io/storage.pod.phase") == "Succeeded";
    let done = namespace.until("pvc/annotated", "filled", is_done)?;
    ensure!(annotation(&done, "cdi.kubevirt.io/storage.condition.running.message") == "Import Complete", "{done}");
    ensure!(annotation(&done, "cdi.kubevirt.io/storage.import.importPodName") == "importer-annotated", "{done}");
    ensure!(annotation(&done, "gantry.dev/fingerprint").starts_with("gantry1:"), "{done}");
    namespace.gone("pod/importer-annotated")?;
    holds(&namespace, "annotated", &bed)?;
    Ok(())
}

const SOURCE: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: VolumeImportSource
metadata: {name: source}
spec: {source: {http: {url: '$url'}}, preallocation: true}
";
const FROM_SOURCE: &str = "dataSourceRef: {apiGroup: cdi.kubevirt.io, kind: VolumeImportSource, name: source}";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_claim_is_filled_from_a_source_that_comes_later_and_shows_how_far_it_is() -> Result<()> {
    let bed = Bed::new(SIZE, "limit_rate 300k;")?;
    let namespace = Namespace::restricted(&bed.cluster, "populated")?;
    claim(&namespace, "populated", "", FROM_SOURCE)?;
    namespace.apply(&filled(SOURCE, &[("$url", &bed.url())]))?;
    let progress = |found: &Value| annotation(found, "cdi.kubevirt.io/storage.populator.progress").to_owned();
    let percent = |text: &str| text.trim_end_matches('%').parse::<f64>().unwrap_or(0.0);
    let begun = |found: &Value| percent(&progress(found)) > 0.0;
    let first = progress(&namespace.until("pvc/populated", "begun", begun)?);
    ensure!(percent(&first) < 100.0, "{first}");
    let further = |found: &Value| percent(&progress(found)) > percent(&first);
    namespace.until("pvc/populated", "further", further)?;
    let done = namespace.until_phase("pvc/populated", "Bound")?;
    ensure!(progress(&done) == "100.0%", "{done}");
    ensure!(annotation(&done, "cdi.kubevirt.io/storage.preallocation") == "true", "{done}");
    ensure!(annotation(&done, "cdi.kubevirt.io/storage.preallocation.requested") == "true", "{done}");
    for reason in ["CreatedPVCPrimeSuccessfully", "importSucceeded"] {
        namespace.until_event("PersistentVolumeClaim", "populated", reason)?;
    }
    holds(&namespace, "populated", &bed)?;
    let left = namespace.ask(&["get", "pvc", "--output", "jsonpath={.items[*].metadata.name}"])?;
    ensure!(left == "populated", "left: {left}");
    Ok(())
}

/// What the server that asks for everything is asked with.
const LETTERS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {accessKeyId: user, secretKey: pass word}
---
apiVersion: v1
kind: Secret
metadata: {name: headers}
stringData: {one: 'X-Secret: hidden-word'}
";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_server_that_asks_for_a_login_headers_and_trust_gets_them_and_nobody_else_does() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let authority = Authority::create(bed.folder.path())?;
    let (certificate, key) = authority.issue(&ADDRESS.to_string())?;
    let server = bed
        .settings()
        .tls(&certificate, &key)
        .login("user", "pass word")
        .directive("if ($http_x_open != \"said\") { return 412; }")
        .directive("if ($http_x_secret != \"hidden-word\") { return 412; }")
        .start()?;
    let namespace = Namespace::restricted(&bed.cluster, "credentials")?;
    namespace.apply(LETTERS)?;
    trust(&namespace, &authority.certificate())?;
    let (url, checksum) = (server.url("disk.raw"), format!("checksum: '{}'", bed.digest()?));
    for (name, trust) in [("trusted", "certConfigMap: authority"), ("unchecked", "insecureSkipVerify: true")] {
        let done = DataVolume::http(name, &url)
            .server("secretRef: login, extraHeaders: ['X-Open: said'], secretExtraHeaders: [headers]")
            .server(&checksum)
            .server(trust)
            .fill(&namespace)?;
        holds(&namespace, name, &bed)?;
        let said = format!("{done}{}", namespace.ask(&["get", "pvc,pods,events", "--output", "json"])?);
        ensure!(!said.contains("hidden-word") && !said.contains("pass word"), "a secret was told");
    }
    Ok(())
}

fn trust(namespace: &Namespace, certificate: &Path) -> Result<()> {
    let file = format!("--from-file=ca.pem={}", certificate.display());
    namespace.ask(&["create", "configmap", "authority", &file]).map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn what_is_not_said_is_completed_from_the_storage_profile() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "rendered")?;
    let label = "cdi.kubevirt.io/applyStorageProfile: 'true'";
    let of_profile = |claim: &Value| claim["spec"]["accessModes"] == serde_json::json!(["ReadWriteOnce"]);
    // A claim without modes, which the API server would refuse.
    namespace.apply(&filled(
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: claim, labels: {$label}},
          spec: {storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}}",
        &[("$label", label)],
    ))?;
    ensure!(of_profile(&namespace.there("pvc/claim")?), "the claim was not completed");
    let storage = "storage: {storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}";
    for (name, labels) in [("by-controller", ""), ("by-webhook", label)] {
        bed.data_volume(name).labels(labels).claim(storage).fill(&namespace)?;
        let claim = namespace.there(&format!("pvc/{name}"))?;
        ensure!(of_profile(&claim), "{claim}");
        // 64 MiB and the six hundredths that a file system keeps for itself, rounded up as CDI does.
        let wanted = claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default();
        let is_block = claim["spec"]["volumeMode"] == "Block";
        ensure!(if is_block { wanted == "64Mi" } else { wanted != "64Mi" }, "{claim}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_volume_that_its_driver_copies_is_followed() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "external")?;
    bed.data_volume("original").fill(&namespace)?;
    namespace.apply(
        "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: copy}
spec:
  pvc:
    accessModes: [ReadWriteOnce]
    storageClassName: gantry-immediate
    dataSource: {kind: PersistentVolumeClaim, name: original}
    resources: {requests: {storage: 64Mi}}
",
    )?;
    namespace.succeeded("copy")?;
    let claim = namespace.there("pvc/copy")?;
    ensure!(annotation(&claim, "cdi.kubevirt.io/externalPopulation") == "true", "{claim}");
    namespace.until_event("DataVolume", "copy", "ExternalPopulationSucceeded")?;
    holds(&namespace, "copy", &bed)?;
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn nobody_is_waited_for_where_the_volume_is_wanted_at_once() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "at-once")?;
    for data_volume in [
        bed.data_volume("handed-over").populator(true),
        bed.data_volume("in-place").populator(false),
        DataVolume::blank("empty").populator(true).block(true),
    ] {
        let at_once = "cdi.kubevirt.io/storage.bind.immediate.requested";
        let data_volume = data_volume.class("gantry").annotation(at_once, "");
        data_volume.fill(&namespace)?;
        let claim = namespace.there(&format!("pvc/{}", data_volume.name()))?;
        ensure!(claim["status"]["phase"] == "Bound", "{claim}");
    }
    Ok(())
}
