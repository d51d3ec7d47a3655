//! OVF packages and their manifests.

use super::*;

struct Package(tempfile::TempDir);

impl Package {
    fn new() -> Self {
        let (folder, _) = folder();
        run(
            folder.path(),
            "qemu-img",
            &["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "box-disk1.vmdk"],
        );
        std::fs::write(folder.path().join("box.ovf"), "<Envelope/>").unwrap();
        Self(folder)
    }

    fn manifest(&self, text: &str) -> &Self {
        std::fs::write(self.0.path().join("box.mf"), text).unwrap();
        self
    }

    fn sum(&self, algorithm: &str) -> String {
        let printed = run(self.0.path(), &format!("{algorithm}sum"), &["box-disk1.vmdk"]);
        String::from_utf8(printed).unwrap().split(' ').next().unwrap().to_owned()
    }

    fn ova(&self, members: &[&str]) -> Vec<u8> {
        run(self.0.path(), "tar", &[&["--format=ustar", "-cf", "box.ova"], members].concat());
        bytes_of(self.0.path(), "box.ova")
    }
}

const ORDER: [&str; 3] = ["box.ovf", "box.mf", "box-disk1.vmdk"];
const LATE: [&str; 3] = ["box.ovf", "box-disk1.vmdk", "box.mf"];

#[test]
fn the_manifests_digest_is_handed_to_the_import_or_compared_at_the_end() {
    let package = Package::new();
    for algorithm in ["sha1", "sha256", "sha512"] {
        let sum = package.sum(algorithm);
        package.manifest(&format!(
            "{}(box.ovf)= 00\n{}(box-disk1.vmdk)= {sum}\n",
            algorithm.to_uppercase(),
            algorithm.to_uppercase()
        ));
        let checksum: Checksum = format!("{algorithm}:{sum}").parse().unwrap();
        let vmdk = bytes_of(package.0.path(), "box-disk1.vmdk");
        for (order, has_ranges, handed_over) in
            [(ORDER, true, true), (ORDER, false, true), (LATE, true, true), (LATE, false, false)]
        {
            let (name, bytes, digest) = read(Memory::new(&package.ova(&order), has_ranges), &ANY).unwrap();
            assert!(name == "box-disk1.vmdk" && bytes == vmdk);
            assert_eq!(digest, handed_over.then(|| checksum.clone()), "{order:?} {has_ranges}");
            // With a digest of the whole archive the manifest is compared here.
            let wanted = Wanted { algorithm: Some(Algorithm::Md5), ..ANY };
            let (_, _, digest) = read(Memory::new(&package.ova(&order), has_ranges), &wanted).unwrap();
            assert_eq!(digest, None);
        }
    }
}

#[test]
fn a_wrong_digest_is_a_failure_of_verification_wherever_the_manifest_stands() {
    let package = Package::new();
    package.manifest(&format!("SHA256(box-disk1.vmdk)= {}\n", "0".repeat(64)));
    for (order, has_ranges, algorithm) in [
        (LATE, false, None),
        (ORDER, false, Some(Algorithm::Sha1)),
        (ORDER, true, Some(Algorithm::Sha256)),
        (LATE, true, Some(Algorithm::Sha512)),
    ] {
        let failure = read(Memory::new(&package.ova(&order), has_ranges), &Wanted { algorithm, ..ANY }).unwrap_err();
        assert_eq!(failure.code(), Code::ChecksumMismatch);
        assert!(failure.what().contains("box-disk1.vmdk"), "{failure}");
    }
}

#[test]
fn a_manifest_without_the_disk_and_a_second_one_are_refused() {
    let package = Package::new();
    package.manifest("SHA256(box.ovf)= 00\n");
    for order in [ORDER, LATE] {
        let (code, what) = refused(&package.ova(&order), &ANY);
        assert_eq!(code, Code::ChecksumMismatch);
        assert!(what.contains("has no md5, sha1, sha256 or sha512 digest of box-disk1.vmdk"), "{what}");
    }
    package.manifest(&format!("SHA1(box-disk1.vmdk)= {}\n", package.sum("sha1")));
    std::fs::copy(package.0.path().join("box.mf"), package.0.path().join("two.mf")).unwrap();
    let (code, _) = refused(&package.ova(&["box.ovf", "box.mf", "two.mf", "box-disk1.vmdk"]), &ANY);
    assert_eq!(code, Code::ImageMalformed);
    // Without a descriptor in front it is no package, and the file is any file.
    package.manifest("no manifest");
    disk(&package.ova(&["box.mf", "box-disk1.vmdk"]), &ANY);
}

#[test]
fn chunks_are_refused_and_a_compressed_disk_is_read() {
    let package = Package::new();
    let folder = package.0.path();
    run(folder, "split", &["-b", "100000", "-a", "9", "-d", "box-disk1.vmdk", "box-disk1.vmdk."]);
    let (code, what) =
        refused(&package.ova(&["box.ovf", "box-disk1.vmdk.000000000", "box-disk1.vmdk.000000001"]), &ANY);
    assert_eq!(code, Code::ImageUnsupported);
    assert!(what.contains("the disk box-disk1.vmdk is stored in chunks"), "{what}");
    run(folder, "gzip", &["-k", "box-disk1.vmdk"]);
    let (_, bytes) = disk(&package.ova(&["box.ovf", "box-disk1.vmdk.gz"]), &ANY);
    assert!(bytes == bytes_of(folder, "box-disk1.vmdk.gz"));
}
