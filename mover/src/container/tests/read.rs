//! What tools write is read, at random and as it flows.

use super::*;

#[test]
fn every_kind_of_tar_and_every_length_of_a_name() {
    let (folder, disk_bytes) = folder();
    let folder = folder.path();
    for len in [12, 100, 101, 160, 250] {
        let directory = "d".repeat(len / 2);
        let name = format!("{directory}/{}.raw", "n".repeat(len - len / 2 - 5));
        std::fs::create_dir_all(folder.join(&directory)).unwrap();
        std::fs::copy(folder.join("disk.raw"), folder.join(&name)).unwrap();
        for format in ["ustar", "gnu", "pax", "v7", "oldgnu"] {
            // The oldest have no room for long names, ustar for 100 bytes behind the last slash.
            if (format == "v7" && len >= 100) || (format == "ustar" && len >= 250) {
                continue;
            }
            run(folder, "tar", &[&format!("--format={format}"), "-cf", "x.tar", "README", "._disk.raw", &directory]);
            let (found, bytes) = disk(&bytes_of(folder, "x.tar"), &ANY);
            assert_eq!(found, name, "{format}");
            assert!(bytes == disk_bytes, "{format} {name}");
        }
        std::fs::remove_dir_all(folder.join(&directory)).unwrap();
    }
}

#[test]
fn every_compression_around_a_tar_file() {
    let (folder, disk_bytes) = folder();
    let folder = folder.path();
    for (option, name) in
        [("-z", "gzip"), ("-J", "xz"), ("-j", "bzip2"), ("--zstd", "zstd"), ("--use-compress-program=lz4", "lz4")]
    {
        run(folder, "tar", &[option, "-cf", "x.tar.x", "README", "./disk.raw"]);
        let archive = bytes_of(folder, "x.tar.x");
        let (found, bytes) = disk(&archive, &ANY);
        assert!(found == "disk.raw" && bytes == disk_bytes, "{name}");
    }
}

#[test]
fn sizes_in_binary_and_in_a_pax_header() {
    let (folder, disk_bytes) = folder();
    let archive = python(
        folder.path(),
        r"
to = io.BytesIO()
with tarfile.open(fileobj=to, mode='w', format=tarfile.PAX_FORMAT) as tar:
    # What tools write for 8 GiB and more: nothing that counts in the header, the size before it.
    tar.add('README')
    info = tarfile.TarInfo('disk.raw')
    info.size = 0
    info.pax_headers = {'size': str(len(disk))}
    to.write(info.tobuf(tarfile.PAX_FORMAT))
    to.write(disk + bytes(-len(disk) % 512))
    tar.offset = to.tell()
out(to.getvalue())",
    );
    assert!(disk(&archive, &ANY) == ("disk.raw".into(), disk_bytes.clone()));
    run(folder.path(), "tar", &["--format=gnu", "-cf", "x.tar", "disk.raw"]);
    let mut archive = bytes_of(folder.path(), "x.tar");
    archive[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0x04, 0x93, 0xe0]);
    hostile::sum(&mut archive);
    assert!(disk(&archive, &ANY) == ("disk.raw".into(), disk_bytes));
}

#[test]
fn zip_files_of_every_writer() {
    let (folder, disk_bytes) = folder();
    let folder = folder.path();
    run(folder, "zip", &["-q", "-X", "deflated.zip", "README", "disk.raw", "._disk.raw"]);
    run(folder, "zip", &["-q", "-0", "stored.zip", "README", "disk.raw"]);
    run(folder, "sh", &["-c", "zip -q - README disk.raw | cat > piped.zip"]);
    run(
        folder,
        "sh",
        &["-c", "cat disk.raw | zip -q -fz from-pipe.zip - && printf '@ -\n@=disk.raw\n' | zipnote -w from-pipe.zip"],
    );
    std::fs::create_dir_all(folder.join("a/b")).unwrap();
    run(folder, "sh", &["-c", "cp disk.raw a/b/ && zip -q -r deep.zip a README && zip -q -z deep.zip </dev/null"]);
    for name in ["deflated.zip", "stored.zip", "piped.zip", "from-pipe.zip", "deep.zip"] {
        let (found, bytes) = disk(&bytes_of(folder, name), &ANY);
        assert!(found.ends_with("disk.raw") && bytes == disk_bytes, "{name}: {found}");
    }
    for program in [
        "z([('README', b'read me'), ('disk.raw', disk)])",
        "z([('README', b'read me'), ('disk.raw', disk)], zip64=True)",
        "z([('empty', b''), ('disk.raw', disk), ('also', b'')], to=Pipe())",
        "z([('empty', b''), ('disk.raw', disk), ('also', b'')], to=Pipe(), zip64=True)",
        "z([('README', b'read me'), ('disk.raw', disk)], method=zipfile.ZIP_STORED)",
    ] {
        let archive = python(folder, &format!("out({program})"));
        assert!(disk(&archive, &ANY) == ("disk.raw".into(), disk_bytes.clone()), "{program}");
    }
}

