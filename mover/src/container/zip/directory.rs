//! The central directory of a zip file that can be read at random: what its members are and where they lie.
//!
//! ```text
//! last 64 KiB --> end --> (locator --> zip64 end) --> central headers --> sorted by offset: no two overlap
//! ```

use std::ops::Range;
use std::sync::Arc;

use contract::{Code, Failure};

use super::body::{Body, is_deflated, refusal};
use super::header::{
    CENTRAL_LEN, Directory, END_64_LEN, END_LEN, Facts, Header, LOCAL_LEN, LOCATOR_LEN, comment_len, locator,
};
use super::{agree, named, one_of_several};
use crate::container::input::Input;
use crate::container::members::{Entry, MAX_MEMBERS};
use crate::flow::Flow;
use crate::source::{Reader, Source};

/// Bytes of names that are kept.
const MAX_NAMES: usize = 1 << 20;
/// Bytes of an end and the longest comment behind it.
const MAX_END: u64 = END_LEN as u64 + 0xffff;

/// The members of `archive`, a zip file of `len` bytes.
///
/// # Errors
/// The archive cannot be read, or is no zip file whose parts agree.
pub(in crate::container) fn members(archive: &Arc<dyn Source>, len: u64) -> Result<Vec<Located>, Failure> {
    let mut zip = Zip { input: Input::ranged(Arc::clone(archive)), archive };
    let directory = zip.find(len)?;
    if directory.members > MAX_MEMBERS {
        let what = format!("the archive has {} members, at most {MAX_MEMBERS} are read", directory.members);
        return Err(zip.input.failure(Code::ImageTooLarge, what));
    }
    zip.members(&directory)
}

/// A zip file and the place that is read in it.
struct Zip<'a> {
    archive: &'a Arc<dyn Source>,
    input: Input,
}

/// A member and where it lies.
pub(in crate::container) struct Located {
    pub(in crate::container) entry: Entry,
    facts: Facts,
    hash: blake3::Hash,
    /// Offset of its local header.
    offset: u64,
    /// Bytes of its name.
    name_len: usize,
    /// Where what follows it begins.
    end: u64,
}

