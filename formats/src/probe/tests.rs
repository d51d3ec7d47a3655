//! One minimal file for every name the probe knows, and the files it must not mistake for another.

use super::*;

fn at(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut head = vec![0; HEAD];
    head[offset..offset + bytes.len()].copy_from_slice(bytes);
    head
}

fn name(offset: usize, bytes: &[u8]) -> &'static str {
    probe(&at(offset, bytes)).name()
}

#[test]
fn every_format_of_the_field_is_known_by_its_magic() {
    let table: &[(usize, &[u8], &str)] = &[
        (0, b"QFI\xfb\0\0\0\x02", "qcow2"),
        (0, b"QFI\xfb\0\0\0\x03", "qcow2"),
        (0, b"QFI\xfb\0\0\0\x01", "qcow"),
        (0, b"QED\0", "qed"),
        (0, b"KDMV\x01", "vmdk"),
        (0, b"COWD", "vmdk"),
        (0, b"# Disk DescriptorFile\nversion=1\n", "vmdk"),
        (0, b"\xbe\xba\xfe\xca\0\0\0\0", "vmdk"),
        (0x40, b"\x7f\x10\xda\xbe", "vdi"),
        (0, b"conectix", "vhd"),
        (0, b"vhdxfile", "vhdx"),
        (0, b"WithoutFreeSpace", "parallels"),
        (0, b"WithouFreSpacExt", "parallels"),
        (0, b"LUKS\xba\xbe\0\x02", "luks"),
        (0, b"\x1f\x8b\x08", "gzip"),
        (0, b"\x28\xb5\x2f\xfd", "zstd"),
        (0, b"BZh91AY&SY", "bzip2"),
        (0, b"BZh1\x17\x72\x45\x38\x50\x90", "bzip2"),
        (0, b"\x04\x22\x4d\x18", "lz4"),
        (0, b"\x02\x21\x4c\x18", "lz4"),
        (0, b"\xfd7zXZ\0", "xz"),
        (0, b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0", "lzma"),
        (0, b"LZIP\x01", "lzip"),
        (0, b"\x89LZO\0\r\n\x1a\n", "lzop"),
        (0, b"\x1f\x9d\x90", "compress"),
        (0, b"PK\x03\x04", "zip"),
        (0, b"7z\xbc\xaf\x27\x1c", "7z"),
        (0x101, b"ustar\0", "tar"),
        (0x101, b"ustar  \0", "tar"),
    ];
    for (offset, bytes, expected) in table {
        assert_eq!(name(*offset, bytes), *expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_nothing_names_is_a_raw_disk() {
    let boot_sector = at(510, b"\x55\xaa");
    assert_eq!(probe(&boot_sector), Probe::Disk(Format::Raw));
    assert_eq!(probe(&at(512, b"EFI PART")), Probe::Disk(Format::Raw));
    assert_eq!(probe(&[]), Probe::Disk(Format::Raw));
    assert_eq!(probe(b"QFI"), Probe::Disk(Format::Raw));
    assert_eq!(probe(&[0; HEAD]), Probe::Disk(Format::Raw));
    // Text that only begins like a magic.
    assert_eq!(name(0, b"BZh9 is not bzip2"), "raw");
    assert_eq!(name(0, b"# Disk"), "raw");
}

#[test]
fn an_unknown_version_of_qcow2_is_left_to_its_header_to_refuse() {
    assert_eq!(name(0, b"QFI\xfb\0\0\0\x04"), "qcow2");
    assert_eq!(probe(b"QFI\xfb"), Probe::Disk(Format::Qcow2));
}

#[test]
fn a_skippable_frame_takes_the_name_of_the_frame_behind_it() {
    assert_eq!(name(0, b"\x50\x2a\x4d\x18\x04\0\0\0abcd\x28\xb5\x2f\xfd"), "zstd");
    assert_eq!(name(0, b"\x5f\x2a\x4d\x18\0\0\0\0\x51\x2a\x4d\x18\x01\0\0\0a\x04\x22\x4d\x18"), "lz4");
    assert_eq!(name(0, b"\x50\x2a\x4d\x18\xff\xff\xff\xff"), "zstd");
}

#[test]
fn a_volume_is_known_by_its_descriptors_behind_sector_16() {
    let sector = |number: usize| number * 2048 + 1;
    assert_eq!(name(sector(16), b"CD001"), "iso");
    let mut udf = at(sector(16), b"BEA01");
    udf[sector(17)..][..5].copy_from_slice(b"NSR03");
    udf[sector(18)..][..5].copy_from_slice(b"TEA01");
    assert_eq!(probe(&udf), Probe::Disk(Format::Iso));
    assert_eq!(name(sector(16), b"BEA01"), "raw", "an extended area that names no standard");
    assert_eq!(name(sector(15), b"CD001"), "raw");
    assert_eq!(name(sector(17), b"NSR02"), "raw", "the sequence begins at sector 16");
}

#[test]
fn a_hybrid_iso_is_an_iso_and_a_qcow2_that_holds_one_is_qcow2() {
    let mut hybrid = at(16 * 2048 + 1, b"CD001");
    hybrid[510..512].copy_from_slice(b"\x55\xaa");
    hybrid[512..520].copy_from_slice(b"EFI PART");
    assert_eq!(probe(&hybrid), Probe::Disk(Format::Iso));
    hybrid[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    assert_eq!(probe(&hybrid), Probe::Disk(Format::Qcow2));
}

#[test]
fn a_footer_names_what_would_pass_for_a_raw_disk() {
    let tail = |offset: usize, bytes: &[u8]| probe_tail(&at(HEAD - TAIL + offset, bytes));
    assert_eq!(tail(0, b"conectix"), Some(Probe::Disk(Format::Vhd)));
    assert_eq!(tail(1, b"conectix"), Some(Probe::Disk(Format::Vhd)), "footers of 511 bytes");
    assert_eq!(tail(0, b"koly"), Some(Probe::Known("dmg")));
    assert_eq!(tail(2, b"conectix"), None);
    assert_eq!(probe_tail(b"conectix"), None, "shorter than a footer");
}

#[test]
fn a_format_is_chosen_by_the_name_it_prints() {
    for format in [Format::Raw, Format::Iso, Format::Qcow2, Format::Vdi, Format::Vhd, Format::Vmdk] {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert_eq!("vpc".parse(), Ok(Format::Vhd), "qemu's name");
    for name in ["", "QCOW2", "no-format"] {
        assert_eq!(name.parse::<Format>().map_err(|error| error.kind()), Err(Kind::Unsupported));
    }
}