#[test]
fn a_stored_member_with_its_size_behind_it_is_found_at_random_only() {
    let (folder, disk_bytes) = folder();
    let archive = python(folder.path(), "out(z([('disk.raw', disk)], method=zipfile.ZIP_STORED, to=Pipe()))");
    let (name, bytes, _) = read(Memory::new(&archive, true), &ANY).unwrap();
    assert!(name == "disk.raw" && bytes == disk_bytes);
    let failure = read(Memory::new(&archive, false), &ANY).unwrap_err();
    assert_eq!(failure.code(), Code::ImageUnsupported);
    assert!(failure.what().contains("disk.raw has its size behind its data"), "{failure}");
}

#[test]
fn a_disk_is_known_by_its_first_bytes_where_its_name_says_nothing() {
    let (folder, _) = folder();
    let folder = folder.path();
    run(folder, "qemu-img", &["convert", "-O", "qcow2", "disk.raw", "box"]);
    std::fs::create_dir(folder.join("iso")).unwrap();
    run(folder, "tar", &["-cf", "x.tar", "README", "box"]);
    run(folder, "zip", &["-q", "x.zip", "README", "box"]);
    run(folder, "zip", &["-q", "-0", "y.zip", "README", "box"]);
    for name in ["x.tar", "x.zip", "y.zip"] {
        assert!(disk(&bytes_of(folder, name), &ANY) == ("box".into(), bytes_of(folder, "box")), "{name}");
    }
}

#[test]
fn several_disks_are_listed_and_one_is_chosen() {
    let (folder, disk_bytes) = folder();
    let folder = folder.path();
    std::fs::write(folder.join("second.img"), "second").unwrap();
    run(folder, "tar", &["-cf", "x.tar", "disk.raw", "README", "second.img"]);
    run(folder, "tar", &["-czf", "x.tar.gz", "disk.raw", "README", "second.img"]);
    run(folder, "zip", &["-q", "x.zip", "disk.raw", "README", "second.img"]);
    for name in ["x.tar", "x.tar.gz", "x.zip"] {
        let archive = bytes_of(folder, name);
        let (code, what) = refused(&archive, &ANY);
        assert_eq!(code, Code::ImageSeveral);
        assert!(what.contains("2 disk images: disk.raw (300000 bytes), second.img (6 bytes)"), "{what}");
        for (chosen, bytes) in [("disk.raw", &disk_bytes[..]), ("second.img", b"second"), ("README", b"read me")] {
            let wanted = Wanted { disk: Some(chosen), ..ANY };
            assert!(disk(&archive, &wanted) == (chosen.into(), bytes.to_vec()), "{name} {chosen}");
        }
        let (code, what) = refused(&archive, &Wanted { disk: Some("third.img"), ..ANY });
        assert_eq!(code, Code::ImageNoDisk);
        assert!(what.contains("no member third.img; its disk images are disk.raw"), "{what}");
    }
    let Entered::Several { disks, .. } = enter(Box::new(Memory::new(&bytes_of(folder, "x.zip"), true)), &ANY).unwrap()
    else {
        panic!("there are two");
    };
    assert_eq!(disks[1], Disk { name: "second.img".into(), size: Some(6) });
}

#[test]
fn an_archive_without_a_disk_is_refused_with_what_it_has() {
    let (folder, _) = folder();
    let folder = folder.path();
    run(folder, "tar", &["-cf", "x.tar", "README"]);
    run(folder, "zip", &["-q", "x.zip", "README"]);
    for name in ["x.tar", "x.zip"] {
        let (code, what) = refused(&bytes_of(folder, name), &ANY);
        assert_eq!(code, Code::ImageNoDisk);
        assert!(what.contains("no disk image; it has README (7 bytes)"), "{what}");
    }
}

