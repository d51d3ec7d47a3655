//! Disks in archives: `.ova`, tar and zip files as tools write them, from every kind of source, onto files and devices.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use fixtures::command::{output, run};
use fixtures::device::LoopDevice;
use fixtures::images::qcow2::{Clusters, Qcow2};
use fixtures::images::{MIB, compare, raw};
use fixtures::nginx::{Nginx, Settings};
use serde_json::Value;
use tempfile::TempDir;
use tests::{Import, binary, failed, json, leftovers, number, sha256};

/// A folder with a disk in several formats, and an OVF package's small files.
struct House {
    folder: TempDir,
    disk: PathBuf,
}

impl House {
    fn new(size: u64) -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = raw::patterns(&folder.path().join("disk.raw"), size, 1)?;
        let house = Self { folder, disk };
        Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&house.disk, &house.at("disk.qcow2"))?;
        house.sh("qemu-img convert -O vmdk -o subformat=streamOptimized disk.raw box-disk1.vmdk")?;
        house.sh("echo '<Envelope/>' >box.ovf; echo hello >README")?;
        house.sh("for file in box.ovf box-disk1.vmdk; do echo \"SHA256($file)= $(sha256sum <$file | cut -c-64)\"; done >box.mf")?;
        Ok(house)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sh(&self, script: &str) -> Result<()> {
        run(Command::new("bash").args(["-ec", script]).current_dir(self.folder.path()))
    }

    fn target(&self) -> PathBuf {
        self.at("target/disk.img")
    }

    fn import(&self, source: impl AsRef<std::ffi::OsStr>) -> Result<Import> {
        let _ = fs::remove_dir_all(self.at("target"));
        fs::create_dir(self.at("target"))?;
        Ok(Import::new(source, &self.target(), &self.at("state")))
    }

    /// The report of an import from standard input.
    fn piped(&self, name: &str, arguments: &[&str]) -> Result<std::process::Output> {
        let import = arguments.iter().fold(self.import("-")?, |import, argument| import.with(*argument));
        // A pipe, not the file itself: nothing can be read twice.
        let mut cat = Command::new("cat").arg(self.at(name)).stdout(Stdio::piped()).spawn()?;
        let output = import.command().stdin(cat.stdout.take().context("a pipe")?).output()?;
        cat.wait()?;
        Ok(output)
    }

    fn nothing_is_left(&self) -> Result<()> {
        ensure!(!self.target().exists() && leftovers(&self.target())?.is_empty());
        Ok(())
    }
}

/// Archives, how each is made, the member that is the disk, and the route where the archive can be read at random.
const ARCHIVES: &[(&str, &str, &str, &str)] = &[
    ("box.ova", "tar --format=ustar -cf box.ova box.ovf box.mf box-disk1.vmdk", "box-disk1.vmdk", "hashed"),
    ("late.ova", "tar --format=ustar -cf late.ova box.ovf box-disk1.vmdk box.mf", "box-disk1.vmdk", "hashed"),
    ("ustar.tar", "tar --format=ustar -cf ustar.tar README disk.qcow2", "disk.qcow2", "mapped"),
    ("gnu.tar", "tar --format=gnu -cf gnu.tar ./disk.raw README", "disk.raw", "mapped"),
    ("pax.tar", "tar --format=pax -cf pax.tar README disk.qcow2", "disk.qcow2", "mapped"),
    ("disk.tar.gz", "tar -czf disk.tar.gz README disk.raw", "disk.raw", "streamed"),
    ("disk.tar.xz", "tar -cJf disk.tar.xz disk.qcow2", "disk.qcow2", "streamed"),
    ("disk.tar.zst", "tar --zstd -cf disk.tar.zst disk.raw README", "disk.raw", "streamed"),
    ("inner.tar", "gzip -k disk.raw; tar -cf inner.tar README disk.raw.gz", "disk.raw.gz", "streamed"),
    ("deflated.zip", "zip -q deflated.zip README disk.raw", "disk.raw", "streamed"),
    ("stored.zip", "zip -q -0 stored.zip disk.qcow2 README", "disk.qcow2", "mapped"),
    ("piped.zip", "zip -q - disk.raw README | cat >piped.zip", "disk.raw", "streamed"),
];

