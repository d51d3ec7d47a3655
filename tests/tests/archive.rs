//! `--content-type archive`: what tar wrote is what is unpacked, and a hostile archive writes nothing outside.

use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use fixtures::command::{output, run};
use fixtures::device::Mount;
use fixtures::images::noise::Noise;
use fixtures::images::{MIB, compress};
use fixtures::nginx::{Nginx, Settings};
use tempfile::TempDir;
use tests::{Import, number, sha256};

struct House {
    folder: TempDir,
}

impl House {
    /// A tree with what trees have: modes, times, links, holes, long and odd names.
    fn new() -> Result<Self> {
        let house = Self { folder: TempDir::new()? };
        let tree = house.at("tree");
        fs::create_dir_all(tree.join("etc/deep/er"))?;
        fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost\n")?;
        fs::write(tree.join("empty"), "")?;
        fs::write(tree.join("etc/deep/er/noise"), Noise::new(1).bytes(3 << 20))?;
        let sparse = fs::File::create(tree.join("sparse"))?;
        sparse.set_len(20 << 20)?;
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 9 << 20)?;
        fs::write(tree.join("x".repeat(180)), "a long name")?;
        fs::create_dir_all(tree.join("y".repeat(120)).join("z".repeat(120)))?;
        fs::write(tree.join("y".repeat(120)).join("z".repeat(120)).join("wörld \u{1f980}"), "a long path")?;
        symlink("etc/hosts", tree.join("link"))?;
        symlink("/nowhere/at/all", tree.join("dangling"))?;
        fs::hard_link(tree.join("etc/hosts"), tree.join("etc/also-hosts"))?;
        run(Command::new("chmod").arg("0751").arg(tree.join("etc/hosts")))?;
        run(Command::new("touch").args(["-d", "2001-02-03T04:05:06Z"]).arg(tree.join("etc/hosts")))?;
        Ok(house)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tar(&self, name: &str, options: &[&str]) -> Result<PathBuf> {
        let path = self.at(name);
        run(Command::new("tar").args(options).arg("-C").arg(self.at("tree")).arg("-cf").arg(&path).arg("."))?;
        Ok(path)
    }

    fn import(&self, source: impl AsRef<std::ffi::OsStr>, directory: &Path) -> Import {
        Import::new(source, directory, &self.at("state")).with("--content-type=archive")
    }

    /// Unpacks and compares: content, links, modes, times.
    fn same(&self, source: impl AsRef<std::ffi::OsStr>, options: &[String]) -> Result<()> {
        let directory = self.at("unpacked");
        let import = options.iter().fold(self.import(source, &directory), Import::with);
        import.succeed()?;
        run(Command::new("diff").args(["-r", "--no-dereference"]).arg(self.at("tree")).arg(&directory))?;
        let listed = |folder: &Path| {
            output(Command::new("find").arg(folder).args(["-mindepth", "1", "-printf", "%P %y %m %l %n %s %Y\n"]))
        };
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines.into_iter().filter(|line| !line.contains(" d ")).collect::<Vec<_>>()
        };
        assert_eq!(sorted(listed(&directory)?), sorted(listed(&self.at("tree"))?));
        assert_eq!(fs::metadata(directory.join("etc/hosts"))?.mtime(), 981_173_106);
        assert!(fs::metadata(directory.join("sparse"))?.blocks() * 512 < MIB, "holes stay holes");
        fs::remove_dir_all(&directory)?;
        Ok(())
    }
}

#[test]
fn what_tar_wrote_is_what_is_unpacked_from_every_source_and_compression() -> Result<()> {
    let house = House::new()?;
    let ranged = Nginx::serve(house.folder.path())?;
    let plain = Settings::new(house.folder.path()).without_ranges().start()?;
    for format in ["gnu", "pax", "posix"] {
        let tar = house.tar(&format!("{format}.tar"), &[&format!("--format={format}")])?;
        let gzip = compress::gzip(&tar, &house.at(&format!("{format}.tar.gz")), 6)?;
        let zstd = compress::zstd(&tar, &house.at(&format!("{format}.tar.zst")), &[])?;
        for file in [&tar, &gzip, &zstd] {
            let name = file.file_name().context("a file has a name")?.to_string_lossy().into_owned();
            house.same(file, &[]).with_context(|| name.clone())?;
            house.same(ranged.url(&name), &[format!("--checksum={}", sha256(file)?)])?;
            house.same(plain.url(&name), &[format!("--checksum={}", sha256(&tar)?)])?;
        }
    }
    Ok(())
}

