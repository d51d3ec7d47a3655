//! Disks inside xz, whatever its blocks are like: decoded several at a time, in order, and refused where they are damaged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fixtures::command::run;
use fixtures::family;
use fixtures::images::qcow2::Qcow2;
use fixtures::images::{MIB, compare, compress, raw};
use fixtures::nginx::Nginx;
use tempfile::TempDir;
use tests::{Import, decoding_process, json, leftovers, sha256};

struct House {
    folder: TempDir,
    disk: PathBuf,
    nginx: Nginx,
}

impl House {
    fn new(size: u64) -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = raw::dense(&folder.path().join("disk.raw"), size, 5)?;
        let nginx = Nginx::serve(folder.path())?;
        Ok(Self { folder, disk, nginx })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn xz(&self, source: &Path, options: &[&str]) -> Result<PathBuf> {
        compress::filter(Command::new("xz").arg("-c").args(options), source, &self.at("disk.xz"))
    }

    fn import(&self, source: impl AsRef<std::ffi::OsStr>) -> Import {
        Import::new(source, &self.at("disk.img"), &self.at("state")).with("--force")
    }

    /// Code, message and place of a refusal, which leaves nothing; the same from a file and from a server.
    fn refusal(&self, bytes: &[u8]) -> Result<[String; 3]> {
        fs::write(self.at("changed.xz"), bytes)?;
        let refusals = [self.at("changed.xz").into_os_string(), self.nginx.url("changed.xz").into()].map(|source| {
            let output = self.import(source).command().output()?;
            assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(leftovers(&self.at("disk.img"))?, Vec::<String>::new());
            let error = json(&output)?["error"].take();
            let text = |name: &str| error[name].as_str().with_context(|| format!("no {name} in {error}"));
            let offset = text("place")?.rsplit(' ').next().unwrap_or_default().to_owned();
            anyhow::Ok([text("code")?.to_owned(), text("message")?.to_owned(), offset])
        });
        let [local, remote] = refusals;
        let (local, remote) = (local?, remote?);
        assert_eq!(local, remote);
        Ok(local)
    }
}

#[test]
fn blocks_of_any_size_and_kind_give_the_disk() -> Result<()> {
    let house = House::new(48 * MIB)?;
    let cases: [&[&str]; 6] = [
        &["-0", "-T1"],
        &["-0", "-T1", "--block-size=3MiB"],
        // Blocks larger than what may wait for its turn, and compressed larger than what is read ahead.
        &["--lzma2=preset=0,dict=8MiB", "-T2", "--block-size=20MiB"],
        // Dictionaries of which only one may be in use.
        &["--lzma2=preset=0,dict=64MiB", "-T2", "--block-size=12MiB"],
        &["-T2", "--block-size=1MiB", "--check=sha256", "--x86", "--lzma2=preset=0"],
        &["-T1", "--block-size=1MiB", "--check=none", "--delta=dist=4", "--lzma2=preset=0"],
    ];
    let digest = sha256(&house.disk)?;
    for options in cases {
        let file = house.xz(&house.disk, options)?;
        let report = house.import(file).with(format!("--checksum={digest}")).succeed()?;
        assert_eq!(report["compression"], "xz", "{options:?}");
        compare::same_disk(&house.disk, &house.at("disk.img")).with_context(|| format!("{options:?}"))?;
    }
    Ok(())
}

#[test]
fn streams_padding_and_blocks_with_other_dictionaries_follow_each_other() -> Result<()> {
    let house = House::new(48 * MIB)?;
    let bytes = fs::read(&house.disk)?;
    let mut file = Vec::new();
    let options: [&[&str]; 4] = [
        &["--lzma2=preset=0,dict=64MiB", "-T2", "--block-size=5MiB"],
        &["-0", "-T2", "--block-size=1MiB", "--check=sha256"],
        &["-0", "-T1"],
        &["--lzma2=preset=0,dict=16MiB", "-T2", "--block-size=3MiB"],
    ];
    for (index, part) in bytes.chunks(bytes.len() / options.len()).enumerate() {
        for part in [part, &[]] {
            fs::write(house.at("part"), part)?;
            file.extend(fs::read(house.xz(&house.at("part"), options[index])?)?);
            file.resize(file.len() + 4 * index, 0);
        }
    }
    fs::write(house.at("streams.xz"), &file)?;
    house.import(house.at("streams.xz")).with(format!("--checksum={}", sha256(&house.disk)?)).succeed()?;
    compare::same_disk(&house.disk, &house.at("disk.img"))
}

