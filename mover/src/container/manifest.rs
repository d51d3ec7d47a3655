//! The manifest of an OVF package: digests of its files, one a line (DMTF DSP0243 2.1.1, §5.1).
//!
//! ```text
//! SHA256(disk1.vmdk)= 6a5f…
//! ```

use contract::{Code, Failure};

use crate::checksum::Checksum;

/// Bytes of a manifest; each file takes a few hundred at most.
pub(super) const MAX_MANIFEST: usize = 1 << 20;

/// What a manifest says.
#[derive(Debug)]
pub struct Manifest {
    /// The manifest, as messages name it.
    name: String,
    digests: Vec<(String, Checksum)>,
}

impl Manifest {
    /// Reads the manifest `name`. Lines with a digest of an unknown kind are left out.
    ///
    /// # Errors
    /// Something that is no manifest.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, Failure> {
        let malformed = |what: String| Failure::new(Code::ImageMalformed, what).at(name);
        if text.len() > MAX_MANIFEST {
            return Err(malformed(format!("the manifest has more than {MAX_MANIFEST} bytes")));
        }
        let text = str::from_utf8(text).map_err(|_| malformed("the manifest is no text".into()))?;
        let mut digests = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let parts = line.rsplit_once('=').and_then(|(left, digest)| {
                let (algorithm, file) = left.trim_end().strip_suffix(')')?.split_once('(')?;
                Some((algorithm.trim(), file, digest.trim()))
            });
            let Some((algorithm, file, digest)) = parts else {
                return Err(malformed(format!("line {} of the manifest is not ALGORITHM(FILE)= DIGEST", number + 1)));
            };
            let algorithm = algorithm.replace('-', "");
            if let Ok(checksum) = format!("{algorithm}:{digest}").parse() {
                digests.push((file.trim_start_matches("./").to_owned(), checksum));
            }
        }
        Ok(Self { name: name.to_owned(), digests })
    }

    /// The digest of `file`, the strongest of several.
    ///
    /// # Errors
    /// There is none: a manifest covers every file of its package.
    pub fn digest_of(&self, file: &str) -> Result<&Checksum, Failure> {
        let of_file = self.digests.iter().filter(|(name, _)| name == file).map(|(_, checksum)| checksum);
        of_file.max_by_key(|checksum| checksum.algorithm.bytes()).ok_or_else(|| {
            let what = format!("the manifest has no md5, sha1, sha256 or sha512 digest of {file}");
            Failure::new(Code::ChecksumMismatch, what)
                .at(self.name.clone())
                .remedy("check where the archive comes from; extract the disk and import it if it is to be trusted")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn lines_of_every_writer_are_read_and_the_strongest_digest_counts() {
        let text = format!(
            "SHA1(a b (1).vmdk)= {SHA1}\r\nSHA256(a b (1).vmdk) = {SHA256}\n\nSHA-1(disk=1.vmdk)={SHA1}\nSHA3-256(new.vmdk)= 00\n"
        );
        let manifest = Manifest::parse("x.mf", text.as_bytes()).unwrap();
        assert_eq!(manifest.digest_of("a b (1).vmdk").unwrap().to_string(), format!("sha256:{SHA256}"));
        assert_eq!(manifest.digest_of("disk=1.vmdk").unwrap().to_string(), format!("sha1:{SHA1}"));
        for unknown in ["new.vmdk", "other.vmdk"] {
            assert_eq!(manifest.digest_of(unknown).unwrap_err().code(), Code::ChecksumMismatch);
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_its_line() {
        for text in ["SHA1(a.vmdk)= 00\nSHA1 a.vmdk\n", "\nSHA1(a.vmdk\n", "\n(=\n"] {
            let failure = Manifest::parse("x.mf", text.as_bytes()).unwrap_err();
            assert!(failure.what().contains("line 2"), "{failure}");
        }
        assert!(Manifest::parse("x.mf", b"\xff\xfe").is_err());
        assert!(Manifest::parse("x.mf", &vec![b'\n'; MAX_MANIFEST + 1]).is_err());
    }
}
