//! Servers and networks that misbehave: an import gets through, or says why not, and never leaves a wrong disk.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use fixtures::command::run;
use fixtures::device::LoopDevice;
use fixtures::images::qcow2::Qcow2;
use fixtures::images::{MIB, compare, raw};
use fixtures::nginx::{Nginx, Settings};
use fixtures::proxy::Proxy;
use tempfile::TempDir;
use tests::{Import, failed, json, leftovers, number, sha256};

#[test]
fn a_connection_that_is_cut_every_8_mib_gets_through_without_fetching_twice() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::dense(&folder.path().join("disk.raw"), 64 * MIB, 5)?;
    let image = Qcow2::default().convert(&disk, &folder.path().join("disk.qcow2"))?;
    let length = fs::metadata(&image)?.len();
    let nginx = Nginx::serve(folder.path())?;
    let proxy = Proxy::cutting(nginx.address(), 8 * MIB)?;
    let device = LoopDevice::filled(64 * MIB)?;
    for target in [folder.path().join("disk.img"), device.path().to_owned()] {
        for checksum in [false, true] {
            let mut import =
                Import::new(proxy.url("disk.qcow2"), &target, &folder.path().join("state")).with("--force");
            if checksum {
                import = import.with(format!("--checksum={}", sha256(&image)?));
            }
            let report = import.succeed()?;
            compare::same_disk(&disk, &target)?;
            assert!(number(&report, "fetched") <= length + length / 100 + MIB, "{report}");
        }
    }
    Ok(())
}

#[test]
fn a_source_that_is_replaced_meanwhile_is_imported_anew_from_its_beginning() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let [first, second] =
        [("first.raw", 1), ("second.raw", 2)].map(|(name, seed)| raw::dense(&at(name), 200 * MIB, seed));
    let (first, second) = (first?, second?);
    // Another length would be noticed without the entity tag.
    run(Command::new("touch").args(["-d", "2001-01-01"]).arg(&second))?;
    let nginx = Nginx::serve(folder.path())?;
    let device = LoopDevice::filled(200 * MIB)?;
    for (target, begun) in
        [(at("disk.img"), at(".disk.img.gantry-partial")), (device.path().into(), device.path().into())]
    {
        for checksum in [None, Some(sha256(&second)?)] {
            fs::copy(&first, at("served.raw"))?;
            let import =
                Import::new(nginx.url("served.raw"), &target, &at("state")).with("--rate-limit=200M").with("--force");
            let import = checksum.iter().fold(import, |import, sum| import.with(format!("--checksum={sum}")));
            let mut child = import.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
            while !holds(&begun, &first) {
                assert!(child.try_wait()?.is_none(), "it ended before it wrote anything");
            }
            run(Command::new("cp").arg("-p").args([&second, &at("new.raw")]))?;
            fs::rename(at("new.raw"), at("served.raw"))?;
            let output = child.wait_with_output()?;
            let report = json(&output)?;
            assert!(report["warnings"].to_string().contains("replaced meanwhile"), "{report}");
            compare::same_disk(&second, &target)?;
        }
    }
    Ok(())
}

/// Whether an unfinished target has the second MiB of `disk`: an import of it is under way.
fn holds(target: &Path, disk: &Path) -> bool {
    let second = |path: &Path| {
        let mut bytes = vec![0; 4096];
        fs::File::open(path).and_then(|file| file.read_exact_at(&mut bytes, 1 << 20)).map(|()| bytes)
    };
    matches!((second(target), second(disk)), (Ok(found), Ok(wanted)) if found == wanted)
}

#[test]
fn what_a_server_refuses_is_named() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::patterns(&folder.path().join("disk.raw"), 2 * MIB, 1)?;
    let nginx = Settings::new(folder.path()).login("alice", "open sesame").start()?;
    let target = folder.path().join("disk.img");
    let state = folder.path().join("state");
    let anonymous = Import::new(nginx.url("disk.raw"), &target, &state);
    assert_eq!(anonymous.fail()?, (3, "source-denied".to_owned()));
    fs::write(folder.path().join("password"), "open sesame\n")?;
    let password = format!("--password-file={}", folder.path().join("password").display());
    let missing = Import::new(nginx.url("nothing.raw"), &target, &state).with("--user=alice").with(&password);
    assert_eq!(missing.fail()?, (3, "source-not-found".to_owned()));
    anonymous.with("--user=alice").with(password).succeed()?;
    compare::same_disk(&disk, &target)
}

#[test]
fn a_stop_is_taken_in_good_order_and_the_next_run_goes_on() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::dense(&folder.path().join("disk.raw"), 160 * MIB, 5)?;
    let target = folder.path().join("disk.img");
    let import = Import::new(&disk, &target, &folder.path().join("state"));
    for (signal, exit) in [("-TERM", 143), ("-INT", 130)] {
        let _ = fs::remove_file(&target);
        let slow = import.clone().with("--rate-limit=20M");
        let mut child = slow.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let partial = folder.path().join(".disk.img.gantry-partial");
        while !fs::metadata(&partial).is_ok_and(|file| MetadataExt::blocks(&file) > 2048) {
            assert!(child.try_wait()?.is_none(), "it ended before it wrote anything");
        }
        run(Command::new("kill").arg(signal).arg(child.id().to_string()))?;
        let output = child.wait_with_output()?;
        assert_eq!(failed(&output)?, (exit, "cancelled".to_owned()));
        assert!(!target.exists());
        let report = import.succeed()?;
        assert!(number(&report, "resumed") > 0, "{report}");
        compare::same_disk(&disk, &target)?;
    }
    Ok(())
}

#[test]
fn an_explanation_names_route_bytes_access_and_target_and_does_nothing() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::patterns(&at("disk.raw"), 40 * MIB, 1)?;
    let image = Qcow2::default().convert(&disk, &at("disk.qcow2"))?;
    let nginx = Settings::new(folder.path()).login("alice", "open sesame").start()?;
    fs::write(at("password"), "open sesame")?;
    fs::write(at("token"), "X-Token: hunter2")?;
    let import = Import::new(nginx.url("disk.qcow2"), &at("disk.img"), &at("state"))
        .with("--user=alice")
        .with(format!("--password-file={}", at("password").display()))
        .with(format!("--secret-header-file={}", at("token").display()));
    let explained = import.clone().with("--explain").succeed()?;
    assert!(!at("disk.img").exists() && leftovers(&at("disk.img"))?.is_empty());
    assert_eq!((&explained["route"], &explained["target"]), (&"mapped".into(), &"new file".into()));
    assert_eq!(number(&explained, "virtualSize"), 40 * MIB);
    assert!(number(&explained, "fetch") <= fs::metadata(&image)?.len() && number(&explained, "room") > 0);
    let access = explained["access"].to_string();
    assert!(access.contains("basic authentication") && access.contains("secret header x-token"), "{access}");
    assert!(!explained.to_string().contains("hunter2") && !explained.to_string().contains("sesame"));
    let report = import.clone().succeed()?;
    // The explanation is what then happens.
    assert_eq!(report["route"], explained["route"]);
    assert!(number(&report, "fetched") <= number(&explained, "fetch") + MIB);
    assert_eq!(import.with("--explain").fail()?, (6, "target-exists".to_owned()));
    Ok(())
}