#[test]
fn what_is_there_is_kept_unless_it_is_forced_and_then_only_what_the_archive_names_changes() -> Result<()> {
    let house = House::new()?;
    let tar = house.tar("a.tar", &[])?;
    let directory = house.at("volume");
    fs::create_dir_all(directory.join("etc"))?;
    fs::write(directory.join("etc/hosts"), "old")?;
    fs::write(directory.join("mine"), "mine")?;
    let import = house.import(&tar, &directory);
    assert_eq!(import.fail()?, (6, "target-exists".to_owned()));
    assert_eq!(fs::read(directory.join("etc/hosts"))?, b"old");
    let report = import.with("--force").succeed()?;
    assert!(number(&report, "members") > 10 && number(&report, "bytes") > 20 * MIB, "{report}");
    assert_eq!(fs::read(directory.join("etc/hosts"))?, b"127.0.0.1 localhost\n");
    assert_eq!(fs::read(directory.join("mine"))?, b"mine");
    Ok(())
}

/// A header of the kind `kind`, by python's own hand.
struct Header<'a> {
    name: &'a str,
    kind: u8,
    link: &'a str,
    data: &'a [u8],
    /// What the header says of the size, if not the truth.
    size: Option<u64>,
}

const FILE: Header<'_> = Header { name: "file", kind: b'0', link: "", data: b"", size: None };

impl Header<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0; 512];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(0, self.name.as_bytes());
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", self.size.unwrap_or(self.data.len() as u64)).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.extend(self.data);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    }
}

