//! Archives that are cut, lie, or want to be too much.

use super::*;

/// Makes the sum in the first header of a tar file right again.
pub(super) fn sum(archive: &mut [u8]) {
    archive[148..156].fill(b' ');
    let sum: u32 = archive[..512].iter().map(|&byte| u32::from(byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A small archive of each kind, all with `disk.raw` of 300 bytes behind another file.
fn small() -> Vec<(&'static str, Vec<u8>)> {
    let (folder, _) = folder();
    let folder = folder.path();
    std::fs::write(folder.join("disk.raw"), [b'd'; 300]).unwrap();
    std::fs::create_dir(folder.join("l")).unwrap();
    let long = format!("l/{}", "n".repeat(120));
    std::fs::write(folder.join(&long), "long").unwrap();
    for format in ["ustar", "gnu", "pax"] {
        let member = if format == "ustar" { "README" } else { &long };
        run(
            folder,
            "tar",
            &[&format!("--format={format}"), "-b1", "-cf", &format!("{format}.tar"), member, "disk.raw"],
        );
    }
    run(folder, "zip", &["-q", "-0", "stored.zip", "README", "disk.raw"]);
    let zip64 = python(folder, "out(z([('README', b'x'), ('disk.raw', disk)], to=Pipe(), zip64=True))");
    let zip = python(folder, "out(z([('README', b'x'), ('disk.raw', disk)]))");
    let of = |name: &str| bytes_of(folder, name);
    vec![
        ("ustar", of("ustar.tar")),
        ("gnu", of("gnu.tar")),
        ("pax", of("pax.tar")),
        ("stored", of("stored.zip")),
        ("zip64", zip64),
        ("zip", zip),
    ]
}

#[test]
fn cut_anywhere_it_is_refused_both_ways() {
    for (name, archive) in small() {
        let whole = disk(&archive, &ANY);
        assert_eq!(whole, ("disk.raw".into(), vec![b'd'; 300]));
        // The second block of zeros of a tar file says nothing new.
        let needed = archive.len() - if archive.starts_with(b"PK") { 0 } else { 512 };
        // Every byte of a zip file, and eight for each field of a tar header.
        let step = if archive.starts_with(b"PK") { 1 } else { 8 };
        for len in (1..needed).step_by(step) {
            for has_ranges in [true, false] {
                match read(Memory::new(&archive[..len], has_ranges), &ANY) {
                    Err(failure) => {
                        assert_eq!(failure.code().class(), contract::Class::Image, "{name} {len}: {failure}");
                    }
                    // What is left does not even look like an archive.
                    Ok((member, bytes, _)) => assert!(member.is_empty() && bytes == archive[..len], "{name} {len}"),
                }
            }
        }
    }
}

#[test]
fn any_changed_byte_gives_a_refusal_or_the_same_disk_both_ways() {
    for (name, archive) in small() {
        for at in (0..archive.len()).step_by(3) {
            let mut archive = archive.clone();
            archive[at] ^= 0xff;
            let both = [true, false].map(|has_ranges| read(Memory::new(&archive, has_ranges), &ANY));
            if let [Ok((at_random, bytes, _)), Ok((flowing, same, _))] = &both {
                assert!(at_random == flowing && bytes == same, "{name} {at}");
            }
        }
    }
}

#[test]
fn a_size_that_lies_is_refused() {
    let (folder, _) = folder();
    run(folder.path(), "tar", &["--format=gnu", "-cf", "x.tar", "disk.raw"]);
    let archive = bytes_of(folder.path(), "x.tar");
    for size in [*b"77777777777\0", *b"\x80\0\0\0\0\0\0\x40\0\0\0\0", *b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"] {
        let mut lying = archive.clone();
        lying[124..136].copy_from_slice(&size);
        sum(&mut lying);
        for failure in refusals(&lying, &ANY) {
            assert!(matches!(failure.code(), Code::ImageTruncated | Code::ImageTooLarge), "{failure}");
        }
    }
    for size in [*b"\x80\0\0\x01\0\0\0\0\0\0\0\0", [0xff; 12], *b"12x45678901\0"] {
        let mut lying = archive.clone();
        lying[124..136].copy_from_slice(&size);
        sum(&mut lying);
        assert_eq!(refused(&lying, &ANY).0, Code::ImageMalformed);
    }
    // Too small: what follows is no header.
    let mut lying = archive.clone();
    lying[124..136].copy_from_slice(b"00000055000\0");
    sum(&mut lying);
    assert_eq!(refused(&lying, &ANY).0, Code::ImageMalformed);
}

#[test]
fn a_name_that_leaves_the_directory_is_only_a_name() {
    let (folder, disk_bytes) = folder();
    run(folder.path(), "tar", &["-P", "--transform=s,^,../../,", "-cf", "x.tar", "disk.raw"]);
    assert!(disk(&bytes_of(folder.path(), "x.tar"), &ANY) == ("../../disk.raw".into(), disk_bytes.clone()));
    let archive = python(folder.path(), r"out(z([('../\x1b[31m/disk.raw', disk)]))");
    assert!(disk(&archive, &ANY) == (r"../\u{1b}[31m/disk.raw".into(), disk_bytes));
}

#[test]
fn two_members_of_one_name_are_two_disks_and_cannot_be_told_apart() {
    let (folder, _) = folder();
    run(folder.path(), "tar", &["-cf", "x.tar", "disk.raw", "disk.raw", "--hard-dereference"]);
    let zip = python(
        folder.path(),
        "import warnings; warnings.simplefilter('ignore')\nout(z([('disk.raw', disk), ('disk.raw', b'x')]))",
    );
    for archive in [bytes_of(folder.path(), "x.tar"), zip] {
        assert_eq!(refused(&archive, &ANY).0, Code::ImageSeveral);
        let (code, what) = refused(&archive, &Wanted { disk: Some("disk.raw"), ..ANY });
        assert_eq!(code, Code::ImageMalformed);
        assert!(what.contains("two members named disk.raw"), "{what}");
    }
}

#[test]
fn a_million_members_are_refused_early() {
    let (folder, _) = folder();
    let tar = python(folder.path(), "header = tarfile.TarInfo('x').tobuf()\nout(header * 1000000)");
    let memory = Memory::new(&tar, true);
    assert_eq!(read(memory.clone(), &ANY).unwrap_err().code(), Code::ImageTooLarge);
    assert!(memory.fetched.load(Ordering::Relaxed) < 4 << 20);
    assert_eq!(read(Memory::new(&tar, false), &ANY).unwrap_err().code(), Code::ImageTooLarge);
    let zip = python(folder.path(), "out(z([(str(n), b'') for n in range(70000)], method=zipfile.ZIP_STORED))");
    assert_eq!(refused(&zip, &ANY).0, Code::ImageTooLarge);
}

#[test]
fn extended_headers_and_names_are_bounded() {
    let (folder, _) = folder();
    for program in [
        "i = tarfile.TarInfo('x' * 70000)\nout(i.tobuf(tarfile.GNU_FORMAT))",
        "i = tarfile.TarInfo('x')\ni.pax_headers = {'comment': 'x' * 70000}\nout(i.tobuf(tarfile.PAX_FORMAT))",
        "i = tarfile.TarInfo('x' * 5000)\nout(i.tobuf(tarfile.GNU_FORMAT) + bytes(1024))",
        "out(z([('x' * 5000, b'')]))",
        "i = tarfile.TarInfo('x')\nout(i.create_pax_global_header({'size': '7'}) + i.tobuf() + bytes(1024))",
    ] {
        let (code, what) = refused(&python(folder.path(), program), &ANY);
        assert_eq!(code, Code::ImageMalformed, "{program}: {what}");
    }
}

#[test]
fn sparse_members_are_refused_by_name() {
    let (folder, _) = folder();
    let folder = folder.path();
    run(folder, "truncate", &["-s", "1M", "disk.raw"]);
    for format in ["gnu", "pax"] {
        run(folder, "tar", &[&format!("--format={format}"), "-S", "-cf", "x.tar", "disk.raw"]);
        let (code, what) = refused(&bytes_of(folder, "x.tar"), &ANY);
        assert_eq!(code, Code::ImageUnsupported, "{what}");
        assert!(what.contains("disk.raw is stored sparse"), "{what}");
    }
}

#[test]
fn a_central_directory_that_says_something_else_is_refused() {
    let (folder, _) = folder();
    for change in [
        "name[0:1] = b'D'",
        "central[10:12] = struct.pack('<H', 0)",
        "central[16:20] = b'\\1\\2\\3\\4'",
        "central[20:24] = struct.pack('<I', 7)",
        "central[24:28] = struct.pack('<I', 7)",
        "central[42:46] = struct.pack('<I', 3)",
        "central[42:46] = b'\\xff' * 4",
        "central[8:10] = struct.pack('<H', 1)",
    ] {
        let archive = python(
            folder.path(),
            &format!(
                "a = bytearray(z([('disk.raw', disk)]))\nat = a.rindex(b'PK\\1\\2')\ncentral, name = memoryview(a)[at:], memoryview(a)[at + 46:]\n{change}\nout(a)"
            ),
        );
        let [at_random, flowing] = refusals(&archive, &ANY);
        for failure in [at_random, flowing] {
            let codes = [Code::ImageMalformed, Code::ImageEncrypted, Code::ImageNoDisk];
            assert!(codes.contains(&failure.code()), "{change}: {failure}");
        }
    }
    // A member more or less than the directory's end says, or than there are.
    for change in [
        "a[end + 10] = 2",
        "a[end + 10] = 1",
        "a[end + 8] = 1; a[end + 10] = 1",
        "a[end + 16] ^= 1",
        "a[end + 12] ^= 1",
    ] {
        let members =
            if change == "a[end + 10] = 2" { "[('disk.raw', disk)]" } else { "[('x', b'x'), ('disk.raw', disk)]" };
        let archive = python(
            folder.path(),
            &format!("a = bytearray(z({members}))\nend = a.rindex(b'PK\\5\\6')\n{change}\nout(a)"),
        );
        let failure = read(Memory::new(&archive, true), &ANY).unwrap_err();
        assert!(matches!(failure.code(), Code::ImageMalformed | Code::ImageUnsupported), "{change}: {failure}");
    }
    // A member that the directory does not have.
    let archive = python(
        folder.path(),
        "a = z([('disk.raw', disk), ('x', b'x')]); b = z([('disk.raw', disk)])\nat = a.index(b'PK\\1\\2')\nd = b[b.index(b'PK\\1\\2'):]\nd = d[:-6] + struct.pack('<I', at) + d[-2:]\nout(a[:at] + d)",
    );
    let failure = read(Memory::new(&archive, false), &ANY).unwrap_err();
    assert!(failure.what().contains("lacks 1 members"), "{failure}");
}

#[test]
fn a_file_that_is_two_archives_is_neither() {
    let (folder, _) = folder();
    // The second archive is the comment of the first, or follows it.
    for comment in [true, false] {
        let archive = python(
            folder.path(),
            &format!(
                r"
a, t = bytearray(z([('disk.raw', b'one')])), io.BytesIO()
t.write(a); t.seek(len(a))
z([('disk.raw', b'two')], to=t)
b = t.getvalue()[len(a):]
if {}: a[-2:] = struct.pack('<H', len(b))
out(a + b)",
                if comment { "True" } else { "False" }
            ),
        );
        let [at_random, flowing] = [true, false].map(|has_ranges| read(Memory::new(&archive, has_ranges), &ANY));
        if comment {
            assert_eq!(at_random.unwrap_err().code(), Code::ImageMalformed);
            assert_eq!(flowing.unwrap().1, b"one");
        } else {
            assert_eq!(at_random.unwrap().1, b"two");
            assert_eq!(flowing.unwrap_err().code(), Code::ImageMalformed);
        }
    }
}

#[test]
fn members_that_overlap_are_refused() {
    let (folder, _) = folder();
    let archive = python(
        folder.path(),
        r"
a = bytearray(z([('a.txt', bytes(5000)), ('b.raw', bytes(5000))], method=zipfile.ZIP_STORED))
second = a.index(b'PK\1\2', a.index(b'PK\1\2') + 1)
a[second + 42:second + 46] = struct.pack('<I', 10)
out(a)",
    );
    let failure = read(Memory::new(&archive, true), &ANY).unwrap_err();
    assert_eq!(failure.code(), Code::ImageMalformed);
    assert!(failure.what().contains("overlaps"), "{failure}");
    assert_eq!(read(Memory::new(&archive, false), &ANY).unwrap_err().code(), Code::ImageMalformed);
}

#[test]
fn a_bomb_is_stopped_at_the_size_that_it_states() {
    let (folder, _) = folder();
    for (size, code) in [(1_000_000_u32, Code::ImageCorrupt), (60_000_000, Code::ImageCorrupt)] {
        let archive = python(
            folder.path(),
            &format!(
                r"
a = bytearray(z([('bomb.raw', bytes(50000000))]))
for at, field in [(0, 22), (a.rindex(b'PK\1\2'), 24)]: a[at + field:at + field + 4] = struct.pack('<I', {size})
out(a)"
            ),
        );
        let (found, what) = refused(&archive, &ANY);
        assert_eq!(found, code, "{what}");
    }
}

#[test]
fn damaged_data_is_found_by_its_crc() {
    let (folder, _) = folder();
    let folder = folder.path();
    run(folder, "zip", &["-q", "-0", "stored.zip", "disk.raw"]);
    let mut stored = bytes_of(folder, "stored.zip");
    stored[100_000] ^= 1;
    // At random a stored member is a slice, of which only parts may be read.
    let failure = read(Memory::new(&stored, false), &ANY).unwrap_err();
    assert_eq!(failure.code(), Code::ImageCorrupt);
    assert!(failure.what().contains("CRC-32"), "{failure}");
    run(folder, "zip", &["-q", "deflated.zip", "disk.raw"]);
    let mut deflated = bytes_of(folder, "deflated.zip");
    let middle = deflated.len() / 2;
    deflated[middle] ^= 1;
    assert_eq!(refused(&deflated, &ANY).0, Code::ImageCorrupt);
}

#[test]
fn what_is_not_read_is_named_and_can_be_passed_over() {
    let (folder, disk_bytes) = folder();
    let folder = folder.path();
    run(folder, "zip", &["-q", "-P", "secret", "-Z", "store", "encrypted.zip", "disk.raw"]);
    let encrypted = bytes_of(folder, "encrypted.zip");
    assert_eq!(read(Memory::new(&encrypted, true), &ANY).unwrap_err().code(), Code::ImageEncrypted);
    for (method, name) in [("ZIP_BZIP2", "bzip2"), ("ZIP_LZMA", "lzma")] {
        let archive = python(folder, &format!("out(z([('disk.raw', disk)], method=zipfile.{method}))"));
        let (code, what) = refused(&archive, &ANY);
        assert!(code == Code::ImageUnsupported && what.contains(name), "{what}");
        let mixed = python(
            folder,
            &format!(
                "t = io.BytesIO()\nwith zipfile.ZipFile(t, 'w') as a:\n a.writestr('notes', disk, zipfile.{method})\n a.writestr('disk.raw', disk)\nout(t.getvalue())"
            ),
        );
        assert!(disk(&mixed, &ANY) == ("disk.raw".into(), disk_bytes.clone()));
    }
}

#[test]
fn only_one_layer_of_compression_is_undone() {
    let (folder, _) = folder();
    let folder = folder.path();
    run(folder, "gzip", &["-k", "disk.raw"]);
    run(folder, "tar", &["-cf", "plain.tar", "disk.raw.gz"]);
    run(folder, "tar", &["--zstd", "-cf", "x.tar.zst", "disk.raw.gz"]);
    let zip = python(folder, "out(z([('disk.raw.gz', open('disk.raw.gz', 'rb').read())]))");
    assert!(disk(&bytes_of(folder, "plain.tar"), &ANY).1 == bytes_of(folder, "disk.raw.gz"));
    for archive in [bytes_of(folder, "x.tar.zst"), zip] {
        let (code, what) = refused(&archive, &ANY);
        assert!(code == Code::ImageNesting && what.contains("gzip inside an archive's"), "{what}");
        let raw = Wanted { disk: Some("disk.raw.gz"), format: Some(Format::Raw), decompress: false, algorithm: None };
        assert!(disk(&archive, &raw).1 == bytes_of(folder, "disk.raw.gz"));
    }
}

#[test]
fn volumes_of_a_larger_archive_are_named() {
    let (folder, _) = folder();
    let folder = folder.path();
    std::fs::write(
        folder.join("disk.raw"),
        (0..200_000_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect::<Vec<_>>(),
    )
    .unwrap();
    run(folder, "zip", &["-q", "-0", "-s", "64k", "x.zip", "disk.raw"]);
    let failure = read(Memory::new(&bytes_of(folder, "x.z01"), false), &ANY).unwrap_err();
    assert!(failure.what().contains("several volumes"), "{failure}");
    let last = bytes_of(folder, "x.zip");
    let mut named = b"PK\x03\x04".to_vec();
    named.extend(&last);
    let failure = read(Memory::new(&named, true), &ANY).unwrap_err();
    assert!(failure.what().contains("several volumes"), "{failure}");
}
