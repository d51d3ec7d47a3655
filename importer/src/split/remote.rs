//! The source as the decoding process sees it: questions to the fetching process, bytes in shared memory.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use contract::{Code, Failure};
use mover::shared::SharedMemory;
use mover::source::{Reader, Source};

use super::LANES;
use super::message::{Answer, Facts, Question};
use super::wire::Channel;

/// Bytes of each lane for reads into memory that is not shared: tables and first looks.
const BOUNCE: usize = 256 << 10;

/// The lanes, and which memory the other process has mapped.
pub(super) struct Lanes {
    free: (crossbeam_channel::Sender<Lane>, crossbeam_channel::Receiver<Lane>),
    /// What was shared, with its numbers. A mapping that is gone is not held: its addresses may be another's by now.
    shared: Mutex<Vec<(Weak<SharedMemory>, usize)>>,
    bounce: Mutex<Option<Bounce>>,
}

/// The memory for all lanes' reads into memory that is not shared, and its number.
#[derive(Clone)]
struct Bounce(Arc<SharedMemory>, usize);

struct Lane {
    channel: Channel,
    number: usize,
}

impl Lanes {
    pub(super) fn new(channels: impl Iterator<Item = Channel>) -> Self {
        let (give_back, free) = crossbeam_channel::unbounded();
        for (number, channel) in channels.take(LANES).enumerate() {
            let given = give_back.send(Lane { channel, number });
            debug_assert!(given.is_ok(), "the receiver is beside the sender");
        }
        Self { free: (give_back, free), shared: Mutex::default(), bounce: Mutex::default() }
    }

    /// Finds the source.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub(super) fn connect(self: &Arc<Self>) -> Result<Box<dyn Source>, Failure> {
        let lane = self.take()?;
        let bounce = self.bounce(&lane)?;
        let asked = lane.ask(&Question::Connect, &[]);
        self.give_back(lane);
        match asked? {
            Answer::Connected(facts) => Ok(Box::new(RemoteSource { lanes: Arc::clone(self), facts, bounce })),
            other => Err(unexpected(&other)),
        }
    }

    fn take(&self) -> Result<Lane, Failure> {
        self.free.1.recv().map_err(|_| Failure::new(Code::Internal, "there are no lanes"))
    }

    fn give_back(&self, lane: Lane) {
        // The receiver is beside the sender.
        let _ = self.free.0.send(lane);
    }

    fn bounce(&self, lane: &Lane) -> Result<Bounce, Failure> {
        let mut bounce = self.bounce.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bounce) = &*bounce {
            return Ok(bounce.clone());
        }
        let memory = Arc::new(SharedMemory::new(LANES * BOUNCE)?);
        let number = lane.number(&Question::Share, &[memory.descriptor()])?;
        Ok(bounce.insert(Bounce(memory, number)).clone())
    }

    /// The number of the memory that `buf` is in, and where in it.
    fn place(&self, buf: &[u8]) -> Option<(usize, Range<usize>)> {
        self.shared().iter().find_map(|(memory, number)| {
            let at = memory.upgrade()?.position_of(buf)?;
            Some((*number, at..at + buf.len()))
        })
    }

    fn shared(&self) -> MutexGuard<'_, Vec<(Weak<SharedMemory>, usize)>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn ask(&self, question: &Question, descriptors: &[BorrowedFd<'_>]) -> Result<Answer, Failure> {
        let lost = |error: std::io::Error| {
            Failure::new(Code::Internal, format!("the fetching process does not answer: {error}"))
        };
        self.channel.send(question, descriptors).map_err(lost)?;
        match self.channel.receive().map_err(lost)? {
            Some((Answer::Failed(failure), _)) => Err(failure),
            Some((answer, _)) => Ok(answer),
            None => Err(Failure::new(Code::Internal, "the fetching process is gone")),
        }
    }

    fn number(&self, question: &Question, descriptors: &[BorrowedFd<'_>]) -> Result<usize, Failure> {
        match self.ask(question, descriptors)? {
            Answer::Number(number) => Ok(number),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(answer: &Answer) -> Failure {
    Failure::new(Code::Internal, format!("the fetching process answers another question: {answer:?}"))
}

/// A source in the fetching process.
struct RemoteSource {
    lanes: Arc<Lanes>,
    facts: Facts,
    bounce: Bounce,
}

impl Source for RemoteSource {
    fn name(&self) -> &str {
        &self.facts.name
    }

    fn len(&self) -> Option<u64> {
        self.facts.len
    }

    fn has_ranges(&self) -> bool {
        self.facts.has_ranges
    }

    fn end_is_known(&self) -> bool {
        self.facts.end_is_known
    }

    fn identity(&self) -> Option<String> {
        self.facts.identity.clone()
    }

    fn parallelism(&self) -> usize {
        self.facts.parallelism
    }

    fn access(&self) -> Vec<String> {
        self.facts.access.clone()
    }

    fn warnings(&self) -> Vec<String> {
        self.facts.warnings.clone()
    }

    fn share(&self, memory: &Arc<SharedMemory>) -> Result<(), Failure> {
        let lane = self.lanes.take()?;
        let number = lane.number(&Question::Share, &[memory.descriptor().as_fd()]);
        self.lanes.give_back(lane);
        self.lanes.shared().push((Arc::downgrade(memory), number?));
        Ok(())
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        let lane = self.lanes.take()?;
        let opened = lane.number(&Question::Open(range), &[]);
        let reader = RemoteReader { lane: Some(lane), lanes: Arc::clone(&self.lanes), bounce: self.bounce.clone() };
        opened.map(|_| Box::new(reader) as Box<dyn Reader>)
    }
}

/// A reader in the fetching process, with the lane that leads to it.
struct RemoteReader {
    /// Given back at the end.
    lane: Option<Lane>,
    lanes: Arc<Lanes>,
    bounce: Bounce,
}

impl Reader for RemoteReader {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let Some(lane) = &self.lane else { return Ok(0) };
        if let Some((memory, into)) = self.lanes.place(buf) {
            return lane.number(&Question::Read { memory, into }, &[]);
        }
        let Bounce(memory, number) = &self.bounce;
        let start = lane.number * BOUNCE;
        let into = start..start + buf.len().min(BOUNCE);
        let read = lane.number(&Question::Read { memory: *number, into: into.clone() }, &[])?;
        let bytes = memory.lend(into).filter(|bytes| read <= bytes.len());
        let bytes =
            bytes.ok_or_else(|| Failure::new(Code::Internal, "the fetching process gave more than was asked"))?;
        buf[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }
}

impl Drop for RemoteReader {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            // A process that is gone has closed everything.
            let _ = lane.channel.send(&Question::Close, &[]);
            self.lanes.give_back(lane);
        }
    }
}
