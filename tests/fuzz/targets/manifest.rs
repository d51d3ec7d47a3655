//! The manifest of an OVF package: no failure, and a digest only of a file that a line names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mover::container::manifest::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::parse("fuzz.mf", bytes) else { return };
    let text = str::from_utf8(bytes).expect("a manifest is text");
    for line in text.lines() {
        let Some((_, rest)) = line.split_once('(') else { continue };
        let Some((file, _)) = rest.rsplit_once(')') else { continue };
        if let Ok(checksum) = manifest.digest_of(file) {
            let digest = checksum.to_string();
            let (_, hex) = digest.split_once(':').expect("a checksum has an algorithm");
            assert!(text.to_ascii_lowercase().contains(hex));
        }
    }
    assert!(manifest.digest_of("a file\nthat no line names").is_err());
});
