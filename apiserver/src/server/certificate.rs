//! The certificate that is shown to callers: read from files, and again when they change.
//!
//! A mounted Secret is exchanged as a whole, but two files are two reads, so a new certificate may be seen with the old key. Such
//! a pair is refused and the former one stays until the next look.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

/// Certificates are renewed hours before they end, so a look now and then is soon enough.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why the files hold no certificate that can be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("could not read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is not PEM with {what}: {source}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        source: PemError,
    },
    /// There is no certificate.
    #[error("{path} has no certificate in it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that cannot be used, or belongs to another certificate.
    #[error("the certificate and its key do not go together: {0}")]
    Pair(rustls::Error),
}

/// The certificate, as far as it has been read.
pub struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    shown: RwLock<Option<Arc<CertifiedKey>>>,
    /// The files that are shown, as they were read.
    files: Mutex<Option<[Vec<u8>; 2]>>,
}

impl Certificate {
    /// A certificate in those files, not read yet.
    #[must_use]
    pub fn new(cert: &Path, key: &Path) -> Self {
        Self { cert: cert.to_owned(), key: key.to_owned(), shown: RwLock::default(), files: Mutex::default() }
    }

    /// Whether there is one to show.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Reads the files, and shows what is in them from now on; tells whether that is something new.
    ///
    /// # Errors
    /// They are not there, or not a certificate and its key. What was shown before stays.
    pub fn load(&self) -> Result<bool, Error> {
        let files = [read(&self.cert)?, read(&self.key)?];
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref() == Some(&files) {
            return Ok(false);
        }
        let pair = self.pair(&files)?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(pair));
        *known = Some(files);
        Ok(true)
    }

    /// Looks for changes as long as the process lives.
    pub async fn follow(self: Arc<Self>) {
        let mut told = String::new();
        loop {
            match self.load() {
                Ok(is_new) => {
                    told.clear();
                    if is_new {
                        info!(path = %self.cert.display(), "certificate read");
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    // Told once, not every ten seconds.
                    if error != told {
                        warn!(error, "no new certificate; waiting for one");
                        told = error;
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn pair(&self, [cert, key]: &[Vec<u8>; 2]) -> Result<CertifiedKey, Error> {
        let not_pem = |path: &Path, what| {
            let path = path.to_owned();
            move |source| Error::Pem { path, what, source }
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(cert)
            .collect::<Result<_, _>>()
            .map_err(not_pem(&self.cert, "certificates"))?;
        if chain.is_empty() {
            return Err(Error::Empty { path: self.cert.clone() });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(not_pem(&self.key, "a private key"))?;
        // This checks that the key is the certificate's.
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(Error::Pair)
    }
}

/// The key stays out of logs.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("cert", &self.cert).field("key", &self.key).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}
