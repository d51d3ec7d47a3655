//! The checksum of an image out of the list its publisher lays beside it (`SHA256SUMS`, `*-CHECKSUM`, `disk.img.sha256`).
//!
//! ```text
//! list: URL | path | -  --fetch, at most 1 MiB-->  text  --list.rs: the line of the image's name-->  Found
//! ```
//! What the user sends to log in was meant for the image's server, so a list on another host is asked for without it.

mod list;

use std::path::Path;

use contract::{Code, Failure, Listed};
use mover::cancel::Cancel;
use mover::checksum::Checksum;
use mover::source::Source;
use reqwest::Url;

use crate::source::http::{self, Options};
use crate::source::location::{percent_decode, shown};
use crate::source::{self, HttpSource, Location};

/// Longest list that is read: the lists of whole distributions have some hundred lines.
const LONGEST: u64 = 1 << 20;

/// A checksum that a list gave.
#[derive(Clone, Debug)]
pub struct Found {
    /// The checksum.
    pub checksum: Checksum,
    /// Where it stands: the list's address without secrets, and the line.
    pub place: String,
    /// What a careful user should know about it, in full sentences.
    pub warnings: Vec<String>,
}

impl Found {
    /// The checksum as an explanation has it.
    #[must_use]
    pub fn into_listed(self) -> Listed {
        Listed { expected: self.checksum.to_string(), from: self.place }
    }

    /// Adds to a mismatch where the expected digest came from.
    #[must_use]
    pub fn explain(&self, failure: Failure) -> Failure {
        match failure.code() {
            Code::ChecksumMismatch => {
                let remedy = format!("check that {} is of this image; if it is, the source is damaged", self.place);
                failure.remedy(remedy)
            }
            _ => failure,
        }
    }
}

/// Reads the list at `list` and chooses the line of `image`: that of the last part of its address, before any redirect.
/// A list of one bare digest is taken as it is.
///
/// # Errors
/// The list cannot be had, or code `checksum-list`: it gives no checksum for the image.
pub fn find(list: &Location, image: &Location, http: &Options, cancel: &Cancel) -> Result<Found, Failure> {
    let (source, is_protected) = open(list, image, http, cancel)?;
    let place = source.name().to_owned();
    let text = read(&*source).map_err(|failure| failure.at(&place))?;
    let chosen = list::choose(&text, file_name(image).as_deref()).map_err(|failure| failure.at(&place))?;
    let mut warnings = Vec::new();
    if !is_protected {
        warnings.push(format!(
            "The checksum came from {place} without protection: anybody on the way can change it together with the image."
        ));
    }
    if chosen.is_signed {
        warnings.push(format!(
            "{place} is signed and the signature is not checked; check it with gpgv and give its output as the list."
        ));
    }
    Ok(Found { checksum: chosen.checksum, place: format!("{place}, line {}", chosen.line), warnings })
}

/// The list as a source, and whether nobody on the way can have changed it.
fn open(
    list: &Location,
    image: &Location,
    http: &Options,
    cancel: &Cancel,
) -> Result<(Box<dyn Source>, bool), Failure> {
    match (list, image) {
        (Location::Blank(_), _) => Err(Failure::new(Code::Usage, "an empty disk is no list of checksums")),
        (Location::Stdin, Location::Stdin) => {
            Err(Failure::new(Code::Usage, "standard input cannot be both the image and the list of its checksums"))
        }
        (Location::Http { url, credentials }, _) => {
            let (mut options, is_withheld) = options(url, image, http);
            options.credentials = options.credentials.or_else(|| credentials.clone());
            let source = HttpSource::connect(url.clone(), options, cancel.clone());
            let source = source.map_err(|failure| if is_withheld { withheld(failure) } else { failure })?;
            let is_protected = source.is_protected();
            Ok((Box::new(source), is_protected))
        }
        (Location::File(path), Location::Http { url, .. }) => {
            let opened = source::open(list, http, cancel);
            Ok((opened.map_err(|failure| perhaps_beside(failure, path, url))?, true))
        }
        (Location::File(_) | Location::Stdin, _) => Ok((source::open(list, http, cancel)?, true)),
    }
}

fn withheld(failure: Failure) -> Failure {
    match failure.code() {
        Code::SourceDenied => failure.remedy(
            "passwords and headers go to the image's own host only; put the list's user and password into its address",
        ),
        _ => failure,
    }
}

/// A user may have meant the file beside the image.
fn perhaps_beside(failure: Failure, path: &Path, image: &Url) -> Failure {
    match path.to_str().and_then(|path| image.join(path).ok()) {
        Some(beside) if failure.code() == Code::SourceNotFound => failure
            .remedy(format!("check the path; if the list is beside the image, give its address: {}", shown(&beside))),
        _ => failure,
    }
}

/// The image's options as they hold for the list at `list`, and whether something was taken out of them.
fn options(list: &Url, image: &Location, http: &Options) -> (Options, bool) {
    let mut options = http.clone();
    let Location::Http { url, credentials } = image else { return (options, false) };
    options.credentials = options.credentials.or_else(|| credentials.clone());
    let is_withheld = !http::may_carry(url, list) && (options.credentials.is_some() || !options.headers.is_empty());
    if is_withheld {
        options.credentials = None;
        options.headers.clear();
    }
    (options, is_withheld)
}

fn read(source: &dyn Source) -> Result<String, Failure> {
    let too_long = || list::refused("it is larger than 1 MiB");
    let length = source.len().unwrap_or(LONGEST + 1);
    if source.len().is_some_and(|length| length > LONGEST) {
        return Err(too_long());
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let filled = source.open(0..length)?.fill(&mut bytes)?;
    bytes.truncate(filled);
    if filled as u64 > LONGEST {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|_| list::refused("it is no text"))
}

/// The image's name as a list has it.
fn file_name(image: &Location) -> Option<String> {
    match image {
        Location::Http { url, .. } => {
            let last = url.path_segments()?.next_back().filter(|last| !last.is_empty())?;
            Some(String::from_utf8_lossy(&percent_decode(last)).into_owned())
        }
        Location::File(path) => Some(path.file_name()?.to_string_lossy().into_owned()),
        Location::Stdin | Location::Blank(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::http::Header;
    use crate::source::{Credentials, Secret};

    #[test]
    fn the_name_is_the_last_part_of_the_address() {
        for (text, name) in [
            ("https://h/a/disk.img?x=/b", Some("disk.img")),
            ("https://h/a%20b+c.img#d", Some("a b+c.img")),
            ("https://h/", None),
            ("https://h/a/", None),
            ("dir/disk.img", Some("disk.img")),
            ("-", None),
            ("blank:1G", None),
        ] {
            assert_eq!(file_name(&Location::parse(text).unwrap()).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn what_logs_in_to_the_images_server_goes_to_no_other() {
        let secret = || Secret::new("x");
        let http = Options {
            credentials: Some(Credentials { user: secret(), password: secret() }),
            headers: vec![Header::parse("X-Token: x").unwrap()],
            ..Options::default()
        };
        for (image, list, carried) in [
            ("https://h/a.img", "https://h/SHA256SUMS", true),
            ("https://h/a.img", "https://other/SHA256SUMS", false),
            ("https://h/a.img", "http://h:443/SHA256SUMS", false),
            ("/a.img", "https://h/SHA256SUMS", true),
        ] {
            let (options, is_withheld) = options(&list.parse().unwrap(), &Location::parse(image).unwrap(), &http);
            let found = (options.credentials.is_some(), !options.headers.is_empty(), !is_withheld);
            assert_eq!(found, (carried, carried, carried), "{image} {list}");
        }
    }
}