#[test]
fn an_image_in_another_format_flows_through_blocks_too() -> Result<()> {
    let house = House::new(64 * MIB)?;
    let image = Qcow2::default().convert(&house.disk, &house.at("disk.qcow2"))?;
    house.xz(&image, &["-0", "-T2", "--block-size=700KiB"])?;
    house.import(house.nginx.url("disk.xz")).succeed()?;
    compare::same_disk(&house.disk, &house.at("disk.img"))
}

#[test]
fn a_cut_file_is_refused_as_cut_wherever_it_ends() -> Result<()> {
    let house = House::new(24 * MIB)?;
    for options in [["-0", "-T2", "--block-size=2MiB"], ["-0", "-T1", "--block-size=5MiB"]] {
        let file = fs::read(house.xz(&house.disk, &options)?)?;
        let length = file.len();
        for cut in [length / 3, length / 2, length - 4000, length - 40, length - 13, length - 1] {
            let [code, message, offset] = house.refusal(&file[..cut])?;
            assert_eq!(code, "image-truncated", "cut at {cut}: {message}");
            assert!(message.contains("stream 1, block ") && offset == cut.to_string(), "{message}, {offset}");
        }
    }
    Ok(())
}

#[test]
fn damage_is_named_by_its_block_and_the_first_of_several_is_the_one() -> Result<()> {
    let house = House::new(24 * MIB)?;
    let file = fs::read(house.xz(&house.disk, &["-0", "-T2", "--block-size=2MiB"])?)?;
    let length = file.len();
    for at in [length / 5, length / 2, length * 4 / 5] {
        let mut damaged = file.clone();
        damaged[at] ^= 0x55;
        // Later damage, which is read before the block with the first is decoded: the footer.
        damaged[length - 1] ^= 1;
        let [code, message, offset] = house.refusal(&damaged)?;
        assert_eq!(code, "image-corrupt", "{message}");
        assert!(
            message.contains("xz stream 1, after ") && message.contains("LZMA2 data or a check value"),
            "{message}"
        );
        // The place is where the block begins; none is longer than its 2 MiB and a header.
        let offset: usize = offset.parse()?;
        assert!(offset <= at && at - offset < 2_200_000, "byte {at} is damaged: {message}, {offset}");
    }
    let mut damaged = file;
    damaged[length - 1] ^= 1;
    let [code, message, _] = house.refusal(&damaged)?;
    assert!(code == "image-corrupt" && message.contains("footer"), "{message}");
    Ok(())
}

#[test]
fn an_import_that_is_told_to_stop_does_so_at_once_and_the_next_one_gives_the_disk() -> Result<()> {
    let house = House::new(96 * MIB)?;
    let file = house.xz(&house.disk, &["-0", "-T2", "--block-size=4MiB"])?;
    for source in [file.into_os_string(), house.nginx.url("disk.xz").into()] {
        let import = house.import(source);
        let slow = import.clone().with("--rate-limit=20M");
        let mut child = slow.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let partial = house.at(".disk.img.gantry-partial");
        while !fs::metadata(&partial).is_ok_and(|file| file.blocks() * 512 > 30 * MIB) {
            assert!(child.try_wait()?.is_none(), "it ended before it wrote that much");
        }
        let decoding = decoding_process(child.id())?;
        run(Command::new("kill").args(["-TERM", &child.id().to_string()]))?;
        let told = Instant::now();
        assert_eq!(child.wait()?.code(), Some(143));
        assert!(told.elapsed() < Duration::from_secs(5) && !family::is_alive(decoding), "{:?}", told.elapsed());
        import.succeed()?;
        compare::same_disk(&house.disk, &house.at("disk.img"))?;
    }
    Ok(())
}
