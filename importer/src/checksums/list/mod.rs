//! Reads a list of checksums and chooses the line of one file. Pure.
//!
//! ```text
//! HEX  name        HEX *name       sha256sum, md5sum (Debian, Ubuntu)
//! SHA256 (name) = HEX              sha256sum --tag, BSD (Fedora); SHA2-256(name)= HEX is openssl's
//! # SHA512 HASH                    names the algorithm of the lines after it (Gentoo, Flatcar)
//! HEX                              the whole file: disk.img.sha256
//! -----BEGIN PGP SIGNED MESSAGE--  only what stands inside is read
//! ```
//! A line that is none of these is passed over, as `sha256sum --check` does. Where no algorithm is named, the number of
//! digits tells it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use contract::{Code, Failure};
use mover::checksum::Checksum;

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
/// Names shown of a list that does not have the one looked for.
const SHOWN: usize = 5;

/// The line that was chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) checksum: Checksum,
    /// Its number, from 1.
    pub(super) line: usize,
    /// It stood in a signed message, whose signature was not checked.
    pub(super) is_signed: bool,
}

/// One line that was understood. A bare digest has no name.
#[derive(Debug)]
struct Entry<'a> {
    line: usize,
    algorithm: Cow<'a, str>,
    hex: &'a str,
    name: Option<Cow<'a, str>>,
}

/// Chooses the strongest checksum that `text` has for `file`, or the only one of a list that is one bare digest.
///
/// # Errors
/// Code `checksum-list`: no line for the file, lines that disagree, only algorithms that are not known, or a signed
/// message that is cut.
pub(super) fn choose(text: &str, file: Option<&str>) -> Result<Chosen, Failure> {
    let (entries, is_signed) = read(text)?;
    let of_file = match entries.as_slice() {
        [] => return Err(refused("it holds no checksum in a form that is known")),
        [bare] if bare.name.is_none() => vec![bare],
        _ => entries_of(&entries, file)?,
    };
    let known = of_file.iter().filter_map(|entry| Some((entry, checksum(entry)?)));
    let Some((entry, checksum)) = known.clone().max_by_key(|(entry, _)| entry.hex.len()) else {
        let names: BTreeSet<_> = of_file.iter().map(|entry| &*entry.algorithm).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let what = format!("its algorithm is {names}, none of md5, sha1, sha256, sha512");
        return Err(refused(&what).at(format!("line {}", of_file[0].line)));
    };
    let other = known.clone().find(|(_, other)| other.algorithm == checksum.algorithm && *other != checksum);
    if let Some((other, _)) = other {
        let lines = [other.line.min(entry.line), other.line.max(entry.line)];
        return Err(refused(&format!("its lines {} and {} disagree about the image", lines[0], lines[1])));
    }
    Ok(Chosen { line: entry.line, checksum, is_signed })
}

/// The entries of `file`: those of just that name, else those whose path ends in it.
fn entries_of<'a, 'b>(entries: &'b [Entry<'a>], file: Option<&str>) -> Result<Vec<&'b Entry<'a>>, Failure> {
    let file = file.ok_or_else(|| refused("it is of several files, and the source has no name to look for"))?;
    let named = |test: &dyn Fn(&str) -> bool| -> Vec<_> {
        entries.iter().filter(|entry| entry.name.as_deref().is_some_and(test)).collect()
    };
    let exact = named(&|name| name.strip_prefix("./").unwrap_or(name) == file);
    let found = if exact.is_empty() { named(&|name| name.rsplit('/').next() == Some(file)) } else { exact };
    if !found.is_empty() {
        return Ok(found);
    }
    let names: BTreeSet<_> = entries.iter().filter_map(|entry| entry.name.as_deref()).collect();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown = names.into_iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    Err(refused(&format!("it has no line for {file:?}, only for {shown}{more}")))
}

