//! What all rows share: the binary, one server for every image, and the place of the target.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fixtures::command::run;
use fixtures::nginx::{self, Nginx};

use crate::cargo::target;

/// The surroundings of a bench run.
#[derive(Debug)]
pub(super) struct Setup {
    /// The command under test.
    pub(super) gantry: PathBuf,
    /// Serves all of `target/fixtures`, by two workers and sendfile.
    pub(super) server: Nginx,
    /// Where every run writes.
    pub(super) target: PathBuf,
    /// Processors of this machine, for the record.
    pub(super) processors: usize,
    images: PathBuf,
    folder: PathBuf,
}

impl Setup {
    /// Starts the server and prepares an empty folder for targets.
    ///
    /// # Errors
    /// When nginx does not start.
    pub(super) fn start(gantry: PathBuf) -> Result<Self> {
        let images = fixtures::cache::folder()?;
        let folder = target().join("bench");
        fs::create_dir_all(folder.join("work"))?;
        let folder = folder.canonicalize()?;
        Ok(Self {
            gantry,
            server: nginx::Settings::new(&images).workers(2).start()?,
            target: folder.join("work/target.img"),
            processors: std::thread::available_parallelism()?.get(),
            images,
            folder: folder.join("work"),
        })
    }

    /// URL of an image on the server.
    ///
    /// # Errors
    /// When the image is not below `target/fixtures`.
    pub(super) fn url(&self, image: &Path) -> Result<String> {
        Ok(self.server.url(&self.path_on_server(image)?))
    }

    /// Path of an image below the server's root.
    ///
    /// # Errors
    /// As [`Setup::url`].
    pub(super) fn path_on_server(&self, image: &Path) -> Result<String> {
        let below = image
            .strip_prefix(&self.images)
            .with_context(|| format!("{} is not below {}", image.display(), self.images.display()))?;
        Ok(below.display().to_string())
    }

    /// A path beside the target, for a peer's socket or second file.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes every target and waits until nothing dirty is left.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub(super) fn clear(&self) -> Result<()> {
        fs::remove_dir_all(&self.folder)?;
        fs::create_dir(&self.folder)?;
        run(&mut Command::new("sync"))
    }
}
