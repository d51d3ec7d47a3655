//! `--checksum-from`: the digest comes from the list that a publisher lays beside the image, made by the publishers' tools.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use fixtures::command::{output, run};
use fixtures::images::qcow2::Qcow2;
use fixtures::images::{MIB, compare, raw};
use fixtures::nginx::{Nginx, Settings};
use tempfile::TempDir;
use tests::{Import, failed, json, sha256};

/// A folder with `disk.raw`, `disk.qcow2` and `other.qcow2`.
fn images() -> Result<TempDir> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::patterns(&at("disk.raw"), 8 * MIB, 3)?;
    Qcow2::default().convert(&disk, &at("disk.qcow2"))?;
    fs::write(at("other.qcow2"), "another image")?;
    Ok(folder)
}

/// Runs a tool in `folder` and keeps what it prints as `list`.
fn list(folder: &Path, list: &str, tool: &str, arguments: &[&str]) -> Result<()> {
    let printed = output(Command::new(tool).args(arguments).current_dir(folder))?;
    Ok(fs::write(folder.join(list), printed)?)
}

#[test]
fn lists_as_publishers_make_them_verify_the_image() -> Result<()> {
    let folder = images()?;
    let at = |name: &str| folder.path().join(name);
    let images = ["other.qcow2", "disk.qcow2"];
    list(folder.path(), "SHA256SUMS", "sha256sum", &[&["-b"], &images[..]].concat())?;
    list(folder.path(), "SHA512SUMS", "sha512sum", &images)?;
    list(folder.path(), "Cloud-CHECKSUM", "sha256sum", &[&["--tag"], &images[..]].concat())?;
    list(folder.path(), "openssl", "openssl", &[&["dgst", "-sha256"], &images[..]].concat())?;
    fs::write(at("disk.qcow2.sha256"), sha256(&at("disk.qcow2"))?.trim_start_matches("sha256:"))?;
    let nginx = Nginx::serve(folder.path())?;
    let target = at("disk.img");
    for (name, algorithm) in [
        ("SHA256SUMS", "sha256"),
        ("SHA512SUMS", "sha512"),
        ("Cloud-CHECKSUM", "sha256"),
        ("openssl", "sha256"),
        ("disk.qcow2.sha256", "sha256"),
    ] {
        for from in [nginx.url(name), at(name).display().to_string()] {
            let import = Import::new(nginx.url("disk.qcow2"), &target, &at("state")).with("--force");
            let report = import.with(format!("--checksum-from={from}")).succeed()?;
            let checksum = &report["checksum"];
            assert!(checksum["expected"].to_string().contains(algorithm) && checksum["matched"] == "file", "{report}");
            assert!(checksum["from"].to_string().contains(name), "{report}");
            let is_warned = report["warnings"].to_string().contains("without protection");
            assert_eq!(is_warned, from.starts_with("http:"), "{report}");
            compare::same_disk(&at("disk.raw"), &target)?;
        }
    }
    Ok(())
}

#[test]
fn the_name_looked_for_is_the_one_before_a_redirect() -> Result<()> {
    let folder = images()?;
    let at = |name: &str| folder.path().join(name);
    fs::copy(at("disk.qcow2"), at("latest.qcow2"))?;
    list(folder.path(), "SHA256SUMS", "sha256sum", &["latest.qcow2", "other.qcow2"])?;
    fs::remove_file(at("latest.qcow2"))?;
    let nginx =
        Settings::new(folder.path()).directive("location = /latest.qcow2 { return 302 /disk.qcow2; }").start()?;
    let import = Import::new(nginx.url("latest.qcow2"), &at("disk.img"), &at("state"));
    import.with(format!("--checksum-from={}", nginx.url("SHA256SUMS"))).succeed()?;
    compare::same_disk(&at("disk.raw"), &at("disk.img"))
}

#[test]
fn a_signed_list_is_read_and_its_signature_is_said_to_be_unchecked() -> Result<()> {
    let folder = images()?;
    let at = |name: &str| folder.path().join(name);
    let gpg = |arguments: &[&str]| {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]);
        run(command.args(arguments).current_dir(folder.path()).env("GNUPGHOME", folder.path()))
    };
    list(folder.path(), "list", "sha256sum", &["disk.qcow2", "other.qcow2"])?;
    gpg(&["--quick-gen-key", "fixture", "ed25519", "sign"])?;
    gpg(&["--output", "CHECKSUM", "--clearsign", "list"])?;
    let import = Import::new(at("disk.qcow2"), &at("disk.img"), &at("state"));
    let report = import.with(format!("--checksum-from={}", at("CHECKSUM").display())).succeed()?;
    assert!(report["warnings"].to_string().contains("signature is not checked"), "{report}");
    // The agent that gpg left behind for this folder's keys.
    run(Command::new("gpgconf").args(["--kill", "gpg-agent"]).env("GNUPGHOME", folder.path()))
}