/// A list that gives no checksum, and why.
pub(super) fn refused(what: &str) -> Failure {
    Failure::new(Code::ChecksumList, format!("the list of checksums gives none: {what}"))
}

/// All lines that are understood, and whether they are of a signed message.
fn read(text: &str) -> Result<(Vec<Entry<'_>>, bool), Failure> {
    let (mut entries, mut is_signed, mut label) = (Vec::new(), false, None);
    let mut lines = text.lines().map(str::trim_end).zip(1..);
    while let Some((line, number)) = lines.next() {
        match line {
            SIGNED => {
                (is_signed, label) = (true, None);
                entries.clear();
                // Armour headers end with an empty line (RFC 9580 §7).
                lines.by_ref().find(|(line, _)| line.is_empty());
            }
            SIGNATURE if is_signed => return Ok((entries, true)),
            _ => {
                let line = if is_signed { line.strip_prefix("- ").unwrap_or(line) } else { line };
                label = heading(line).or(label);
                entries.extend(entry(line, label).map(|entry| Entry { line: number, ..entry }));
            }
        }
    }
    if is_signed {
        return Err(refused("its signed message has no end"));
    }
    Ok((entries, false))
}

/// The algorithm that a comment names for the lines after it.
fn heading(line: &str) -> Option<&str> {
    let mut words = line.strip_prefix('#')?.split_whitespace();
    words.next().filter(|_| words.next() == Some("HASH"))
}

fn entry<'a>(line: &'a str, label: Option<&'a str>) -> Option<Entry<'a>> {
    // sha256sum marks a line whose name has escaped characters.
    let (line, is_escaped) = line.strip_prefix('\\').map_or((line, false), |rest| (rest, true));
    let (algorithm, hex, name) = tagged(line).or_else(|| untagged(line, label))?;
    let name = name.filter(|name| *name != "-").map(|name| if is_escaped { unescaped(name) } else { name.into() });
    Some(Entry { line: 0, algorithm, hex, name })
}

/// `ALGORITHM (name) = HEX`.
fn tagged(line: &str) -> Option<(Cow<'_, str>, &str, Option<&str>)> {
    let (algorithm, rest) = line.split_once('(')?;
    let (name, hex) = rest.rsplit_once(')')?;
    let hex = hex.trim_start().strip_prefix('=')?.trim();
    let algorithm = algorithm.trim();
    (is_digest(hex) && !algorithm.is_empty()).then(|| (algorithm.into(), hex, Some(name)))
}

/// `HEX  name`, `HEX *name` or `HEX`.
fn untagged<'a>(line: &'a str, label: Option<&'a str>) -> Option<(Cow<'a, str>, &'a str, Option<&'a str>)> {
    let line = line.trim_start();
    let (hex, rest) = line.split_once([' ', '\t']).map_or((line, None), |(hex, rest)| (hex, Some(rest)));
    let name = rest.map(|rest| rest.strip_prefix([' ', '*']).unwrap_or(rest).trim_start());
    let by_digits = || match hex.len() {
        32 => "md5".into(),
        40 => "sha1".into(),
        64 => "sha256".into(),
        128 => "sha512".into(),
        digits => format!("one of {digits} digits").into(),
    };
    is_digest(hex).then(|| (label.map_or_else(by_digits, Cow::from), hex, name))
}

fn is_digest(text: &str) -> bool {
    text.len() >= 32 && text.len().is_multiple_of(2) && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn unescaped(name: &str) -> Cow<'_, str> {
    let mut plain = String::new();
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                other => other.unwrap_or('\\'),
            },
            other => other,
        });
    }
    plain.into()
}

/// The entry's checksum, if its algorithm is known and has that many digits.
fn checksum(entry: &Entry<'_>) -> Option<Checksum> {
    let name = entry.algorithm.to_ascii_lowercase().replace("sha2-", "sha").replace('-', "");
    format!("{name}:{}", entry.hex).parse().ok()
}

#[cfg(test)]
mod tests;
