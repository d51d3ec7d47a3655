//! Descriptors line by line.

use super::*;

const EXTENT: &str = "RW 2048 SPARSE \"disk.vmdk\"";

/// The text that VMware and qemu write, with these lines in place of version, parent, type and extent.
fn text(lines: &[&str]) -> String {
    format!(
        "# Disk DescriptorFile\nCID=123a456b\n{}\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"ide\"\n",
        lines.join("\n")
    )
}

const VALID: [&str; 4] = ["version=1", "parentCID=ffffffff", "createType=\"monolithicSparse\"", EXTENT];

/// A valid text with one of its lines replaced.
fn with(index: usize, line: &str) -> Result<Descriptor, Error> {
    let mut lines = VALID;
    lines[index] = line;
    Descriptor::decode(text(&lines).as_bytes(), 512)
}

/// Asserts that a descriptor is refused in this way, in words that contain `words`.
fn refused(result: Result<Descriptor, Error>, kind: Kind, words: &str) {
    let error = result.expect_err(words);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.offset().is_some_and(|at| at >= 512), "{error}");
    assert!(error.to_string().contains(words), "{error} does not say {words:?}");
}

#[test]
fn one_sparse_extent_without_a_parent_is_a_whole_disk() {
    let descriptor = with(0, VALID[0]).unwrap();
    assert_eq!((descriptor.create_type, descriptor.extent.sectors), (CreateType::MonolithicSparse, 2048));
    assert_eq!(with(2, "createType=\"streamOptimized\"").unwrap().create_type, CreateType::StreamOptimized);
    for (index, line) in [
        (0, "version=3\r"),
        (0, "  version = \"4\"  "),
        (1, "parentCID = FFFFFFFF"),
        (3, "RDONLY 2048 SPARSE \"call_me_stream.vmdk\""),
        (3, "RW  2048\tSPARSE  \"with \u{e4} and = sign.vmdk\""),
    ] {
        assert!(with(index, line).is_ok(), "{line}");
    }
}

#[test]
fn the_text_ends_at_its_first_zero() {
    let mut bytes = text(&VALID).into_bytes();
    bytes.extend(b"\0parentCID=1\ngarbage");
    assert!(Descriptor::decode(&bytes, 512).is_ok());
    let error = Descriptor::decode(b"\0", 512).expect_err("there is no text");
    assert_eq!(error.kind(), Kind::Malformed);
}

#[test]
fn a_parent_makes_it_a_difference() {
    for cid in ["0", "12345678", "fffffffe"] {
        refused(with(1, &format!("parentCID={cid}")), Kind::BackingFile, "parent");
    }
    let hinted = with(1, "parentCID=ffffffff\nparentFileNameHint=\"/etc/base.vmdk\"");
    refused(hinted, Kind::BackingFile, "/etc/base.vmdk");
    for cid in ["", "-1", "+fffffff", "fffffffff", "none", "0xffffff"] {
        refused(with(1, &format!("parentCID={cid}")), Kind::Malformed, "parentCID");
    }
}

#[test]
fn other_types_and_kinds_of_extent_are_named() {
    for name in CreateType::ELSEWHERE {
        refused(with(2, &format!("createType=\"{name}\"")), Kind::ExternalData, name);
    }
    refused(with(2, "createType=\"monolithicRound\""), Kind::Unsupported, "monolithicRound");
    for line in [
        "RW 2048 FLAT \"disk-flat.vmdk\" 0",
        "RW 2048 VMFS \"disk-flat.vmdk\"",
        "RW 2048 VMFSSPARSE \"disk-delta.vmdk\"",
        "RW 2048 SESPARSE \"disk-sesparse.vmdk\"",
        "RW 2048 VMFSRDM \"disk-rdm.vmdk\"",
        "RW 2048 FLAT \"/dev/sda\" 63 partitionUUID /dev/sda",
        "RW 2048 ZERO",
    ] {
        let kind = line.split(' ').nth(2).unwrap();
        refused(with(3, line), Kind::ExternalData, kind);
    }
    refused(with(3, &format!("{EXTENT}\n{EXTENT}")), Kind::ExternalData, "2 extents");
    refused(with(3, "NOACCESS 2048 SPARSE \"disk.vmdk\""), Kind::Unsupported, "NOACCESS");
}

