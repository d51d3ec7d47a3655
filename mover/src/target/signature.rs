//! Recognises what a device already holds, so that nothing is destroyed by mistake.

/// First bytes of a device that [`find`] wants.
pub(super) const HEAD: usize = 72 << 10;

/// What is there, its offset and its magic. Offsets and magics are the formats' own, as `blkid` knows them.
const SIGNATURES: &[(&str, usize, &[u8])] = &[
    ("a GPT partition table", 512, b"EFI PART"),
    ("a GPT partition table (4 KiB sectors)", 4096, b"EFI PART"),
    ("an MBR partition table or boot sector", 510, b"\x55\xaa"),
    ("an ext2, ext3 or ext4 file system", 1024 + 0x38, b"\x53\xef"),
    ("an XFS file system", 0, b"XFSB"),
    ("a btrfs file system", 0x1_0040, b"_BHRfS_M"),
    ("an LVM physical volume", 512, b"LABELONE"),
    ("an LVM physical volume", 0, b"LABELONE"),
    ("a LUKS volume", 0, b"LUKS\xba\xbe"),
    ("a Linux software RAID member", 4096, b"\xfc\x4e\x2b\xa9"),
    ("a Linux software RAID member", 0, b"\xfc\x4e\x2b\xa9"),
    ("swap space", 4086, b"SWAPSPACE2"),
    ("a qcow2 image", 0, b"QFI\xfb"),
    ("an ISO 9660 file system", 0x8001, b"CD001"),
    ("a UDF file system", 0x8801, b"NSR0"),
    ("an F2FS file system", 1024, b"\x10\x20\xf5\xf2"),
    ("a bcache device", 4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
];

/// What `head`, the first bytes of a device, shows, if anything known.
pub(super) fn find(head: &[u8]) -> Option<&'static str> {
    let here =
        |&&(_, offset, magic): &&(&str, usize, &[u8])| head.get(offset..).is_some_and(|at| at.starts_with(magic));
    SIGNATURES.iter().find(here).map(|&(name, _, _)| name)
}
