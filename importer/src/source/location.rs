//! What a user types as SOURCE, taken apart.
//!
//! ```text
//! -                              standard input
//! blank:10Gi                     an empty disk
//! http://…  https://…            a web server, optionally with user:password@
//! file:///path  or  any/path     a file or a block device
//! anything-else:…                refused by name
//! ```
//!
//! A word before a colon is never taken for a path: a mistyped `docker:` or `s3:` would otherwise be reported as a
//! missing file. A file whose name has a colon is given as `./name`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use contract::{Code, Failure};
use reqwest::Url;

use super::secret::{Credentials, Secret};

/// A parsed SOURCE argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A web server's resource.
    Http {
        /// The address, without user, password and fragment.
        url: Url,
        /// User and password that stood in the address.
        credentials: Option<Credentials>,
    },
    /// A regular file or a block device.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// No source at all: an empty disk of this many bytes.
    Blank(u64),
}

impl Location {
    /// Parses what a user typed.
    ///
    /// # Errors
    /// Code `usage`: an unknown scheme, an address or a size that cannot be read. The message never holds the
    /// credentials of an address.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Err(Failure::new(Code::Usage, "the source is empty"));
        }
        if text == "-" {
            return Ok(Self::Stdin);
        }
        match scheme(text).as_deref() {
            None => Ok(Self::File(PathBuf::from(text))),
            Some("http" | "https") => parse_http(text),
            Some("file") => parse_file(text),
            Some("blank") => Ok(Self::Blank(parse_size(&text["blank:".len()..])?)),
            Some(other) => Err(Failure::new(Code::Usage, format!("sources of the kind `{other}:` are not supported"))
                .remedy("use http://, https://, file://, a path, blank:SIZE or -; write a file name that has a colon as ./NAME")),
        }
    }
}

/// The part before the first colon in lower case, if it reads as a scheme (RFC 3986 §3.1).
fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once(':')?;
    let first = scheme.chars().next()?;
    let all = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    (first.is_ascii_alphabetic() && all).then(|| scheme.to_ascii_lowercase())
}

fn parse_http(text: &str) -> Result<Location, Failure> {
    // The parser's error holds no part of the text, and the text is not repeated: it may hold a password.
    let mut url =
        Url::parse(text).map_err(|error| Failure::new(Code::Usage, format!("the address cannot be read: {error}")))?;
    if !text[url.scheme().len()..].starts_with("://") {
        return Err(Failure::new(Code::Usage, format!("the address does not begin with {}://", url.scheme())));
    }
    let credentials = take_credentials(&mut url)?;
    url.set_fragment(None);
    Ok(Location::Http { url, credentials })
}

/// An address as messages show it: no user, no password, and of a query only that there is one, since a signed address
/// carries its signature there.
#[must_use]
pub fn shown(url: &Url) -> String {
    let mut bare = url.clone();
    // Refused only for addresses without a host, which have no user either.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_fragment(None);
    bare.set_query(None);
    if url.query().is_some() { format!("{bare}?…") } else { bare.into() }
}

/// Takes user and password out of an address, so that no later message can show them.
pub(crate) fn take_credentials(url: &mut Url) -> Result<Option<Credentials>, Failure> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decoded = |part: &str| {
        String::from_utf8(percent_decode(part))
            .map(Secret::new)
            .map_err(|_| Failure::new(Code::Usage, "user or password in the address is not UTF-8 text"))
    };
    let credentials = Credentials { user: decoded(url.username())?, password: decoded(url.password().unwrap_or(""))? };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| Failure::new(Code::Usage, "an address without a host cannot have a user"))?;
    Ok(Some(credentials))
}

fn parse_file(text: &str) -> Result<Location, Failure> {
    let refused = |what: &str| {
        Err(Failure::new(Code::Usage, format!("{what}: {text}"))
            .remedy("write file:///absolute/path, or the path alone"))
    };
    let Some(rest) = text["file:".len()..].strip_prefix("//") else {
        return refused("a file address begins with file://");
    };
    let Some(slash) = rest.find('/') else {
        return refused("the file address has no absolute path");
    };
    let (host, path) = rest.split_at(slash);
    if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
        return refused("the file address names another machine");
    }
    Ok(Location::File(PathBuf::from(OsString::from_vec(percent_decode(path)))))
}

/// Replaces `%41` by its byte; what is not such a triple stays.
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped =
            bytes.get(at + 1..at + 3).filter(|pair| bytes[at] == b'%' && pair.iter().all(u8::is_ascii_hexdigit));
        let value = escaped.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        decoded.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    decoded
}