#[test]
fn the_disk_in_an_archive_is_imported_from_every_source() -> Result<()> {
    let house = House::new(24 * MIB)?;
    let nginx = Nginx::serve(house.folder.path())?;
    let sequential = Settings::new(house.folder.path()).without_ranges().start()?;
    for (name, script, member, route) in ARCHIVES {
        house.sh(script)?;
        for (source, route) in [
            (house.at(name).into_os_string(), *route),
            (nginx.url(name).into(), *route),
            (sequential.url(name).into(), "streamed"),
        ] {
            let report =
                house.import(&source)?.succeed().with_context(|| format!("{name} from {}", source.display()))?;
            assert_eq!((&report["member"], &report["route"]), (&(*member).into(), &route.into()), "{report}");
            compare::same_disk(&house.disk, &house.target())?;
        }
        let output = house.piped(name, &[])?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(json(&output)?["member"], *member);
        compare::same_disk(&house.disk, &house.target())?;
    }
    Ok(())
}

#[test]
fn at_random_only_what_is_allocated_in_the_disk_is_fetched_and_a_kill_costs_no_more_than_elsewhere() -> Result<()> {
    let house = House::new(4 * MIB)?;
    raw::dense(&house.at("other.bin"), 60 * MIB, 3)?;
    let disk = raw::dense(&house.at("large.raw"), 160 * MIB, 5)?;
    house.sh("truncate -s 4G large.raw")?;
    Qcow2::default().convert(&disk, &house.at("large.qcow2"))?;
    house.sh("tar -cf large.tar other.bin large.qcow2; zip -q -0 large.zip other.bin large.qcow2; rm other.bin")?;
    let nginx = Nginx::serve(house.folder.path())?;
    let image = fs::metadata(house.at("large.qcow2"))?.len();
    for name in ["large.tar", "large.zip"] {
        nginx.forget_requests()?;
        let import = house.import(nginx.url(name))?;
        let slow = import.clone().with("--rate-limit=40M");
        let partial = house.at("target/.disk.img.gantry-partial");
        assert!(slow.killed_when(|| {
            fs::metadata(&partial).is_ok_and(|file| std::os::unix::fs::MetadataExt::blocks(&file) > 2 * 80 * 1024)
        })?);
        let report = import.succeed()?;
        assert!(number(&report, "resumed") > 0, "{report}");
        assert_eq!(report["route"], "mapped");
        compare::by_qemu_img(&house.at("large.qcow2"), "qcow2", &house.target())?;
        // A second beginning, what was under way, and nothing of the other file.
        assert!(number(&report, "fetched") < image, "{report}");
    }
    Ok(())
}

#[test]
fn a_wrong_manifest_leaves_nothing_that_looks_finished() -> Result<()> {
    let house = House::new(8 * MIB)?;
    house.sh("sed -i 's/\\(box-disk1.vmdk)= \\).*/\\1'$(printf 0%.0s {1..64})/ box.mf")?;
    let device = LoopDevice::filled(16 * MIB)?;
    for (name, script, ..) in &ARCHIVES[..2] {
        house.sh(script)?;
        assert_eq!(house.import(house.at(name))?.fail()?, (5, "checksum-mismatch".into()), "{name}");
        house.nothing_is_left()?;
        assert_eq!(failed(&house.piped(name, &[])?)?, (5, "checksum-mismatch".into()), "{name}");
        house.nothing_is_left()?;
        let onto = house.import(house.at(name))?.onto(device.path()).with("--force");
        assert_eq!(onto.fail()?, (5, "checksum-mismatch".into()));
        let mut first = vec![1; MIB as usize];
        std::io::Read::read_exact(&mut File::open(device.path())?, &mut first)?;
        assert!(first.iter().all(|&byte| byte == 0));
    }
    Ok(())
}

