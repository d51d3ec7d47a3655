//! A certificate authority made by openssl, and server certificates of all sorts signed by it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The authority's key and certificate, and the certificates it has signed.
pub(crate) struct Authority {
    directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self { directory: TempDir::new().unwrap() };
        authority
            .openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority");
        authority
    }

    /// The authority's certificate.
    pub(crate) fn pem(&self) -> Vec<u8> {
        std::fs::read(self.path("ca.pem")).unwrap()
    }

    /// Signs a server certificate for `names` (openssl's notation) that is valid from now for `days`, which may be
    /// over already. Returns the lines of nginx that use it.
    pub(crate) fn sign(&self, file: &str, names: &str, days: i32) -> String {
        std::fs::write(self.path("extensions"), format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n"))
            .unwrap();
        self.openssl(&format!("req -newkey rsa:2048 -nodes -keyout {file}.key -out {file}.csr -subj /CN={file}"));
        self.openssl(&format!("x509 -req -in {file}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {file}.pem -days {days} -extfile extensions"));
        self.lines(file)
    }

    /// A certificate that only it itself vouches for.
    pub(crate) fn sign_itself(&self, file: &str, names: &str) -> String {
        self.openssl(&format!("req -x509 -newkey rsa:2048 -nodes -keyout {file}.key -out {file}.pem -days 2 -subj /CN={file} -addext subjectAltName={names}"));
        self.lines(file)
    }

    fn lines(&self, file: &str) -> String {
        let at = self.directory.path().display();
        format!("ssl_certificate {at}/{file}.pem; ssl_certificate_key {at}/{file}.key;")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir::<&Path>(self.directory.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    }
}