/// Reads a size as qemu-img and Kubernetes write it: bytes, or K, M, G, T, P, E (also Ki, Mi ..., k), all of 1024.
///
/// # Errors
/// Code `usage`: not a whole number, an unknown suffix, or more than 2^63 - 1 bytes, which no file can have.
pub fn parse_size(text: &str) -> Result<u64, Failure> {
    let refused = |what: &str| {
        Failure::new(Code::Usage, format!("{what}: `{text}`")).remedy("write a size as 10Gi, 512M or in bytes")
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix {
        "" | "B" => 0,
        "K" | "k" | "Ki" => 10,
        "M" | "Mi" => 20,
        "G" | "Gi" => 30,
        "T" | "Ti" => 40,
        "P" | "Pi" => 50,
        "E" | "Ei" => 60,
        _ => return Err(refused("the size has an unknown suffix")),
    };
    let number: u64 = number.parse().map_err(|_| refused("the size is not a whole number"))?;
    let size = number.checked_mul(1 << shift).filter(|size| i64::try_from(*size).is_ok());
    size.ok_or_else(|| refused("the size is more than 2^63 - 1 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(text: &str) -> (String, Option<Credentials>) {
        match Location::parse(text) {
            Ok(Location::Http { url, credentials }) => (url.to_string(), credentials),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_dash_is_standard_input_and_a_word_is_a_path() {
        assert_eq!(Location::parse("-").unwrap(), Location::Stdin);
        for path in ["disk.img", "/var/lib/disk.img", "./a:b.img", "dir/a:b.img", "-x", "1:2", "a b:c"] {
            assert_eq!(Location::parse(path).unwrap(), Location::File(PathBuf::from(path)), "{path}");
        }
    }

    #[test]
    fn web_addresses_keep_path_and_query_and_lose_the_fragment() {
        assert_eq!(http("http://h/a.qcow2").0, "http://h/a.qcow2");
        assert_eq!(http("HTTPS://H:8443/a%20b?sig=x#part").0, "https://h:8443/a%20b?sig=x");
    }

    #[test]
    fn credentials_are_decoded_and_leave_the_address() {
        let (url, credentials) = http("https://al%40ice:p%3Aw%2F@h/x");
        assert_eq!(url, "https://h/x");
        let credentials = credentials.unwrap();
        assert_eq!((credentials.user.reveal(), credentials.password.reveal()), ("al@ice", "p:w/"));
        assert_eq!(http("http://token@h/").1.unwrap().password.reveal(), "");
    }

    #[test]
    fn a_refused_address_does_not_show_its_password() {
        for text in [
            "http://alice:hunter2@/x",
            "http://alice:hunter2@h:99999/x",
            "http:alice:hunter2@h",
            "http://a:%ffhunter2@h/",
        ] {
            let failure = Location::parse(text).unwrap_err();
            assert_eq!(failure.code(), Code::Usage);
            assert!(!format!("{failure} {failure:?}").contains("hunter2"), "{failure}");
        }
    }

    #[test]
    fn a_shown_address_has_no_secrets() {
        let url = Url::parse("https://alice:hunter2@h:8443/a/b.img?X-Amz-Signature=hunter2#hunter2").unwrap();
        assert_eq!(shown(&url), "https://h:8443/a/b.img?…");
        assert_eq!(shown(&Url::parse("http://h/a").unwrap()), "http://h/a");
    }

    #[test]
    fn file_addresses_become_paths() {
        for (text, path) in [("file:///a/b", "/a/b"), ("file://localhost/a%20b", "/a b"), ("FILE:///100%", "/100%")] {
            assert_eq!(Location::parse(text).unwrap(), Location::File(PathBuf::from(path)), "{text}");
        }
        for text in ["file://server/a", "file:a", "file://a"] {
            assert_eq!(Location::parse(text).unwrap_err().code(), Code::Usage, "{text}");
        }
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        for scheme in ["s3", "gcs", "docker", "nbd", "nbd+unix", "oci-archive", "ftp", "S3"] {
            let failure = Location::parse(&format!("{scheme}://bucket/key")).unwrap_err();
            assert!(failure.what().contains(&format!("`{}:`", scheme.to_lowercase())), "{failure}");
        }
    }

    #[test]
    fn sizes_are_binary_in_both_notations() {
        let table = [
            ("0", 0),
            ("1073741824", 1 << 30),
            ("512B", 512),
            ("4k", 4096),
            ("4K", 4096),
            ("4Ki", 4096),
            ("512M", 512 << 20),
            ("10G", 10 << 30),
            ("10Gi", 10 << 30),
            ("2T", 2 << 40),
            ("2Ti", 2 << 40),
            ("7Ei", 7 << 60),
        ];
        for (text, size) in table {
            assert_eq!(parse_size(text).unwrap(), size, "{text}");
            assert_eq!(Location::parse(&format!("blank:{text}")).unwrap(), Location::Blank(size));
        }
    }

    #[test]
    fn sizes_that_mean_nothing_are_refused() {
        for text in ["", "G", "-1", "1.5G", "10GB", "10 G", "10g", "0x10", "8E", "99999999999999999999", "+5"] {
            assert_eq!(parse_size(text).unwrap_err().code(), Code::Usage, "{text}");
        }
    }
}