#[test]
fn a_checksum_may_be_of_the_archive_of_its_tar_of_the_member_or_of_the_disk() -> Result<()> {
    let house = House::new(8 * MIB)?;
    house.sh("tar -cf q.tar README disk.qcow2; gzip -k q.tar; zip -q q.zip README disk.qcow2")?;
    let nginx = Nginx::serve(house.folder.path())?;
    for (name, inner) in [("q.tar", None), ("q.tar.gz", Some("q.tar")), ("q.zip", None)] {
        let digests =
            [(Some(name), "file"), (inner, "decompressed"), (Some("disk.qcow2"), "member"), (Some("disk.raw"), "disk")];
        for (of, matched) in digests {
            let Some(of) = of else { continue };
            let checksum = format!("--checksum={}", sha256(&house.at(of))?);
            let report = house.import(nginx.url(name))?.with(&checksum).succeed()?;
            assert_eq!(report["checksum"]["matched"], matched, "{name} {of}");
            compare::same_disk(&house.disk, &house.target())?;
            assert!(house.piped(name, &[&checksum])?.status.success());
        }
        let wrong = format!("--checksum={}", sha256(&house.at("README"))?);
        assert_eq!(house.import(nginx.url(name))?.with(&wrong).fail()?, (5, "checksum-mismatch".into()));
        house.nothing_is_left()?;
    }
    Ok(())
}

#[test]
fn several_disks_are_listed_refused_and_chosen_by_name() -> Result<()> {
    let house = House::new(4 * MIB)?;
    house.sh(
        "cp README second.img; tar -cf two.tar disk.raw README second.img; tar -czf two.tar.gz disk.raw second.img",
    )?;
    house.sh("zip -q two.zip disk.raw second.img; zip -q none.zip README box.ovf")?;
    for name in ["two.tar", "two.tar.gz", "two.zip"] {
        for output in [house.import(house.at(name))?.command().output()?, house.piped(name, &[])?] {
            assert_eq!(failed(&output)?, (4, "image-several".into()), "{name}");
            let message = json(&output)?["error"]["message"].to_string();
            assert!(message.contains("disk.raw (4194304 bytes), second.img"), "{message}");
            house.nothing_is_left()?;
        }
        let report = house.import(house.at(name))?.with("--disk=disk.raw").succeed()?;
        assert_eq!(report["member"], "disk.raw");
        compare::same_disk(&house.disk, &house.target())?;
        assert!(house.piped(name, &["--disk=disk.raw"])?.status.success());
        compare::same_disk(&house.disk, &house.target())?;
        assert_eq!(house.import(house.at(name))?.with("--disk=third.img").fail()?, (4, "image-no-disk".into()));
    }
    assert_eq!(house.import(house.at("none.zip"))?.fail()?, (4, "image-no-disk".into()));
    assert_eq!(house.import(&house.disk)?.with("--disk=disk.raw").fail()?, (2, "usage".into()));
    let archive = house.import(house.at("two.tar"))?.with("--disk=disk.raw").with("--content-type=archive");
    assert_eq!(archive.fail()?, (2, "usage".into()));
    // The file itself, as without archives.
    house.sh("truncate -s %512 two.tar")?;
    house.import(house.at("two.tar"))?.with("--format=raw").succeed()?;
    compare::by_cmp(&house.at("two.tar"), &house.target())
}

fn inspect(source: &Path, arguments: &[&str]) -> Result<Value> {
    let text = output(Command::new(binary()).arg("inspect").arg(source).arg("--json").args(arguments))?;
    Ok(serde_json::from_str(&text)?)
}

