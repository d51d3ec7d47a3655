//! `cdi-importer`, driven as CDI's controller drives it: environment and mounts in, termination message, exit code,
//! metrics, size and mode of the disk out.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result};
use fixtures::command::run;
use fixtures::device::LoopDevice;
use fixtures::images::qcow2::{Clusters, Qcow2, qemu_img};
use fixtures::images::{MIB, compare, compress, raw};
use fixtures::nginx::{Nginx, Settings, free_port};
use fixtures::tls::Authority;
use serde_json::Value;
use tempfile::TempDir;
use tests::{binary, repeated, sha256};

/// A pod's file tree and environment.
struct Pod {
    root: TempDir,
    environment: Vec<(String, String)>,
    port: u16,
}

/// How a pod ended.
#[derive(Debug)]
struct Ended {
    exit: i32,
    message: String,
    log: String,
}

impl Pod {
    /// What the controller sets for every import of `size` into a file system (cdi.md §4.1–4.3).
    fn new(source: &str, size: &str) -> Result<Self> {
        let root = TempDir::new()?;
        for folder in ["data", "dev", "scratch", "certs", "proxycerts"] {
            fs::create_dir(root.path().join(folder))?;
        }
        fs::write(root.path().join("dev/termination-log"), "")?;
        let pod = Self { root, environment: Vec::new(), port: free_port()? };
        Ok(pod
            .with("IMPORTER_SOURCE", source)
            .with("IMPORTER_CONTENTTYPE", "kubevirt")
            .with("IMPORTER_IMAGE_SIZE", size)
            .with("OWNER_UID", "1b0ce4d2-6f6f-4d8e-9c1e-5a57b2f8a5d1")
            .with("FILESYSTEM_OVERHEAD", "0.06")
            .with("INSECURE_TLS", "false")
            .with("PREALLOCATION", "false"))
    }

