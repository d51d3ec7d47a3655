//! A zip file as it flows: local headers, and at last the central directory, which must say the same.
//!
//! Other readers go by the central directory. A file whose headers disagree with it would be one disk here and another
//! there, so it is refused when the directory comes.

use std::collections::BTreeMap;

use contract::{Code, Failure};

use super::body::{Body, is_deflated, refusal};
use super::header::{
    self, CENTRAL, CENTRAL_LEN, END, END_64, END_64_LEN, END_LEN, Facts, Header, LOCAL_LEN, LOCATOR_LEN,
};
use super::{agree, named, one_of_several};
use crate::container::input::Input;
use crate::container::members::{Entry, MAX_MEMBERS, Members};

/// Bytes of a descriptor and the signature behind it, at most.
const DESCRIPTOR_ROOM: usize = 26;

/// A zip file that is walked through.
pub(super) struct Flowing {
    input: Input,
    current: Option<Current>,
    /// What local headers and descriptors said, by their offset.
    seen: BTreeMap<u64, Member>,
    is_over: bool,
}

/// The member that is being read.
struct Current {
    offset: u64,
    member: Member,
    body: Body,
}

/// What is compared with the central directory.
struct Member {
    facts: Facts,
    name: blake3::Hash,
}

impl Flowing {
    pub(super) fn new(input: Input) -> Self {
        Self { input, current: None, seen: BTreeMap::new(), is_over: false }
    }

    /// Goes to the end of the member, and notes what is known of it then.
    fn leave(&mut self) -> Result<(), Failure> {
        let Some(Current { offset, mut member, mut body }) = self.current.take() else { return Ok(()) };
        if let Some(left) = body.left() {
            self.input.skip(left)?;
        } else {
            let mut unused = vec![0; 64 << 10];
            while body.read(&mut self.input, &mut unused)? > 0 {}
            (member.facts.crc, member.facts.compressed, member.facts.size) = body.sums();
            let there = self.input.peek(DESCRIPTOR_ROOM)?;
            let Some(len) = header::descriptor(there, &member.facts) else {
                let what = "the sizes and the CRC-32 behind a member's data are not those of its data";
                return Err(self.input.failure(Code::ImageCorrupt, what));
            };
            self.input.consume(len);
        }
        self.seen.insert(offset, member);
        Ok(())
    }

    /// Takes the local header at hand.
    fn local(&mut self) -> Result<Entry, Failure> {
        let offset = self.input.position;
        if self.seen.len() as u64 >= MAX_MEMBERS {
            let what = format!("the archive has more than {MAX_MEMBERS} members");
            return Err(self.input.failure(Code::ImageTooLarge, what));
        }
        let header = Header::local(self.input.peek(LOCAL_LEN)?).ok_or_else(|| self.input.truncated())?;
        let (name, extra) = named(&mut self.input, LOCAL_LEN, &header)?;
        let Some((facts, ..)) = header.with_extra(&extra) else { return Err(self.malformed("a size is missing")) };
        let refusal = refusal(&facts, &name.shown, &self.input.name);
        // Without sizes only deflate says where its data ends.
        if facts.has_descriptor() && (!is_deflated(&facts) || refusal.is_some()) {
            let what =
                format!("the member {} has its size behind its data, which cannot be found as it flows", name.shown);
            return Err(self
                .input
                .failure(Code::ImageUnsupported, what)
                .remedy("serve the archive where it can be read at random (HTTP with ranges, a local file), or make it with deflate"));
        }
        let body = Body::new(facts, !facts.has_descriptor(), &name.shown);
        let size = (!facts.has_descriptor()).then_some(facts.size);
        self.current = Some(Current { offset, member: Member { facts, name: name.hash }, body });
        let is_file = !name.shown.ends_with('/');
        Ok(Entry { name: name.shown, size, is_file, is_deflated: is_deflated(&facts), refusal })
    }

    /// Compares the central directory with what came before, and finds the end behind it.
    fn directory(&mut self) -> Result<(), Failure> {
        while self.input.peek(4)? == CENTRAL {
            let header = Header::central(self.input.peek(CENTRAL_LEN)?).ok_or_else(|| self.input.truncated())?;
            let (name, extra) = named(&mut self.input, CENTRAL_LEN, &header)?;
            let Some((facts, offset, _)) = header.with_extra(&extra) else {
                return Err(self.malformed("a size is missing"));
            };
            self.input.skip(header.comment as u64)?;
            let same = self.seen.remove(&offset).is_some_and(|member| {
                member.name == name.hash
                    && agree(&member.facts, &facts)
                    && (member.facts.crc, member.facts.size) == (facts.crc, facts.size)
            });
            if !same {
                let what = format!("the central directory and the local header of {} disagree", name.shown);
                return Err(self.malformed(what));
            }
        }
        if !self.seen.is_empty() {
            let what = format!("the central directory lacks {} members that the archive has", self.seen.len());
            return Err(self.malformed(what));
        }
        self.end()
    }

    fn end(&mut self) -> Result<(), Failure> {
        if self.input.peek(4)? == END_64 {
            let end = self.input.peek(END_64_LEN)?;
            let len = header::end_64_len(end).ok_or_else(|| self.input.truncated())?;
            self.input.skip(len)?;
            header::locator(self.input.peek(LOCATOR_LEN)?).ok_or_else(|| self.input.truncated())?;
            self.input.consume(LOCATOR_LEN);
        }
        let end = self.input.peek(END_LEN)?;
        if end.len() < END_LEN {
            return Err(self.input.truncated());
        }
        if !end.starts_with(END) {
            return Err(self.malformed("no zip header is here"));
        }
        let comment = header::comment_len(end);
        self.input.consume(END_LEN);
        self.input.skip(comment as u64)?;
        if !self.input.available()?.is_empty() {
            return Err(self.malformed("the archive goes on behind its end"));
        }
        Ok(())
    }

    fn malformed(&self, what: impl Into<String>) -> Failure {
        self.input.failure(Code::ImageMalformed, what)
    }
}

impl Members for Flowing {
    fn next(&mut self) -> Result<Option<Entry>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        self.leave()?;
        if self.input.peek(4)? == header::LOCAL {
            return self.local().map(Some);
        }
        self.is_over = true;
        // So does the first volume begin.
        if self.input.position == 0 && self.input.peek(4)? == header::DESCRIPTOR {
            return Err(one_of_several(&self.input));
        }
        self.directory()?;
        Ok(None)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let Some(current) = &mut self.current else { return Ok(0) };
        current.body.read(&mut self.input, buf)
    }

    fn input(&mut self) -> &mut Input {
        &mut self.input
    }
}