fn archive(path: &Path, headers: &[Header<'_>], end: usize) -> Result<()> {
    let mut file = fs::File::create(path)?;
    for header in headers {
        file.write_all(&header.bytes())?;
    }
    Ok(file.write_all(&vec![0; end])?)
}

#[test]
fn a_hostile_archive_is_refused_by_name_and_writes_nothing_outside() -> Result<()> {
    let house = House::new()?;
    let outside = house.at("outside");
    fs::create_dir(&outside)?;
    fs::write(outside.join("secret"), "secret")?;
    let outside_text = outside.to_string_lossy().into_owned();
    let long = vec![b'a'; 70_000];
    let deep = "d/".repeat(300);
    let link_out = Header { name: "out", kind: b'2', link: &outside_text, ..FILE };
    let pax = |record: &str| format!("{} {record}\n", record.len() + 4).into_bytes();
    let (global, size, sparse) = (pax("path=../x"), pax("size=9999"), pax("GNU.sparse.major=1"));
    let cases: Vec<(&str, Vec<Header<'_>>, &str)> = vec![
        ("parent", vec![Header { name: "../outside/evil", ..FILE }], "archive-unsafe"),
        ("inner parent", vec![Header { name: "a/../../outside/evil", ..FILE }], "archive-unsafe"),
        ("through a link", vec![link_out, Header { name: "out/evil", ..FILE }], "archive-unsafe"),
        ("hard link out", vec![Header { name: "in", kind: b'1', link: "../outside/secret", ..FILE }], "archive-unsafe"),
        (
            "hard link through a link",
            vec![
                Header { name: "out", kind: b'2', link: &outside_text, ..FILE },
                Header { name: "in", kind: b'1', link: "out/secret", ..FILE },
            ],
            "archive-unsafe",
        ),
        ("device", vec![Header { name: "null", kind: b'3', ..FILE }], "archive-unsafe"),
        ("pipe", vec![Header { name: "pipe", kind: b'6', ..FILE }], "archive-unsafe"),
        ("itself", vec![Header { name: ".", ..FILE }], "archive-unsafe"),
        ("deep", vec![Header { name: "x", kind: b'L', data: deep.as_bytes(), ..FILE }, FILE], "archive-unsafe"),
        ("long name", vec![Header { name: "x", kind: b'L', data: &long, ..FILE }, FILE], "image-malformed"),
        ("endless name", vec![Header { name: "x", kind: b'L', size: Some(8_000_000_000), ..FILE }], "image-malformed"),
        (
            "endless header",
            vec![Header { name: "x", kind: b'x', size: Some(8_000_000_000), ..FILE }],
            "image-malformed",
        ),
        ("global path", vec![Header { name: "x", kind: b'g', data: &global, ..FILE }, FILE], "image-malformed"),
        ("size elsewhere", vec![Header { name: "x", kind: b'x', data: &size, ..FILE }, FILE], "image-unsupported"),
        ("sparse", vec![Header { name: "x", kind: b'x', data: &sparse, ..FILE }, FILE], "image-unsupported"),
        ("cut", vec![Header { data: b"ab", size: Some(4096), ..FILE }], "image-truncated"),
    ];
    for (name, headers, code) in cases {
        let tar = house.at("hostile.tar");
        archive(&tar, &headers, if name == "cut" { 0 } else { 1024 })?;
        let directory = house.at("volume");
        let found = house.import(&tar, &directory).fail().context(name)?;
        assert_eq!(found, (4, code.to_owned()), "{name}");
        let names: Vec<_> = fs::read_dir(&outside)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
        assert_eq!(names, ["secret"], "{name}");
        assert_eq!(fs::metadata(outside.join("secret"))?.nlink(), 1, "{name}");
        fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

#[test]
fn an_absolute_name_is_taken_from_the_directory_as_tar_takes_it() -> Result<()> {
    let house = House::new()?;
    let tar = house.at("absolute.tar");
    archive(&tar, &[Header { name: "/etc/hostname", data: b"inside", ..FILE }], 1024)?;
    house.import(&tar, &house.at("volume")).succeed()?;
    assert_eq!(fs::read(house.at("volume/etc/hostname"))?, b"inside");
    Ok(())
}

#[test]
fn an_archive_without_its_end_is_truncated_and_one_with_a_changed_bit_is_named() -> Result<()> {
    let house = House::new()?;
    let tar = house.at("a.tar");
    archive(&tar, &[Header { data: b"content", ..FILE }], 0)?;
    assert_eq!(house.import(&tar, &house.at("volume")).fail()?.1, "image-truncated");
    archive(&tar, &[Header { data: b"content", ..FILE }], 512)?;
    house.import(&tar, &house.at("volume")).with("--force").succeed()?;
    let mut bytes = fs::read(&tar)?;
    bytes[0] ^= 1;
    fs::write(&tar, &bytes)?;
    assert_eq!(house.import(&tar, &house.at("volume")).with("--force").fail()?.1, "image-malformed");
    let wrong =
        house.import(house.tar("b.tar", &[])?, &house.at("other")).with(format!("--checksum=md5:{}", "0".repeat(32)));
    assert_eq!(wrong.fail()?, (5, "checksum-mismatch".to_owned()));
    let image = house.import(house.at("tree/sparse"), &house.at("third"));
    assert_eq!(image.fail()?, (4, "image-malformed".to_owned()));
    assert_eq!(house.import(&tar, &house.at("fourth")).with("--size=1Gi").fail()?, (2, "usage".to_owned()));
    Ok(())
}

#[test]
fn a_file_that_cannot_fit_is_refused_before_it_is_written() -> Result<()> {
    let house = House::new()?;
    let mount = Mount::ext4(16)?;
    let tar = house.at("bomb.tar");
    archive(&tar, &[Header { size: Some(1 << 32), ..FILE }], 1024)?;
    assert_eq!(house.import(&tar, &mount.path()).fail()?, (6, "target-no-space".to_owned()));
    assert!(!mount.path().join("file").exists());
    Ok(())
}

#[test]
fn a_pod_unpacks_into_its_volume_beside_what_its_file_system_has() -> Result<()> {
    let house = House::new()?;
    house.tar("a.tar", &[])?;
    let nginx = Nginx::serve(house.folder.path())?;
    let root = house.at("pod");
    fs::create_dir_all(root.join("data/lost+found"))?;
    fs::create_dir_all(root.join("dev"))?;
    let mut pod = Command::new(tests::binary());
    pod.args(["cdi-importer", "--metrics-address=127.0.0.1:0", "--root"]).arg(&root).env_clear();
    pod.env("IMPORTER_SOURCE", "http")
        .env("IMPORTER_ENDPOINT", nginx.url("a.tar"))
        .env("IMPORTER_CONTENTTYPE", "archive");
    pod.env("PREALLOCATION", "false").env("IMPORTER_IMAGE_SIZE", "1Gi").env("OWNER_UID", "x");
    run(&mut pod)?;
    assert_eq!(fs::read_to_string(root.join("dev/termination-log"))?, r#"{"message":"Import Complete"}"#);
    assert_eq!(fs::read(root.join("data/etc/hosts"))?, b"127.0.0.1 localhost\n");
    Ok(())
}

/// A file of `times` copies of `bytes` inside zstd.
fn packed(path: &Path, bytes: &[u8], times: usize) -> Result<()> {
    let mut tool =
        Command::new("zstd").args(["-q", "-c"]).stdin(Stdio::piped()).stdout(fs::File::create(path)?).spawn()?;
    let mut input = BufWriter::with_capacity(1 << 20, tool.stdin.take().context("zstd has an input")?);
    for _ in 0..times {
        input.write_all(bytes)?;
    }
    drop(input);
    ensure!(tool.wait()?.success(), "zstd");
    Ok(())
}

#[test]
fn more_than_a_million_members_are_refused() -> Result<()> {
    let house = House::new()?;
    let directory = Header { name: "d/", kind: b'5', ..FILE };
    let comment = Header { name: "x", kind: b'x', data: b"30 comment=nothing to be seen\n", ..FILE };
    for (what, member) in [("directories", directory), ("extended headers", comment)] {
        let path = house.at("many.tar.zst");
        packed(&path, &member.bytes(), (1 << 20) + 1)?;
        assert!(fs::metadata(&path)?.len() < MIB, "{what}");
        let import = house.import(&path, &house.at("volume")).with("--force");
        assert_eq!(import.refused().context(what)?, (4, "image-too-large".to_owned()), "{what}");
    }
    Ok(())
}

#[test]
fn an_extended_header_larger_than_any_is_refused_though_it_is_all_there() -> Result<()> {
    let house = House::new()?;
    let len = 512 << 20;
    let mut record = format!("{len} path=").into_bytes();
    record.resize(len - 1, b'a');
    record.push(b'\n');
    for kind in [b'x', b'g', b'L', b'K'] {
        let long = Header { name: "x", kind, data: &record, ..FILE };
        let path = house.at("long.tar.zst");
        packed(&path, &[long.bytes(), FILE.bytes(), vec![0; 1024]].concat(), 1)?;
        let import = house.import(&path, &house.at("volume")).with("--force");
        assert_eq!(import.refused()?, (4, "image-malformed".to_owned()), "{}", char::from(kind));
    }
    Ok(())
}

#[test]
fn zeros_behind_the_end_are_padding_and_not_followed_for_ever() -> Result<()> {
    let house = House::new()?;
    let path = house.at("padded.tar.zst");
    packed(&path, &[FILE.bytes(), vec![0; 1024]].concat(), 1)?;
    let end = fs::read(&path)?;
    packed(&path, &vec![0; MIB as usize], 16)?;
    let padding = fs::read(&path)?;
    fs::write(&path, [&end[..], &padding].concat())?;
    house.import(&path, &house.at("volume")).succeed()?;
    let import = house.import("-", &house.at("volume")).with("--force");
    assert_eq!(import.refused_while_fed(&end, &padding)?, (4, "image-too-large".to_owned()));
    Ok(())
}

#[test]
fn files_of_zeros_that_are_larger_together_than_their_volume_are_refused() -> Result<()> {
    let house = House::new()?;
    let mount = Mount::ext4(32)?;
    // Each fits, and takes no room.
    let path = house.at("zeros.tar.zst");
    packed(&path, &Header { data: &[0; 4 << 20], ..FILE }.bytes(), 100)?;
    let import = house.import(&path, &mount.path()).with("--force");
    assert_eq!(import.refused()?, (6, "target-no-space".to_owned()));
    assert!(mount.free()? > 16 * MIB);
    Ok(())
}