    fn importing(url: String, size: &str) -> Result<Self> {
        Ok(Self::new("http", size)?.with("IMPORTER_ENDPOINT", url))
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn disk(&self) -> PathBuf {
        self.path("data/disk.img")
    }

    /// The claim is a block volume.
    fn on(self, device: &LoopDevice) -> Result<Self> {
        symlink(device.path(), self.path("dev/cdi-block-volume"))?;
        Ok(self.with("FILESYSTEM_OVERHEAD", "0"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["cdi-importer", "-v=3", "--root"]).arg(self.root.path());
        command.arg(format!("--metrics-address=127.0.0.1:{}", self.port));
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn ended(&self, output: &Output) -> Result<Ended> {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let exit = output.status.code().with_context(|| format!("ended by a signal: {log}"))?;
        Ok(Ended { exit, message: fs::read_to_string(self.path("dev/termination-log"))?, log })
    }

    fn run(&self) -> Result<Ended> {
        self.ended(&self.command().output()?)
    }

    /// Runs to success and returns the termination message.
    fn succeed(&self) -> Result<Value> {
        let ended = self.run()?;
        assert_eq!(ended.exit, 0, "{ended:?}");
        serde_json::from_str(&ended.message).with_context(|| format!("{ended:?}"))
    }

    /// Runs to a failure whose message begins with `begins` and contains `contains`.
    fn fail(&self, begins: &str, contains: &str) -> Result<()> {
        let ended = self.run()?;
        assert_eq!(ended.exit, 1, "{ended:?}");
        assert!(ended.message.starts_with(begins) && ended.message.contains(contains), "{ended:?}");
        assert!(ended.log.contains(&ended.message), "{ended:?}");
        assert!(!self.disk().exists());
        Ok(())
    }
}

struct House {
    folder: TempDir,
    disk: PathBuf,
    nginx: Nginx,
}

impl House {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = raw::file_system(&folder.path().join("disk.raw"), 32 * MIB)?;
        Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&disk, &folder.path().join("disk.qcow2"))?;
        compress::gzip(&disk, &folder.path().join("disk.gz"), 6)?;
        compress::zstd(&disk, &folder.path().join("disk.zst"), &[])?;
        let nginx = Nginx::serve(folder.path())?;
        Ok(Self { folder, disk, nginx })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn a_file_system_volume_gets_a_disk_of_cdis_size_and_mode() -> Result<()> {
    let house = House::new()?;
    for name in ["disk.raw", "disk.qcow2", "disk.gz", "disk.zst"] {
        let pod = Pod::importing(house.nginx.url(name), "64Mi")?;
        let words = pod.succeed()?;
        assert_eq!(words["message"], "Import Complete", "{name}");
        assert!(words["fingerprint"].as_str().is_some_and(|text| text.starts_with("gantry1:33554432:")), "{words}");
        assert!(words["preallocationApplied"].is_null() && words["scratchSpaceRequired"].is_null(), "{words}");
        compare::by_cmp(&house.disk, &pod.disk())?;
        let disk = fs::metadata(pod.disk())?;
        // floor to 1 MiB(ceil(64 MiB / 1.06))
        assert_eq!((disk.len(), disk.mode() & 0o777), (60 * MIB, 0o660), "{name}");
        assert_eq!(fs::read_dir(pod.path("data"))?.count(), 1, "{name}");
    }
    Ok(())
}

#[test]
fn a_block_volume_gets_the_disk_and_nothing_of_its_former_tenant() -> Result<()> {
    let house = House::new()?;
    for (preallocation, applied) in [("false", Value::Null), ("true", true.into())] {
        let device = LoopDevice::filled(40 * MIB)?;
        let pod = Pod::importing(house.nginx.url("disk.qcow2"), "40Mi")?.on(&device)?;
        let words = pod.with("PREALLOCATION", preallocation).succeed()?;
        assert_eq!(words["preallocationApplied"], applied);
        compare::by_cmp(&house.disk, device.path())?;
    }
    Ok(())
}

#[test]
fn preallocation_reserves_the_whole_disk() -> Result<()> {
    let house = House::new()?;
    let pod = Pod::importing(house.nginx.url("disk.qcow2"), "64Mi")?.with("PREALLOCATION", "true");
    assert_eq!(pod.succeed()?["preallocationApplied"], true);
    assert!(fs::metadata(pod.disk())?.blocks() * 512 >= 60 * MIB);
    compare::by_cmp(&house.disk, &pod.disk())
}

#[test]
fn the_disk_in_an_archive_is_imported_and_its_manifest_verified() -> Result<()> {
    let house = House::new()?;
    let tar = |arguments: &[&str]| run(Command::new("tar").current_dir(house.folder.path()).args(arguments));
    tar(&["-czf", "disk.tar.gz", "disk.qcow2"])?;
    tar(&["-cf", "two.tar", "disk.qcow2", "disk.raw"])?;
    fs::write(house.at("box.ovf"), "<Envelope/>")?;
    fs::write(
        house.at("box.mf"),
        format!("SHA256(disk.qcow2)= {}\n", &sha256(&house.at("disk.qcow2"))?["sha256:".len()..]),
    )?;
    tar(&["-cf", "box.ova", "box.ovf", "box.mf", "disk.qcow2"])?;
    for name in ["disk.tar.gz", "box.ova"] {
        let pod = Pod::importing(house.nginx.url(name), "64Mi")?;
        assert_eq!(pod.succeed()?["message"], "Import Complete", "{name}");
        compare::by_cmp(&house.disk, &pod.disk())?;
    }
    let several = Pod::importing(house.nginx.url("two.tar"), "64Mi")?;
    several.fail("Unable to process data: the archive holds 2 disk images", "[image-several]")?;
    fs::write(house.at("box.mf"), format!("SHA256(disk.qcow2)= {}\n", "0".repeat(64)))?;
    tar(&["-cf", "wrong.ova", "box.ovf", "box.mf", "disk.qcow2"])?;
    let wrong = Pod::importing(house.nginx.url("wrong.ova"), "64Mi")?;
    let words = wrong.succeed()?;
    assert!(words["message"].as_str().is_some_and(|text| text.contains("checksum mismatch")), "{words}");
    assert_eq!(fs::read_dir(wrong.path("data"))?.count(), 0);
    Ok(())
}

#[test]
fn empty_disks_are_made_as_cdi_makes_them() -> Result<()> {
    let pod = Pod::new("none", "64Mi")?;
    assert_eq!(pod.succeed()?["message"], "Import Complete");
    assert_eq!(fs::metadata(pod.disk())?.len(), 60 * MIB);
    compare::zeros_from(&pod.disk(), 0)?;

    let device = LoopDevice::filled(8 * MIB)?;
    let pod = Pod::new("none", "8Mi")?.on(&device)?;
    let ended = pod.run()?;
    assert_eq!((ended.exit, ended.message.as_str()), (0, ""), "{ended:?}");
    let used = Pod::new("none", "8Mi")?.on(&device)?.with("GANTRY_USED_VOLUME", "true");
    assert_eq!(used.succeed()?["message"], "Import Complete");
    compare::zeros_from(device.path(), 0)?;
    let device = LoopDevice::filled(8 * MIB)?;
    let preallocated = Pod::new("none", "8Mi")?.on(&device)?.with("PREALLOCATION", "true");
    assert_eq!(preallocated.succeed()?["preallocationApplied"], true);
    compare::zeros_from(device.path(), 0)
}

#[test]
fn a_checksum_that_does_not_match_ends_the_pod_for_good_and_leaves_nothing() -> Result<()> {
    let house = House::new()?;
    let pod = Pod::importing(house.nginx.url("disk.qcow2"), "64Mi")?;
    let wrong = pod.with("IMPORTER_CHECKSUM", format!("sha256:{}", "0".repeat(64)));
    let words = wrong.succeed()?;
    assert!(words["message"].as_str().is_some_and(|text| text.contains("checksum mismatch")), "{words}");
    assert_eq!(fs::read_dir(wrong.path("data"))?.count(), 0);
    let right = wrong.with("IMPORTER_CHECKSUM", sha256(&house.at("disk.qcow2"))?);
    assert_eq!(right.succeed()?["message"], "Import Complete");
    compare::by_cmp(&house.disk, &right.disk())
}

#[test]
fn failures_are_told_in_cdis_words() -> Result<()> {
    let house = House::new()?;
    let url = |name: &str| house.nginx.url(name);
    let overlay = house.at("overlay.qcow2");
    let base = house.at("disk.qcow2");
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        "qcow2",
        "-b",
        &base.to_string_lossy(),
        &overlay.to_string_lossy(),
    ])?;
    let unreachable = "Unable to connect to http data source: ";
    let data = "Unable to process data: ";
    Pod::importing(url("missing"), "64Mi")?.fail(unreachable, "source-not-found")?;
    Pod::importing("http://127.0.0.1:1/x".into(), "64Mi")?.fail(unreachable, "connection refused")?;
    Pod::importing("http://169.254.169.254/x".into(), "64Mi")?.fail(unreachable, "metadata service")?;
    Pod::importing(url("overlay.qcow2"), "64Mi")?.fail(data, "image-backing-file")?;
    let small = Pod::importing(url("disk.qcow2"), "33Mi")?;
    small.fail(data, "virtual image size 33554432 is larger than the reported available storage 32505856")?;
    small.fail(data, "A larger PVC is required")?;
    for (name, value, told) in [
        ("PREALLOCATION", "yes", "PREALLOCATION"),
        ("IMPORTER_SOURCE", "floppy", "floppy"),
        ("IMPORTER_ENDPOINT", "", "IMPORTER_ENDPOINT"),
        ("IMPORTER_ENDPOINT", "/etc/passwd", "http://"),
        ("IMPORTER_IMAGE_SIZE", "much", "IMPORTER_IMAGE_SIZE"),
        ("IMPORTER_CONTENTTYPE", "tapestry", "tapestry"),
        ("IMPORTER_CHECKSUM", "sha257:00", "IMPORTER_CHECKSUM"),
        ("IMPORTER_EXTRA_HEADER_0", "no colon", "IMPORTER_EXTRA_HEADER_0"),
        ("FILESYSTEM_OVERHEAD", "lots", "FILESYSTEM_OVERHEAD"),
        ("CACHE_MODE", "SOMETIMES", "CACHE_MODE"),
    ] {
        Pod::importing(url("disk.qcow2"), "64Mi")?.with(name, value).fail(data, told)?;
    }
    Ok(())
}

#[test]
fn credentials_headers_and_certificates_come_from_environment_and_mounts() -> Result<()> {
    let house = House::new()?;
    fs::create_dir(house.at("tls"))?;
    let authority = Authority::create(&house.at("tls"))?;
    let (certificate, key) = authority.issue("127.0.0.1")?;
    let nginx = Settings::new(house.folder.path())
        .login("alice", "open sesame")
        .tls(&certificate, &key)
        .directive("if ($http_x_public != shown) { return 418; } if ($http_x_token != hunter2) { return 418; }")
        .start()?;
    let pod = Pod::importing(nginx.url("disk.qcow2"), "64Mi")?
        .with("IMPORTER_ACCESS_KEY_ID", "alice")
        .with("IMPORTER_SECRET_KEY", "open sesame")
        .with("IMPORTER_EXTRA_HEADER_0", "X-Public: shown")
        .with("IMPORTER_CERT_DIR", "/certs");
    fs::create_dir_all(pod.path("extraheaders/0"))?;
    fs::write(pod.path("extraheaders/0/token"), "X-Token: hunter2\n")?;
    pod.fail("Unable to connect to http data source: ", "source-tls")?;
    // As the kubelet mounts a config map: links to a hidden folder of data.
    fs::create_dir(pod.path("certs/..data"))?;
    fs::copy(authority.certificate(), pod.path("certs/..data/ca.pem"))?;
    symlink("..data/ca.pem", pod.path("certs/ca.pem"))?;
    assert_eq!(pod.succeed()?["message"], "Import Complete");
    let insecure = Pod { environment: pod.environment.clone(), ..Pod::new("http", "64Mi")? };
    let insecure = insecure.with("IMPORTER_CERT_DIR", "").with("INSECURE_TLS", "true");
    fs::create_dir_all(insecure.path("extraheaders/0"))?;
    fs::write(insecure.path("extraheaders/0/token"), "X-Token: hunter2\n")?;
    let ended = insecure.run()?;
    assert!(ended.exit == 0 && !ended.log.contains("hunter2") && !ended.log.contains("sesame"), "{ended:?}");
    Ok(())
}

/// What a scrape gives, by curl.
fn scrape(port: u16, page: &str) -> Option<String> {
    let output = Command::new("curl")
        .args(["-sk", "--max-time", "2", &format!("https://127.0.0.1:{port}{page}")])
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned()).filter(|_| output.status.success())
}

