//! `--manifest`: a DataVolume as CDI's documentation shows it, run on the spot, gives the disk that its pod would make.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Result, ensure};
use fixtures::command::run;
use fixtures::device::LoopDevice;
use fixtures::images::qcow2::Qcow2;
use fixtures::images::{MIB, compare, raw};
use fixtures::nginx::{Nginx, Settings, free_port};
use fixtures::tls::Authority;
use serde_json::Value;
use tempfile::TempDir;
use tests::{binary, failed, json, leftovers, sha256};

/// CDI's example of an import over HTTP, with its comments and empty fields.
fn example(url: &str, rest: &str) -> String {
    format!(
        r#"apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata:
  name: "example-import-dv"
spec:
  source:
      http:
         url: "{url}" # Or S3
         secretRef: "" # Optional
         certConfigMap: "" # Optional
  pvc:
    accessModes:
      - ReadWriteOnce
    resources:
      requests:
        storage: "64Mi"
{rest}"#
    )
}

/// Runs `gantry import --manifest FILE` in `folder`.
fn import(folder: &Path, manifest: &str, arguments: &[&str]) -> Result<Output> {
    fs::write(folder.join("dv.yaml"), manifest)?;
    let mut command = Command::new(binary());
    command.args(["import", "--json", "--manifest", "dv.yaml"]).args(arguments).current_dir(folder);
    Ok(command.env("XDG_STATE_HOME", folder.join("state")).output()?)
}

#[track_caller]
fn succeeded(output: &Output) -> Result<Value> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    json(output)
}

/// The disk that CDI's controller would have a pod make of `url` and 64Mi.
fn made_by_a_pod(folder: &Path, url: &str) -> Result<std::path::PathBuf> {
    let root = folder.join("pod");
    fs::create_dir_all(root.join("data"))?;
    fs::create_dir_all(root.join("dev"))?;
    let mut command = Command::new(binary());
    command.arg("cdi-importer").arg("--root").arg(&root).arg(format!("--metrics-address=127.0.0.1:{}", free_port()?));
    command.envs([("IMPORTER_SOURCE", "http"), ("IMPORTER_ENDPOINT", url), ("IMPORTER_IMAGE_SIZE", "64Mi")]);
    run(command.envs([("FILESYSTEM_OVERHEAD", "0.06"), ("PREALLOCATION", "false"), ("OWNER_UID", "u")]))?;
    Ok(root.join("data/disk.img"))
}

#[test]
fn the_documentations_example_makes_the_pods_disk() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::patterns(&at("disk.raw"), 40 * MIB, 1)?;
    Qcow2::default().convert(&disk, &at("disk.qcow2"))?;
    let nginx = Nginx::serve(folder.path())?;
    let url = nginx.url("disk.qcow2");
    let manifest = example(&url, "");
    let report = succeeded(&import(folder.path(), &manifest, &[])?)?;
    assert!(report["warnings"].to_string().contains("spec.pvc.accessModes"), "{report}");
    run(Command::new("cmp").args([at("disk.img"), made_by_a_pod(folder.path(), &url)?]))?;
    compare::same_disk(&disk, &at("disk.img"))?;

    fs::create_dir(at("volume"))?;
    succeeded(&import(folder.path(), &manifest, &["volume"])?)?;
    run(Command::new("cmp").args([at("disk.img"), at("volume/disk.img")]))?;

    let mut piped = Command::new(binary());
    piped.args(["import", "--manifest", "-", "other.img"]).current_dir(folder.path());
    piped.env("XDG_STATE_HOME", at("state")).stdin(fs::File::open(at("dv.yaml"))?).stdout(Stdio::null());
    ensure!(piped.status()?.success());
    run(Command::new("cmp").args([at("disk.img"), at("other.img")]))
}