impl Zip<'_> {
    /// Finds where the directory is, from the end of the file.
    fn find(&mut self, len: u64) -> Result<Directory, Failure> {
        let from = len.saturating_sub(MAX_END + LOCATOR_LEN as u64);
        self.input.skip(from)?;
        let tail = self.input.peek((len - from) as usize)?.to_vec();
        // An end is one whose comment ends the file. What has two holds two archives, and which one is seen would depend on
        // where a reader begins.
        let is_end = |at: &usize| {
            let there = Directory::end(&tail[*at..]).is_some();
            there && at + END_LEN + comment_len(&tail[*at..]) == tail.len()
        };
        let mut ends = (0..tail.len()).filter(is_end);
        let at = match (ends.next(), ends.next()) {
            (Some(at), None) => at,
            (Some(_), Some(_)) => return Err(self.malformed("two ends of a central directory end the archive")),
            (None, _) => {
                let what = "the archive ends without its central directory";
                return Err(self.input.failure(Code::ImageTruncated, what));
            }
        };
        let end_offset = from + at as u64;
        let mut directory = Directory::end(&tail[at..]).ok_or_else(|| self.input.truncated())?;
        let mut behind = end_offset;
        if let Some(end_64) = at.checked_sub(LOCATOR_LEN).and_then(|at| locator(&tail[at..]))
            && directory.is_elsewhere()
        {
            behind = end_64;
            self.go_to(end_64)?;
            let end_64 = Directory::end_64(self.input.peek(END_64_LEN)?);
            directory = end_64.ok_or_else(|| self.malformed("no zip64 end of the central directory is here"))?;
        }
        if !directory.is_whole {
            return Err(one_of_several(&self.input));
        }
        if directory.offset.checked_add(directory.len).is_none_or(|end| end != behind) {
            return Err(self.malformed("the central directory does not end where its end says"));
        }
        Ok(directory)
    }

    fn go_to(&mut self, offset: u64) -> Result<(), Failure> {
        self.input = Input::ranged(Arc::clone(self.archive));
        self.input.skip(offset)
    }

    fn members(&mut self, directory: &Directory) -> Result<Vec<Located>, Failure> {
        self.go_to(directory.offset)?;
        let mut members = Vec::new();
        let mut names = 0;
        for _ in 0..directory.members {
            let central = Header::central(self.input.peek(CENTRAL_LEN)?);
            let header = central.ok_or_else(|| self.malformed("no central header is here"))?;
            let (name, extra) = named(&mut self.input, CENTRAL_LEN, &header)?;
            self.input.skip(header.comment as u64)?;
            let Some((facts, offset, _)) = header.with_extra(&extra) else {
                return Err(self.malformed("a size is missing"));
            };
            names += name.shown.len();
            if names > MAX_NAMES {
                let what = format!("the members' names have more than {MAX_NAMES} bytes");
                return Err(self.input.failure(Code::ImageTooLarge, what));
            }
            let refusal = refusal(&facts, &name.shown, &self.input.name);
            let is_file = !name.shown.ends_with('/');
            let is_deflated = is_deflated(&facts);
            let entry = Entry { name: name.shown, size: Some(facts.size), is_file, is_deflated, refusal };
            members.push(Located { entry, facts, hash: name.hash, offset, name_len: header.name, end: 0 });
        }
        if self.input.position != directory.offset + directory.len {
            return Err(self.malformed("the central directory has other members than its end says"));
        }
        self.refuse_overlaps(&mut members, directory.offset)?;
        Ok(members)
    }

    /// Data that belongs to two members is how a small file becomes a huge one.
    fn refuse_overlaps(&self, members: &mut [Located], data_end: u64) -> Result<(), Failure> {
        let mut order: Vec<&mut Located> = members.iter_mut().collect();
        order.sort_by_key(|member| member.offset);
        let mut next = data_end;
        for member in order.into_iter().rev() {
            let headers = (LOCAL_LEN + member.name_len) as u64;
            let end = member.offset.checked_add(headers).and_then(|at| at.checked_add(member.facts.compressed));
            if end.is_none_or(|end| end > next) {
                let what = format!("the member {} overlaps what follows it", member.entry.name);
                return Err(self.malformed(what));
            }
            member.end = std::mem::replace(&mut next, member.offset);
        }
        Ok(())
    }

    fn malformed(&self, what: impl Into<String>) -> Failure {
        self.input.failure(Code::ImageMalformed, what)
    }
}

impl Located {
    /// Where the data lies in `archive`, after the local header was found to say what the directory says.
    ///
    /// # Errors
    /// The headers disagree, or the archive cannot be read.
    pub(in crate::container) fn data(&self, archive: &Arc<dyn Source>) -> Result<Range<u64>, Failure> {
        let mut input = Input::ranged(Arc::clone(archive));
        input.skip(self.offset)?;
        let disagree = |input: &Input| {
            let what = format!("the central directory and the local header of {} disagree", self.entry.name);
            input.failure(Code::ImageMalformed, what)
        };
        let header = Header::local(input.peek(LOCAL_LEN)?).ok_or_else(|| disagree(&input))?;
        let (name, extra) = named(&mut input, LOCAL_LEN, &header)?;
        let facts = header.with_extra(&extra).map(|(facts, ..)| facts);
        let is_same = facts.is_some_and(|facts| agree(&facts, &self.facts)) && name.hash == self.hash;
        // The local header may be longer than the directory says, so its data may not end where the next member begins.
        let end = input.position.checked_add(self.facts.compressed).filter(|end| *end <= self.end);
        let is_plausible = self.entry.is_deflated || self.facts.compressed == self.facts.size;
        match end {
            Some(end) if is_same && is_plausible => Ok(input.position..end),
            _ => Err(disagree(&input)),
        }
    }
}

/// A deflated member of a file that can be read at random.
pub(in crate::container) struct Inflating {
    input: Input,
    body: Body,
}

impl Inflating {
    /// Decodes what `reader` reads of `member` of `archive`.
    pub(in crate::container) fn new(member: &Located, reader: Box<dyn Reader>, archive: &str) -> Self {
        let input = Input::flowing(Flow::new(archive, reader, None, None), archive);
        Self { input, body: Body::new(member.facts, true, &member.entry.name) }
    }
}

impl Reader for Inflating {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        self.body.read(&mut self.input, buf)
    }

    fn fetched(&mut self, _handed_out: u64) -> u64 {
        self.input.fetched()
    }
}