#[test]
fn what_is_no_archive_or_has_a_named_format_is_left_as_it_is() {
    let (folder, disk_bytes) = folder();
    let folder = folder.path();
    run(folder, "sh", &["-c", "gzip -k disk.raw; zip -q x.zip disk.raw; zip -q0 y.zip disk.raw; gzip -k x.zip"]);
    for has_ranges in [true, false] {
        for name in ["disk.raw", "disk.raw.gz", "x.zip.gz", "README"] {
            let (member, bytes, _) = read(Memory::new(&bytes_of(folder, name), has_ranges), &ANY).unwrap();
            assert!(member.is_empty() && bytes == bytes_of(folder, name), "{name}");
        }
        let raw = Wanted { format: Some(Format::Raw), ..ANY };
        let (_, bytes, _) = read(Memory::new(&bytes_of(folder, "x.zip"), has_ranges), &raw).unwrap();
        assert!(bytes == bytes_of(folder, "x.zip"));
        let chosen = Wanted { disk: Some("disk.raw"), ..raw };
        let (_, bytes, _) = read(Memory::new(&bytes_of(folder, "x.zip"), has_ranges), &chosen).unwrap();
        assert!(bytes == disk_bytes);
        let failure = read(Memory::new(&disk_bytes, has_ranges), &chosen).unwrap_err();
        assert_eq!(failure.code(), Code::Usage);
    }
}

#[test]
fn at_random_what_is_passed_over_is_not_fetched_and_the_disk_can_be_read_anywhere() {
    let (folder, disk_bytes) = folder();
    let folder = folder.path();
    std::fs::write(folder.join("large.bin"), vec![b'x'; 4 << 20]).unwrap();
    run(folder, "tar", &["-cf", "x.tar", "large.bin", "disk.raw", "README"]);
    run(folder, "zip", &["-q", "-0", "x.zip", "large.bin", "disk.raw", "README"]);
    for name in ["x.tar", "x.zip"] {
        let memory = Memory::new(&bytes_of(folder, name), true);
        let image = enter(Box::new(memory.clone()), &ANY).unwrap().one().unwrap();
        let fetched = memory.fetched.load(Ordering::Relaxed);
        assert!(fetched < 1 << 20, "{fetched}");
        let source = image.source;
        assert!(source.has_ranges() && source.len() == Some(300_000) && source.name() == "memory, member disk.raw");
        assert!(source.identity().unwrap().contains("the same member"));
        let mut piece = vec![0; 1000];
        assert_eq!(source.open(123_456..124_456).unwrap().fill(&mut piece).unwrap(), 1000);
        assert!(piece == disk_bytes[123_456..124_456]);
        assert_eq!(source.data_in(10..20), vec![10..20]);
    }
}

#[test]
fn a_checksum_of_the_archive_makes_it_flow_and_is_of_all_of_it() {
    let (folder, _) = folder();
    let folder = folder.path();
    run(folder, "tar", &["-czf", "x.tar.gz", "disk.raw", "README"]);
    run(folder, "zip", &["-q", "x.zip", "disk.raw", "README"]);
    let sum = |name: &str| String::from_utf8(run(folder, "sha256sum", &[name])).unwrap()[..64].to_owned();
    run(folder, "sh", &["-c", "gzip -dc x.tar.gz >x.tar"]);
    for (name, inner) in [("x.tar.gz", Some("x.tar")), ("x.zip", None), ("x.tar", None)] {
        for has_ranges in [true, false] {
            let wanted = Wanted { algorithm: Some(Algorithm::Sha256), ..ANY };
            let source = Box::new(Memory::new(&bytes_of(folder, name), has_ranges));
            let source = enter(source, &wanted).unwrap().one().unwrap().source;
            let mut reader = source.open(0..u64::MAX).unwrap();
            while reader.read(&mut [0; 4096]).unwrap() > 0 {}
            let mut expected = vec![(Checked::File, sum(name))];
            expected.extend(inner.map(|inner| (Checked::Decompressed, sum(inner))));
            assert_eq!(source.digests(), expected, "{name}");
        }
    }
}