#[test]
fn secrets_and_authorities_are_taken_from_the_same_file() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::patterns(&at("disk.raw"), 4 * MIB, 1)?;
    let image = Qcow2::default().convert(&disk, &at("disk.qcow2"))?;
    let authority = Authority::create(folder.path())?;
    let (certificate, key) = authority.issue("127.0.0.1")?;
    let token = "if ($http_x_token != hunter2) { return 403; }";
    let server = Settings::new(folder.path()).tls(&certificate, &key).login("alice", "open sesame").directive(token);
    let nginx = server.start()?;
    let manifest = format!(
        r"apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {{name: dv}}
spec:
  source:
    http:
      url: {url}
      secretRef: login
      certConfigMap: ca
      secretExtraHeaders: [token]
      checksum: {checksum}
  storage: {{resources: {{requests: {{storage: 6Mi}}}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: login}}
data: {{accessKeyId: YWxpY2U=, secretKey: b3BlbiBzZXNhbWU=}}
---
apiVersion: v1
kind: Secret
metadata: {{name: token}}
stringData: {{header: 'X-Token: hunter2'}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: ca}}
data:
  ca.pem: |
    {pem}
",
        url = nginx.url("disk.qcow2"),
        checksum = sha256(&image)?,
        pem = fs::read_to_string(authority.certificate())?.replace('\n', "\n    "),
    );
    let report = succeeded(&import(folder.path(), &manifest, &["vm.img"])?)?;
    assert_eq!(report["checksum"]["matched"], "file");
    compare::same_disk(&disk, &at("vm.img"))?;
    assert_eq!(fs::metadata(at("vm.img"))?.len(), 6 * MIB);

    let alone = manifest.split("---").next().unwrap_or_default();
    let output = import(folder.path(), alone, &["vm.img", "--force"])?;
    assert_eq!(failed(&output)?, (2, "usage".to_owned()));
    assert!(json(&output)?["error"]["message"].to_string().contains("names the Secret"));
    Ok(())
}

#[test]
fn block_volumes_empty_disks_and_archives_are_made_too() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::patterns(&at("disk.raw"), 40 * MIB, 1)?;
    run(Command::new("tar").args(["-czf", "disk.tar.gz", "disk.raw"]).current_dir(folder.path()))?;
    let nginx = Nginx::serve(folder.path())?;
    let device = LoopDevice::filled(64 * MIB)?;
    let path = device.path().display().to_string();

    let block = example(&nginx.url("disk.raw"), "    volumeMode: Block\n");
    succeeded(&import(folder.path(), &block, &[&path, "--force"])?)?;
    compare::by_cmp(&disk, device.path())?;
    let output = import(folder.path(), &example(&nginx.url("disk.raw"), ""), &[&path, "--force"])?;
    assert_eq!(failed(&output)?, (6, "target-unsupported".to_owned()));

    let blank = block.replace(&format!("http:\n         url: \"{}\" # Or S3", nginx.url("disk.raw")), "blank: {}");
    let blank = blank.replace("         secretRef: \"\" # Optional\n         certConfigMap: \"\" # Optional\n", "");
    succeeded(&import(folder.path(), &blank, &[&path, "--force"])?)?;
    compare::zeros_from(device.path(), 0)?;
    succeeded(&import(folder.path(), &blank.replace("Block", "Filesystem"), &["blank.img"])?)?;
    compare::zeros_from(&at("blank.img"), 0)?;
    assert_eq!(fs::metadata(at("blank.img"))?.len(), 60 * MIB);

    let archive = example(&nginx.url("disk.tar.gz"), "  contentType: archive\n");
    succeeded(&import(folder.path(), &archive, &["unpacked"])?)?;
    run(Command::new("cmp").args([at("disk.raw"), at("unpacked/disk.raw")]))
}

#[test]
fn options_that_the_manifest_decides_are_refused_and_an_explanation_does_nothing() -> Result<()> {
    let folder = TempDir::new()?;
    raw::patterns(&folder.path().join("disk.raw"), MIB, 1)?;
    let nginx = Nginx::serve(folder.path())?;
    let manifest = example(&nginx.url("disk.raw"), "");
    for option in ["--size=1G", "--content-type=archive", "--preallocation=none", "--checksum-from=x"] {
        assert_eq!(import(folder.path(), &manifest, &[option])?.status.code(), Some(2), "{option}");
    }
    assert_eq!(import(folder.path(), &manifest, &["SOURCE", "TARGET"])?.status.code(), Some(2));
    let explained = succeeded(&import(folder.path(), &manifest, &["--explain"])?)?;
    assert!(explained["warnings"].to_string().contains("spec.pvc.accessModes"), "{explained}");
    let target = folder.path().join("disk.img");
    assert!(!target.exists() && leftovers(&target)?.is_empty());
    Ok(())
}
