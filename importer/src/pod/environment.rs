//! An importer pod's environment, read once into what it means. CDI's names and values (`docs/compatibility.md`).

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use contract::pod::{environment as name, path};
use contract::{Code, Failure, quantity};
use mover::checksum::Checksum;
use mover::size::Overhead;
use mover::target::{Options as TargetOptions, Preallocation};

use crate::import::{Archive, Import};
use crate::source::http::{Authorities, Header, Options};
use crate::source::{Credentials, Location, Secret, SourcePolicy};

/// Mode of the disk's file: whoever shares the pod's group may write it (CDI: 0660).
const DISK_MODE: u32 = 0o660;

/// What a pod is to do.
#[derive(Debug)]
pub(super) struct Task {
    /// Label of the progress metric.
    pub(super) owner: String,
    /// Kind of source, as messages name it.
    pub(super) source: String,
    /// What is to be done.
    pub(super) work: Work,
}

/// What a pod is for.
#[derive(Debug)]
pub(super) enum Work {
    /// A disk image.
    Disk(Box<Import>),
    /// A tar file.
    Archive(Box<Archive>),
    /// An empty block volume stays as it is.
    Nothing,
}

/// An environment and where the pod's paths begin.
pub(super) struct Pod<'a> {
    /// Value of a variable; an empty one counts as none.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// What stands before each of the contract's paths; `/` in a pod.
    pub(super) root: &'a Path,
}