#[test]
fn inspect_lists_several_disks_and_shows_one() -> Result<()> {
    let house = House::new(4 * MIB)?;
    house.sh(
        "cp README second.img; tar -cf two.tar disk.qcow2 README second.img; tar -czf two.tar.gz disk.qcow2 second.img",
    )?;
    let listed = inspect(&house.at("two.tar"), &[])?;
    assert_eq!(listed["disks"][0]["member"], "disk.qcow2");
    assert_eq!((&listed["disks"][1]["member"], number(&listed["disks"][1], "fileLength")), (&"second.img".into(), 6));
    let one = inspect(&house.at("two.tar"), &["--disk=disk.qcow2"])?;
    assert_eq!((&one["member"], &one["format"]), (&"disk.qcow2".into(), &"qcow2".into()));
    assert_eq!(number(&one, "virtualSize"), 4 * MIB);
    assert!(one["allocated"].is_u64());
    let first = inspect(&house.at("two.tar.gz"), &[])?;
    assert_eq!(first["member"], "disk.qcow2");
    assert!(first["risks"].to_string().contains("only as far as this disk"), "{first}");
    let explained = house.import(house.at("two.tar"))?.with("--disk=disk.qcow2").with("--explain").succeed()?;
    assert_eq!((&explained["member"], &explained["route"]), (&"disk.qcow2".into(), &"mapped".into()));
    Ok(())
}

#[test]
fn archives_and_disks_of_more_than_8_gib() -> Result<()> {
    let house = House::new(MIB)?;
    let size: u64 = 9 << 30;
    for format in ["GNU_FORMAT", "PAX_FORMAT"] {
        let header = format!(
            "import sys, tarfile; i = tarfile.TarInfo('disk.raw'); i.size = {size}; sys.stdout.buffer.write(i.tobuf(tarfile.{format}))"
        );
        house.sh(&format!("python3 -c \"{header}\" >huge.tar"))?;
        let mut archive = File::options().append(false).write(true).open(house.at("huge.tar"))?;
        let start = archive.seek(SeekFrom::End(0))?;
        archive.seek(SeekFrom::Start(start + size - MIB))?;
        archive.write_all(&fs::read(&house.disk)?)?;
        archive.set_len(start + size + 1024)?;
        let report = house.import(house.at("huge.tar"))?.succeed()?;
        assert_eq!((number(&report, "virtualSize"), &report["route"]), (size, &"mapped".into()));
        let mut last = vec![0; MIB as usize];
        std::os::unix::fs::FileExt::read_exact_at(&File::open(house.target())?, &mut last, size - MIB)?;
        assert!(last == fs::read(&house.disk)?, "{format}");
        fs::remove_file(house.target())?;
    }
    // Offsets above 4 GiB need the zip64 end of the directory.
    let script = "import zipfile
z = zipfile.ZipFile('huge.zip', 'w')
z.writestr('README', 'read me')
z.fp.seek(5 << 30); z.start_dir = 5 << 30
z.write('disk.raw', compress_type=zipfile.ZIP_DEFLATED)
z.close()";
    fs::write(house.at("huge.py"), script)?;
    house.sh("rm huge.tar; python3 huge.py")?;
    house.import(house.at("huge.zip"))?.succeed()?;
    compare::same_disk(&house.disk, &house.target())
}

#[test]
fn an_archive_that_was_cut_or_damaged_leaves_nothing() -> Result<()> {
    let house = House::new(8 * MIB)?;
    for (name, script, ..) in ARCHIVES {
        house.sh(script)?;
        let whole = fs::read(house.at(name))?;
        for part in [3, 2] {
            fs::write(house.at("cut"), &whole[..whole.len() - whole.len() / part])?;
            assert_eq!(house.import(house.at("cut"))?.fail()?.0, 4, "{name}");
            house.nothing_is_left()?;
            assert_eq!(failed(&house.piped("cut", &[])?)?.0, 4, "{name}");
            house.nothing_is_left()?;
        }
    }
    let mut damaged = fs::read(house.at("deflated.zip"))?;
    let crc = damaged.len() - 22 - 300;
    damaged[crc] ^= 0x55;
    fs::write(house.at("damaged.zip"), &damaged)?;
    assert_eq!(house.import(house.at("damaged.zip"))?.fail()?.0, 4);
    house.nothing_is_left()
}
