//! Judges the head of one response: status, range, length, validators. Pure over `http` types.
//!
//! ```text
//! first request, bytes=0-65535             any later request, bytes=A-B with If-Range
//!   206 + Content-Range 0-…/N   Part         206 from A, same N and validators   its end
//!   200                         Whole        200                                 changed, or ranges given up
//!   416 */0, 200 of length 0    Empty        416                                 changed, or a lie
//!   416 otherwise               NoRanges
//!   --------------------------------- either ---------------------------------
//!   408 425 429 5xx  passing     400 401 403 404 410 3xx  refused or expired     other 4xx  final
//! ```

use std::ops::Range;
use std::time::Duration;

use contract::{Code, Failure};
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::date;
use super::trouble::{Passing, RetryAfter, Trouble};

/// Longest entity tag that is kept; a longer one counts as none.
const LONGEST_TAG: usize = 1024;

/// What the first response said about the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Length in bytes, if stated.
    pub(crate) length: Option<u64>,
    /// Whether ranges are served.
    pub(crate) ranges: bool,
    /// Whether the end of a body without a length can be told from a lost connection.
    pub(crate) end_is_known: bool,
    /// A strong entity tag with its quotes. Weak ones promise only that the content means the same.
    pub(crate) tag: Option<String>,
    /// `Last-Modified` as sent, if strong in the sense of RFC 9110 §8.8.2.2.
    pub(crate) modified: Option<String>,
    /// Whether the content type is that of a web page.
    pub(crate) is_page: bool,
}

/// What kind of answer the first request got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// The asked part; the body has this many bytes.
    Part(Facts, u64),
    /// The whole resource, from 0.
    Whole(Facts),
    /// The resource has no bytes.
    Empty(Facts),
    /// The range was refused; ask again without.
    NoRanges,
}

impl Facts {
    /// Text that is equal only if the content is.
    pub(crate) fn identity(&self) -> Option<String> {
        if let Some(tag) = &self.tag {
            return Some(format!("etag:{tag}"));
        }
        Some(format!("modified:{};length:{}", self.modified.as_ref()?, self.length?))
    }

    /// Value of `If-Range`.
    pub(crate) fn validator(&self) -> Option<&str> {
        self.tag.as_deref().or(self.modified.as_deref())
    }

    fn of(headers: &HeaderMap) -> Self {
        let tag = text(headers, header::ETAG)
            .filter(|tag| tag.len() <= LONGEST_TAG && tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'));
        let kind = text(headers, header::CONTENT_TYPE).unwrap_or("").to_ascii_lowercase();
        Self {
            tag: tag.map(str::to_owned),
            modified: strong_date(headers).map(str::to_owned),
            is_page: kind.starts_with("text/html") || kind.starts_with("application/xhtml"),
            ..Self::default()
        }
    }

    /// The first validator that both have and that differs.
    fn difference(&self, later: &Self) -> Option<String> {
        let pairs = [("entity tag", &self.tag, &later.tag), ("modification time", &self.modified, &later.modified)];
        pairs.into_iter().find_map(|(name, before, now)| match (before, now) {
            (Some(before), Some(now)) if before != now => Some(format!("its {name} was {before}, now it is {now}")),
            _ => None,
        })
    }
}

/// Judges the answer to the first request, which asked for `asked` or, if `None`, for everything.
pub(crate) fn first(status: StatusCode, headers: &HeaderMap, asked: Option<&Range<u64>>) -> Result<First, Trouble> {
    if status == StatusCode::RANGE_NOT_SATISFIABLE && asked.is_some() {
        let nothing = matches!(content_range(headers)?, Some(ContentRange { part: None, total: Some(0) }));
        let facts = Facts { length: Some(0), ranges: true, end_is_known: true, ..Facts::of(headers) };
        return Ok(if nothing { First::Empty(facts) } else { First::NoRanges });
    }
    check_status(status, headers)?;
    let mut facts = Facts::of(headers);
    match (status, asked) {
        (StatusCode::OK, _) => {
            facts.length = content_length(headers)?;
            if facts.length == Some(0) {
                return Ok(First::Empty(Facts { ranges: true, end_is_known: true, ..facts }));
            }
            facts.end_is_known = facts.length.is_some() || is_chunked(headers);
            Ok(First::Whole(facts))
        }
        (StatusCode::PARTIAL_CONTENT, Some(asked)) => {
            let (part, total) = part_of(headers, asked)?;
            facts = Facts { length: Some(total), ranges: true, end_is_known: true, ..facts };
            Ok(First::Part(facts, part.end - part.start))
        }
        _ => Err(unexpected(status).into()),
    }
}

/// Judges the answer to a later request for `asked` and returns the end of what the body holds, which may be less.
pub(crate) fn part(status: StatusCode, headers: &HeaderMap, asked: &Range<u64>, facts: &Facts) -> Result<u64, Trouble> {
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Err(out_of_range(headers, asked, facts)?.into());
    }
    check_status(status, headers)?;
    let now = Facts::of(headers);
    if let Some(difference) = facts.difference(&now) {
        return Err(changed(&difference).into());
    }
    if status == StatusCode::OK {
        let same = now.validator().is_some() && now.validator() == facts.validator();
        return Err(if same || facts.validator().is_none() {
            ranges_given_up()
        } else {
            changed("the server sends it anew from its start")
        }
        .into());
    }
    if status != StatusCode::PARTIAL_CONTENT {
        return Err(unexpected(status).into());
    }
    let (part, total) = part_of(headers, asked)?;
    match facts.length {
        Some(length) if length != total => Err(changed(&format!("its length was {length}, now it is {total}")).into()),
        _ => Ok(part.end),
    }
}