#[test]
fn lines_that_are_not_understood_are_malformed() {
    for line in [
        "RW",
        "RW 2048",
        "RW 2048 SPARSE",
        "RW 2048 SPARSE disk.vmdk",
        "RW 2048 SPARSE \"disk.vmdk",
        "RW 2048 SPARSE \"disk.vmdk\" 0",
        "RW -1 SPARSE \"disk.vmdk\"",
        "RW 18446744073709551616 SPARSE \"disk.vmdk\"",
        "RW 2048 sparse \"disk.vmdk\"",
        "RW 2048 \"disk.vmdk\"",
    ] {
        refused(with(3, line), Kind::Malformed, "extent line");
    }
    refused(with(3, "rw 2048 SPARSE \"disk.vmdk\""), Kind::Malformed, "neither extent nor assignment");
    refused(with(0, "version"), Kind::Malformed, "neither extent nor assignment");
}

#[test]
fn what_decides_must_be_said_and_said_once() {
    for (index, key) in [(0, "version"), (1, "parentCID"), (2, "createType"), (3, "extent")] {
        refused(with(index, "#"), Kind::Malformed, &format!("no {key}"));
    }
    for (index, line) in VALID.iter().enumerate().take(3) {
        refused(with(index, &format!("{line}\n{line}")), Kind::Malformed, "twice");
    }
    refused(with(1, "parentCID=ffffffff\nPARENTCID=1"), Kind::Malformed, "twice");
    let anonymous = text(&VALID).replace("CID=123a456b\n", "");
    refused(Descriptor::decode(anonymous.as_bytes(), 512), Kind::Malformed, "no CID");
    let unreadable = text(&VALID).replace("123a456b", "x23a456b");
    refused(Descriptor::decode(unreadable.as_bytes(), 512), Kind::Malformed, "CID \"x23a456b\"");
    for version in ["0", "5", "", "one"] {
        refused(with(0, &format!("version={version}")), Kind::Unsupported, "version");
    }
}

#[test]
fn encryption_is_named_before_anything_else() {
    let sealed = "# Disk DescriptorFile\nencryption.keySafe = \"vmware:key/list/x\"\nencryption.data=\"abc\"\n";
    refused(Descriptor::decode(sealed.as_bytes(), 512), Kind::Encrypted, "encryption.keysafe");
    refused(with(0, "version=1\nddb.iofilters = \"vmwarevmcrypt\""), Kind::Encrypted, "ddb.iofilters");
    assert!(with(0, "version=1\nddb.iofilters = \"vmwarelwd\"").is_ok());
}

#[test]
fn hostile_text_costs_one_pass_and_shows_a_part_of_itself() {
    let long = format!("parentFileNameHint=\"{}\"", "x".repeat(60_000));
    let error = with(0, &format!("version=1\n{long}")).expect_err("a name is a parent");
    assert_eq!(error.kind(), Kind::BackingFile);
    assert!(error.to_string().len() < 400);
    let sealed = format!("version=1\nencryption.{}=1", "x".repeat(60_000));
    assert!(with(0, &sealed).expect_err("it is encrypted").to_string().len() < 400);
    refused(with(3, &format!("RW 1 {} \"x\"", "X".repeat(60_000))), Kind::Malformed, "extent line");
    let many = [EXTENT; 2000].join("\n");
    refused(with(3, &many), Kind::ExternalData, "2000 extents");
    refused(with(0, "\u{fffd}\u{0}"), Kind::Malformed, "neither extent");
}