impl Pod<'_> {
    /// A path of the contract.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn read<T>(&self, name: &str, read: impl FnOnce(&str) -> Result<T, Failure>) -> Result<Option<T>, Failure> {
        self.get(name).map(|value| read(&value).map_err(|failure| failure.at(name))).transpose()
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.read(name, |value| match value {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(Failure::new(Code::Usage, format!("{other:?} is neither true nor false"))),
        })
    }

    /// Reads everything.
    ///
    /// # Errors
    /// Code `usage`, naming the variable: a value that cannot be read, or a source or content that is not supported.
    pub(super) fn task(&self) -> Result<Task, Failure> {
        let source = self.get(name::SOURCE).unwrap_or_default();
        let is_archive = self.is_archive()?;
        self.read(name::CACHE_MODE, |mode| match mode {
            // Dirty pages are bounded and dropped in every mode, which is what the mode is for.
            "TRYNONE" => Ok(()),
            other => Err(Failure::new(Code::Usage, format!("the cache mode {other:?} is not TRYNONE"))),
        })?;
        let preallocation = self.switch(name::PREALLOCATION)?.ok_or_else(|| {
            Failure::new(Code::Usage, "the variable must be true or false and is not set").at(name::PREALLOCATION)
        })?;
        let owner = self.get(name::OWNER_UID).unwrap_or_default();
        if is_archive {
            return Ok(Task { owner, work: Work::Archive(Box::new(self.archive(&source)?)), source });
        }
        let is_used = self.switch(name::USED_VOLUME)?.unwrap_or(false);
        let (mut target, room) = self.target()?;
        target.preallocation = match (preallocation, room.is_block && source == "none") {
            (false, _) => Preallocation::None,
            (true, false) => Preallocation::Falloc,
            // All of an empty device is written, as CDI does it.
            (true, true) => Preallocation::Full,
        };
        let location = match source.as_str() {
            "http" | "glance" => Some(self.location()?),
            "none" if room.is_block && !preallocation && !is_used => None,
            "none" => Some(Location::Blank(room.bytes)),
            other => return Err(unsupported(other)),
        };
        let work = match location {
            Some(location) => Work::Disk(Box::new(self.import(location, target)?)),
            None => Work::Nothing,
        };
        Ok(Task { owner, source, work })
    }

    fn is_archive(&self) -> Result<bool, Failure> {
        match self.get(name::CONTENT_TYPE).as_deref() {
            None | Some("kubevirt") => Ok(false),
            Some("archive") => Ok(true),
            Some(other) => {
                let what = format!("the content type {other:?} is neither kubevirt nor archive");
                Err(Failure::new(Code::Usage, what).at(name::CONTENT_TYPE))
            }
        }
    }

    fn archive(&self, source: &str) -> Result<Archive, Failure> {
        if !matches!(source, "http" | "glance") {
            return Err(unsupported(source));
        }
        if self.path(path::DEVICE).exists() {
            let what = "an archive is unpacked into a file system, and the volume is a block device";
            return Err(Failure::new(Code::TargetUnsupported, what).remedy("use a claim with volumeMode Filesystem"));
        }
        Ok(Archive {
            location: self.location()?,
            http: self.http()?,
            directory: self.path(path::DATA),
            force: true,
            checksum: self.read(name::CHECKSUM, Checksum::from_str)?,
        })
    }

    fn location(&self) -> Result<Location, Failure> {
        let endpoint = self.get(name::ENDPOINT);
        let endpoint = endpoint.ok_or_else(|| Failure::new(Code::Usage, "there is no address").at(name::ENDPOINT))?;
        match Location::parse(&endpoint).map_err(|failure| failure.at(name::ENDPOINT))? {
            location @ Location::Http { .. } => Ok(location),
            _ => Err(Failure::new(Code::Usage, "the address is none of http:// or https://").at(name::ENDPOINT)),
        }
    }

    fn import(&self, location: Location, target: TargetOptions) -> Result<Import, Failure> {
        Ok(Import {
            location,
            http: self.http()?,
            target,
            overhead: None,
            disk: None,
            format: None,
            decompress: true,
            checksum: self.read(name::CHECKSUM, Checksum::from_str)?,
            accept_unknown_end: false,
            rate: None,
        })
    }

    /// The device if the pod has one, else the file, with the size that CDI gives the disk (cdi.md §4.5).
    fn target(&self) -> Result<(TargetOptions, Room), Failure> {
        let device = self.path(path::DEVICE);
        // What an earlier container of this pod wrote is nobody's data.
        let scratch = Some(self.path(path::SCRATCH)).filter(|scratch| scratch.is_dir() && device.exists());
        let options =
            |path, size, mode| TargetOptions { path, force: true, size, mode, scratch, ..TargetOptions::default() };
        if device.exists() {
            let file =
                fs::File::open(&device).and_then(|mut file| std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)));
            let bytes = file.map_err(|error| {
                Failure::new(Code::TargetIo, format!("cannot ask for the device's size: {error}"))
                    .at(device.display().to_string())
            })?;
            return Ok((options(device, None, None), Room { bytes, is_block: true }));
        }
        let disk = self.path(path::DISK);
        let overhead = self.read(name::FILESYSTEM_OVERHEAD, Overhead::from_str)?;
        let requested = self.read(name::IMAGE_SIZE, quantity::parse)?.unwrap_or(u64::MAX);
        let available = mover::target::free_space(&disk)?.min(requested);
        let bytes = overhead.unwrap_or_default().usable(available);
        Ok((options(disk, Some(bytes), Some(DISK_MODE)), Room { bytes, is_block: false }))
    }

    fn http(&self) -> Result<Options, Failure> {
        let credentials = self.get(name::ACCESS_KEY_ID).map(|user| Credentials {
            user: Secret::new(user),
            password: Secret::new(self.get(name::SECRET_KEY).unwrap_or_default()),
        });
        let mut authorities = self.authorities(name::CERT_DIR)?;
        authorities.extend(self.authorities(name::PROXY_CERT_DIR)?);
        Ok(Options {
            credentials,
            headers: self.headers()?,
            authorities,
            insecure: self.switch(name::INSECURE_TLS)?.unwrap_or(false),
            policy: self.policy()?,
            ..Options::default()
        })
    }

    /// Link-local and metadata addresses are closed unless the installation says otherwise.
    fn policy(&self) -> Result<SourcePolicy, Failure> {
        let mut policy = SourcePolicy::deny_internal();
        if let Some(denied) = self.read(name::SOURCE_DENY, |networks| policy.clone().and_deny(networks))? {
            policy = denied;
        }
        let allowed = self.read(name::SOURCE_ALLOW, |networks| policy.clone().but_allow(networks))?;
        Ok(allowed.unwrap_or(policy))
    }

    /// Every file of the directory that a variable names.
    fn authorities(&self, variable: &str) -> Result<Vec<Authorities>, Failure> {
        let Some(directory) = self.get(variable) else { return Ok(Vec::new()) };
        let files = files_in(&self.path(&directory))?;
        files.into_iter().map(|file| Ok(Authorities { name: file.display().to_string(), pem: read(&file)? })).collect()
    }

    /// Headers by their number, then the secret ones by their directory's.
    fn headers(&self) -> Result<Vec<Header>, Failure> {
        let mut headers = Vec::new();
        for number in 0.. {
            let variable = format!("{}{number}", name::EXTRA_HEADER);
            let Some(header) = self.read(&variable, Header::parse)? else { break };
            headers.push(header);
        }
        for number in 0.. {
            let directory = self.path(path::SECRET_HEADERS).join(number.to_string());
            if !directory.is_dir() {
                break;
            }
            for file in files_in(&directory)? {
                let line = String::from_utf8(read(&file)?).map_err(|_| {
                    Failure::new(Code::Usage, "a secret header is no text").at(file.display().to_string())
                })?;
                headers.push(Header::parse_secret(line.trim_end_matches(['\r', '\n']))?);
            }
        }
        Ok(headers)
    }
}

fn unsupported(source: &str) -> Failure {
    let what = format!("sources of the kind {source:?} are not supported by this version");
    Failure::new(Code::Usage, what).at(name::SOURCE).remedy("use http or none")
}

/// What the target can take.
#[derive(Clone, Copy)]
struct Room {
    bytes: u64,
    is_block: bool,
}

/// The files of a mounted secret or config map, by name; the links and directories that the kubelet keeps beside them
/// begin with two dots.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let listed = listed.map_err(|error| cannot_read(directory, &error))?;
    let mut files: Vec<PathBuf> = listed.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.is_file() && !file.file_name().unwrap_or_default().to_string_lossy().starts_with(".."));
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| cannot_read(file, &error))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Usage, format!("cannot read what the pod mounts: {error}")).at(path.display().to_string())
}