/// Judges the answer to a later request for everything: whether it is the same resource.
pub(crate) fn whole(status: StatusCode, headers: &HeaderMap, facts: &Facts) -> Result<(), Trouble> {
    check_status(status, headers)?;
    if status != StatusCode::OK {
        return Err(unexpected(status).into());
    }
    let now = Facts { length: content_length(headers)?, ..Facts::of(headers) };
    if let Some(difference) = facts.difference(&now) {
        return Err(changed(&difference).into());
    }
    if now.length != facts.length {
        return Err(changed("its length is not what it was").into());
    }
    if now.identity() != facts.identity() {
        return Err(changed("the server no longer sends what it could be known again by").into());
    }
    Ok(())
}

fn changed(how: &str) -> Failure {
    Failure::new(Code::SourceChanged, format!("the source was changed during the import: {how}"))
}

fn ranges_given_up() -> Failure {
    Failure::new(Code::SourceHttp, "the server no longer serves ranges: it answers 200 with the whole content")
        .transient()
}

fn unexpected(status: StatusCode) -> Failure {
    Failure::new(Code::SourceHttp, format!("the server answers {status}"))
}

fn out_of_range(headers: &HeaderMap, asked: &Range<u64>, facts: &Facts) -> Result<Failure, Failure> {
    let total = content_range(headers)?.and_then(|range| range.total);
    Ok(match (total, facts.length) {
        (Some(now), Some(before)) if now != before => changed(&format!("its length was {before}, now it is {now}")),
        _ => Failure::new(
            Code::SourceHttp,
            format!("the server answers 416 to bytes {}-{}, which it said it has", asked.start, asked.end - 1),
        ),
    })
}

/// Sorts the statuses that are no success.
fn check_status(status: StatusCode, headers: &HeaderMap) -> Result<(), Trouble> {
    let failure = |code| Failure::new(code, format!("the server answers {status}"));
    match status.as_u16() {
        200..=299 => Ok(()),
        407 => Err(Failure::new(Code::SourceDenied, format!("the proxy answers {status}"))
            .remedy("give the proxy's user and password in its address")
            .into()),
        408 | 425 | 429 | 500..=599 => Err(Trouble::Passing(Passing {
            failure: failure(Code::SourceHttp).transient(),
            retry_after: retry_after(headers),
            stale: false,
        })),
        401 | 403 => Err(Trouble::Expired(failure(Code::SourceDenied))),
        404 | 410 => Err(Trouble::Expired(failure(Code::SourceNotFound))),
        300..=400 => Err(Trouble::Expired(failure(Code::SourceHttp))),
        _ => Err(failure(Code::SourceHttp).into()),
    }
}

