//! The process that was started by the user: it has the network, the credentials and the terminal, and parses no image.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contract::{Code, Failure};
use mover::cancel::Cancel;
use mover::progress::Progress;
use mover::shared::SharedMemory;
use mover::source::{Reader, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::message::{Answer, Event, Facts, Job, Origin, Question, Word};
use super::wire::Channel;
use super::{DECODING, LANES, lockdown};
use crate::source::http::Options;
use crate::source::{Location, open};
use crate::work::{Outcome, Work};

/// Arenas of the decoding process's allocator. With more than one, glibc opens files in the middle of the work: to count the
/// cores, and to ask how memory is overcommitted. What is large is in buffers that are used again, so one is enough.
const ARENAS: &str = "1";
/// How long a wait for the other process lasts before the request to stop is looked at again.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Does `work` on the image at `location`.
///
/// # Errors
/// Whatever stops either process.
pub(crate) fn run(
    location: &Location,
    http: &Options,
    work: Work,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Outcome, Failure> {
    let origin = match location {
        Location::Http { .. } => Origin::Fetched,
        Location::File(path) => Origin::File(path.clone()),
        Location::Stdin => Origin::Stdin,
        Location::Blank(size) => Origin::Blank(*size),
    };
    let (mut decoding, lanes) =
        Decoding::start(&Job { origin, work }).map_err(|error| cannot("start the decoding process", &error))?;
    let http = Options { progress: progress.clone(), ..http.clone() };
    let connect = || open(location, &http, cancel);
    if let Location::Http { .. } = location {
        lockdown::fetching()?;
    }
    let fetching = Fetching { connect: &connect, source: Mutex::default(), memories: Mutex::default() };
    std::thread::scope(|scope| {
        for lane in &lanes {
            scope.spawn(|| fetching.serve(lane));
        }
        let outcome = decoding.attend(cancel, progress);
        if outcome.is_err() {
            // A lane may be waiting for a server that says nothing, on behalf of a process that may be gone.
            cancel.cancel();
        }
        outcome
    })
}

fn cannot(doing: &str, error: &io::Error) -> Failure {
    Failure::new(Code::Internal, format!("cannot {doing}: {error}"))
}

/// The other process, as seen from this one. It ends with this one, and no later than this is dropped.
struct Decoding {
    child: Child,
    control: Channel,
}

impl Decoding {
    /// Starts it, and gives it `job` and its ends of the lanes.
    fn start(job: &Job) -> io::Result<(Self, Vec<Channel>)> {
        let (control, theirs) = Channel::pair()?;
        let pairs: Vec<_> = (0..LANES).map(|_| Channel::pair()).collect::<io::Result<_>>()?;
        let stdin = if matches!(job.origin, Origin::Stdin) { Stdio::inherit() } else { Stdio::null() };
        let child = Command::new("/proc/self/exe")
            .arg(DECODING)
            .env_clear()
            .env("MALLOC_ARENA_MAX", ARENAS)
            .stdin(stdin)
            // Its standard output is the connection: the one descriptor besides these two that it inherits.
            .stdout(OwnedFd::from(theirs))
            .spawn()?;
        let (lanes, ends): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let decoding = Self { child, control };
        decoding.control.send(job, &ends.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
        Ok((decoding, lanes))
    }

    /// Listens to it until its end.
    fn attend(&mut self, cancel: &Cancel, progress: &Progress) -> Result<Outcome, Failure> {
        let lost = |error: &io::Error| cannot("listen to the decoding process", error);
        let mut is_told = false;
        loop {
            if cancel.is_cancelled() && !is_told {
                // One that is gone needs not be told.
                let _ = self.control.send(&Word::Cancel, &[]);
                is_told = true;
            }
            match poll(&mut [PollFd::new(&self.control, PollFlags::IN)], Some(&GLANCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(lost(&error.into())),
            }
            match self.control.receive().map_err(|error| lost(&error))? {
                Some((Event::Progress(snapshot), _)) => progress.follow(&snapshot),
                Some((Event::Done(outcome), _)) => return outcome,
                None => return Err(self.died()),
            }
        }
    }

    /// It ended without a last word.
    fn died(&mut self) -> Failure {
        let how = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let failure = Failure::new(Code::Internal, format!("the decoding process ended early: {how}"));
        failure.remedy("if it was killed, the memory limit may be too low (`dmesg`); run the same command again")
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        // One that has said its last word has nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers the decoding process.
struct Fetching<'a> {
    connect: &'a (dyn Fn() -> Result<Box<dyn Source>, Failure> + Sync),
    source: Mutex<Option<Arc<dyn Source>>>,
    memories: Mutex<Vec<Arc<SharedMemory>>>,
}

impl Fetching<'_> {
    /// Answers the questions of one lane until the other process is gone.
    fn serve(&self, lane: &Channel) {
        let mut reader = None;
        while let Ok(Some((question, descriptors))) = lane.receive() {
            let answer = self.answer(question, descriptors, &mut reader);
            let Some(answer) = answer.unwrap_or_else(|failure| Some(Answer::Failed(failure))) else { continue };
            if lane.send(&answer, &[]).is_err() {
                return;
            }
        }
    }

    /// Does what is asked; a reader that is closed is not answered.
    fn answer(
        &self,
        question: Question,
        descriptors: Vec<OwnedFd>,
        reader: &mut Option<Box<dyn Reader>>,
    ) -> Result<Option<Answer>, Failure> {
        let defect = |what: &str| Failure::new(Code::Internal, format!("the decoding process asked for {what}"));
        Ok(Some(match question {
            Question::Connect => {
                let found: Arc<dyn Source> = (self.connect)()?.into();
                let facts = Facts::of(&*found);
                *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                Answer::Connected(facts)
            }
            Question::Share => {
                let descriptor = descriptors.into_iter().next().ok_or_else(|| defect("no memory to be mapped"))?;
                let mut memories = self.memories();
                memories.push(Arc::new(SharedMemory::attach(descriptor)?));
                Answer::Number(memories.len() - 1)
            }
            Question::Open(range) => {
                let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
                *reader = Some(source.ok_or_else(|| defect("bytes of no source"))?.open(range)?);
                Answer::Number(0)
            }
            Question::Read { memory, into } => {
                let memory = self.memories().get(memory).cloned().ok_or_else(|| defect("an unknown memory"))?;
                let mut buffer = memory.lend(into).ok_or_else(|| defect("bytes in a place that is none"))?;
                let reader = reader.as_mut().ok_or_else(|| defect("bytes without a reader"))?;
                Answer::Number(reader.fill(&mut buffer)?)
            }
            Question::Close => {
                *reader = None;
                return Ok(None);
            }
        }))
    }

    fn memories(&self) -> MutexGuard<'_, Vec<Arc<SharedMemory>>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