#[test]
fn an_archive_is_verified_the_same_way() -> Result<()> {
    let folder = images()?;
    let at = |name: &str| folder.path().join(name);
    run(Command::new("tar").args(["-cf", "files.tar", "other.qcow2"]).current_dir(folder.path()))?;
    list(folder.path(), "SHA256SUMS", "sha256sum", &["files.tar", "other.qcow2"])?;
    let import = Import::new(at("files.tar"), &at("unpacked"), &at("state")).with("--content-type=archive");
    let report = import.with(format!("--checksum-from={}", at("SHA256SUMS").display())).succeed()?;
    assert_eq!(report["checksum"]["matched"], "file");
    Ok(())
}

#[test]
fn what_logs_in_to_the_images_server_is_not_sent_to_the_lists() -> Result<()> {
    let folder = images()?;
    let at = |name: &str| folder.path().join(name);
    list(folder.path(), "SHA256SUMS", "sha256sum", &["disk.qcow2", "other.qcow2"])?;
    fs::write(at("password"), "open sesame")?;
    fs::write(at("token"), "X-Token: hunter2")?;
    let images = Settings::new(folder.path()).login("alice", "open sesame").start()?;
    let refusing = "if ($http_authorization$http_x_token) { return 500; }";
    let lists = Settings::new(folder.path()).directive(refusing).start()?;
    let closed = Settings::new(folder.path()).login("bob", "pw").start()?;
    let import = Import::new(images.url("disk.qcow2"), &at("disk.img"), &at("state"))
        .with("--force")
        .with("--user=alice")
        .with(format!("--password-file={}", at("password").display()))
        .with(format!("--secret-header-file={}", at("token").display()));
    let from = |address: String| import.clone().with(format!("--checksum-from={address}"));
    from(lists.url("SHA256SUMS")).succeed()?;
    from(images.url("SHA256SUMS")).succeed()?;
    from(closed.url("SHA256SUMS").replace("//", "//bob:pw@")).succeed()?;
    let output = from(closed.url("SHA256SUMS")).command().output()?;
    assert_eq!(failed(&output)?, (3, "source-denied".to_owned()));
    assert!(json(&output)?["error"]["remedy"].to_string().contains("the image's own host only"));
    Ok(())
}

#[test]
fn a_list_without_the_image_or_with_another_digest_leaves_no_target() -> Result<()> {
    let folder = images()?;
    let at = |name: &str| folder.path().join(name);
    list(folder.path(), "SHA256SUMS", "sha256sum", &["other.qcow2", "disk.raw"])?;
    fs::write(at("wrong"), format!("{}  disk.qcow2\n", "0".repeat(64)))?;
    fs::write(at("large"), "# \n".repeat(400_000))?;
    fs::write(at("binary"), [0xff; 100])?;
    let nginx = Nginx::serve(folder.path())?;
    for (name, code, text) in [
        ("SHA256SUMS", "checksum-list", "disk.raw"),
        ("wrong", "checksum-mismatch", "wrong, line 1"),
        ("large", "checksum-list", "larger than 1 MiB"),
        ("binary", "checksum-list", "no text"),
    ] {
        let import = Import::new(nginx.url("disk.qcow2"), &at("disk.img"), &at("state"));
        let output = import.with(format!("--checksum-from={}", nginx.url(name))).command().output()?;
        assert_eq!(failed(&output)?, (5, code.to_owned()));
        let error = &json(&output)?["error"];
        assert!(error.to_string().contains(text), "{error}");
        assert!(!at("disk.img").exists());
    }
    let import = Import::new(nginx.url("disk.qcow2"), &at("disk.img"), &at("state")).with("--checksum-from=SHA256SUMS");
    let output = import.command().current_dir("/").output()?;
    assert_eq!(failed(&output)?, (3, "source-not-found".to_owned()));
    assert!(json(&output)?["error"]["remedy"].to_string().contains(&nginx.url("SHA256SUMS")));
    Ok(())
}