/// Refuses a body that the server encoded on its way: it would be hashed and decoded as if it were the image, and its
/// ranges are not the image's. A label that only repeats what the name at the end of `path` says (`disk.img.gz` as
/// `gzip`, as Apache's `AddEncoding` has it) describes the file itself, whose bytes are sent as they are.
pub(crate) fn check_encoding(headers: &HeaderMap, path: &str) -> Result<(), Failure> {
    let Some(label) = text(headers, header::CONTENT_ENCODING) else { return Ok(()) };
    let label = label.trim().to_ascii_lowercase();
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let is_the_files_own = match label.as_str() {
        "" | "identity" => true,
        "gzip" | "x-gzip" => matches!(extension.as_deref(), Some("gz" | "tgz")),
        "zstd" => matches!(extension.as_deref(), Some("zst" | "tzst")),
        _ => false,
    };
    if is_the_files_own {
        return Ok(());
    }
    Err(Failure::new(
        Code::SourceHttp,
        format!("the server sends content-encoding {label:?} although only identity was accepted"),
    )
    .remedy("switch off on-the-fly compression for images at the server"))
}

/// The range of a 206, which must begin where it was asked to and must not go beyond.
fn part_of(headers: &HeaderMap, asked: &Range<u64>) -> Result<(Range<u64>, u64), Failure> {
    let lie = |what: &str| {
        Failure::new(
            Code::SourceHttp,
            format!("the server answers bytes {}-{} with {what}", asked.start, asked.end - 1),
        )
    };
    if text(headers, header::CONTENT_TYPE)
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/byteranges"))
    {
        return Err(lie("several parts"));
    }
    let range = content_range(headers)?.ok_or_else(|| lie("206 and no content-range"))?;
    let (Some(part), Some(total)) = (range.part, range.total) else {
        return Err(lie("a content-range without a range or a total length"));
    };
    if part.start != asked.start || part.end > asked.end {
        return Err(lie(&format!("bytes {}-{}", part.start, part.end - 1)));
    }
    Ok((part, total))
}

/// `Content-Range` (RFC 9110 §14.4).
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    part: Option<Range<u64>>,
    total: Option<u64>,
}

fn content_range(headers: &HeaderMap) -> Result<Option<ContentRange>, Failure> {
    let Some(value) = headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(parse_content_range);
    parsed.map(Some).ok_or_else(|| {
        Failure::new(Code::SourceHttp, format!("the server sends an unreadable content-range {value:?}"))
    })
}

fn parse_content_range(value: &str) -> Option<ContentRange> {
    let (unit, rest) = value.split_once(' ')?;
    let (part, total) = rest.split_once('/')?;
    let total = if total == "*" { None } else { Some(whole_number(total)?) };
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    if part == "*" {
        return total.map(|_| ContentRange { part: None, total });
    }
    let (first, last) = part.split_once('-')?;
    let range = whole_number(first)?..whole_number(last)?.checked_add(1)?;
    let sound = range.start < range.end && total.is_none_or(|total| range.end <= total);
    sound.then_some(ContentRange { part: Some(range), total })
}

/// Digits only: `parse` alone would take a plus sign.
fn whole_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(whole_number);
    parsed.map(Some).ok_or_else(|| {
        Failure::new(Code::SourceHttp, format!("the server sends an unreadable content-length {value:?}"))
    })
}

fn is_chunked(headers: &HeaderMap) -> bool {
    text(headers, header::TRANSFER_ENCODING).is_some_and(|codings| {
        codings.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
    })
}

/// `Last-Modified`, unless the response was made within a second of it: then the content may change without it.
fn strong_date(headers: &HeaderMap) -> Option<&str> {
    let modified = text(headers, header::LAST_MODIFIED)?;
    let modified_at = date::parse(modified)?;
    let sent_at = text(headers, header::DATE).and_then(date::parse);
    sent_at.is_none_or(|sent_at| sent_at > modified_at).then_some(modified)
}

fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    let value = text(headers, header::RETRY_AFTER)?.trim();
    let delay = whole_number(value).map(|seconds| RetryAfter::Delay(Duration::from_secs(seconds)));
    delay.or_else(|| date::parse(value).map(RetryAfter::Until))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests;