fn percent(metrics: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with("kubevirt_cdi_import_progress_total{"))?;
    let value =
        line.strip_prefix("kubevirt_cdi_import_progress_total{ownerUID=\"1b0ce4d2-6f6f-4d8e-9c1e-5a57b2f8a5d1\"} ")?;
    value.parse().ok()
}

/// Starts a pod on a server that gives so much a second to each connection.
fn slowly(house: &House, rate: &str) -> Result<(Nginx, Pod, Child)> {
    let nginx = Settings::new(house.folder.path()).directive(&format!("limit_rate {rate};")).start()?;
    let pod = Pod::importing(nginx.url("dense.raw"), "200Mi")?;
    let child = pod.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    Ok((nginx, pod, child))
}

#[test]
fn progress_is_served_over_tls_while_the_pod_lives() -> Result<()> {
    let house = House::new()?;
    raw::dense(&house.at("dense.raw"), 160 * MIB, 1)?;
    let (_nginx, pod, mut child) = slowly(&house, "16m")?;
    let mut seen: Vec<f64> = Vec::new();
    let mut worker = Value::Null;
    while child.try_wait()?.is_none() {
        seen.extend(scrape(pod.port, "/metrics").as_deref().and_then(percent));
        if let Some(page) = scrape(pod.port, "/gantry.dev/v1/worker") {
            worker = serde_json::from_str(&page)?;
        }
    }
    let ended = pod.ended(&child.wait_with_output()?)?;
    assert_eq!(ended.exit, 0, "{ended:?}");
    assert!(seen.is_sorted() && seen.iter().any(|percent| *percent > 0.0 && *percent < 100.0), "{seen:?}");
    assert_eq!((&worker["schema"], &worker["attempt"]), (&"gantry.dev/v1".into(), &1.into()), "{worker}");
    assert!(worker["fetched"].as_u64().is_some_and(|fetched| fetched > 0), "{worker}");
    Ok(())
}

#[test]
fn a_container_that_is_killed_or_stopped_goes_on_in_the_next_one() -> Result<()> {
    let house = House::new()?;
    raw::dense(&house.at("dense.raw"), 160 * MIB, 1)?;
    for round in 0..repeated(2) {
        let (nginx, pod, mut child) = slowly(&house, "32m")?;
        let journal = pod.path("data/.disk.img.gantry-journal");
        let recorded =
            |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.get(96..104).is_some_and(|mark| mark != [0; 8]));
        while child.try_wait()?.is_none() && !recorded(&journal) {}
        if round % 2 == 0 {
            child.kill()?;
            child.wait()?;
        } else {
            fixtures::command::run(Command::new("kill").args(["-TERM", &child.id().to_string()]))?;
            let ended = pod.ended(&child.wait_with_output()?)?;
            assert_eq!(ended.exit, 143, "{ended:?}");
        }
        assert!(!pod.disk().exists());
        nginx.forget_requests()?;
        assert_eq!(pod.succeed()?["message"], "Import Complete");
        assert!(nginx.bytes_served()? < 160 * MIB, "{}", nginx.bytes_served()?);
        compare::by_cmp(&house.at("dense.raw"), &pod.disk())?;
    }
    Ok(())
}
