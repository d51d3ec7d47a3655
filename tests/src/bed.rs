//! What most tests of a real cluster begin with: a disk, and a server that pods reach.

use std::path::PathBuf;

use anyhow::Result;
use fixtures::images::raw;
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::{Nginx, Settings};
use tempfile::TempDir;

use crate::data_volume::DataVolume;
use crate::sha256;

/// The cluster, and a folder that is served in it. The server ends when this is dropped.
pub struct Bed {
    /// The cluster that is up.
    pub cluster: Cluster,
    /// The server of the folder.
    pub server: Nginx,
    /// `disk.raw` in the folder, dense.
    pub disk: PathBuf,
    /// The folder.
    pub folder: TempDir,
}

impl Bed {
    /// Makes a disk of `size` bytes and serves it; `directive` is one of nginx, or nothing.
    ///
    /// # Errors
    /// When no cluster is up, without root, or when the disk or the server cannot be had.
    pub fn new(size: u64, directive: &str) -> Result<Self> {
        Self::with(size, |settings| settings.directive(directive))
    }

    /// The same, by a server with these settings.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(size: u64, settings: impl FnOnce(Settings) -> Settings) -> Result<Self> {
        let cluster = Cluster::running()?;
        cluster.share_network()?;
        let folder = tempfile::tempdir()?;
        let disk = raw::dense(&folder.path().join("disk.raw"), size, 1)?;
        let server = settings(Settings::new(folder.path()).address(ADDRESS)).start()?;
        Ok(Self { cluster, server, disk, folder })
    }

    /// Settings of another server of the folder.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings::new(self.folder.path()).address(ADDRESS)
    }

    /// URL of the disk.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url("disk.raw")
    }

    /// A DataVolume that is filled with the disk.
    #[must_use]
    pub fn data_volume(&self, name: &str) -> DataVolume {
        DataVolume::http(name, &self.url())
    }

    /// URL of the disk for the import `name`, whose requests are then told from those of others.
    #[must_use]
    pub fn url_for(&self, name: &str) -> String {
        format!("{}?{name}", self.url())
    }

    /// Bytes that the server sent to the import `name`.
    ///
    /// # Errors
    /// When the server has gone.
    pub fn served(&self, name: &str) -> Result<u64> {
        let query = format!("?{name}");
        let requests = self.server.requests()?;
        Ok(requests.iter().filter(|request| request.path.ends_with(&query)).map(|request| request.body).sum())
    }

    /// `sha256:` and the digest of the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn digest(&self) -> Result<String> {
        sha256(&self.disk)
    }
}
