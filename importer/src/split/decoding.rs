//! The process that decodes and writes: it opens the target and a local source, gives up everything else, and only then
//! reads the first byte.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::{Code, Failure};
use crossbeam_channel::RecvTimeoutError;
use mover::cancel::Cancel;
use mover::cores;
use mover::progress::Progress;
use mover::source::Source;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::lockdown;
use super::message::{Event, Job, Origin, Word};
use super::remote::Lanes;
use super::wire::Channel;
use crate::source::{BlankSource, FileSource, StdinSource};
use crate::work::{Outcome, Ready};

/// How often the progress is told.
const TELLING: Duration = Duration::from_millis(50);

/// The whole life of the process; its exit code says only whether the other one heard the outcome.
pub(super) fn main() -> ExitCode {
    match live() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry: the decoding process: {error}");
            ExitCode::FAILURE
        }
    }
}

fn live() -> io::Result<()> {
    detach()?;
    let control = Channel::from(io::stdout().as_fd().try_clone_to_owned()?);
    let Some((Job { origin, work }, lanes)) = control.receive()? else { return Ok(()) };
    let (cancel, progress) = (Cancel::new(), Progress::default());
    // Nothing of the source has been read so far.
    let ready = Opener::new(origin, Lanes::new(lanes.into_iter().map(Channel::from)), &cancel)
        .and_then(|opener| Ok((opener, work.ready()?)))
        .and_then(|(opener, ready)| lockdown::decoding(&ready).map(|()| (opener, ready)));
    let outcome = match ready {
        Ok((opener, ready)) => perform(&control, &ready, &opener, &cancel, &progress),
        Err(failure) => Err(failure),
    };
    control.send(&Event::Done(outcome), &[])
}

/// Lives and dies with the other process, and is no business of others.
fn detach() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    for signal in [SIGINT, SIGTERM] {
        // A terminal sends these to both processes; the other one says what they mean.
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    // Asked before the lockdown: the answer comes from files.
    let _ = cores::cores();
    Ok(())
}

/// Does the work, telling how far it is and listening meanwhile.
fn perform(
    control: &Channel,
    ready: &Ready,
    opener: &Opener,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Outcome, Failure> {
    std::thread::scope(|scope| {
        let (working, over) = crossbeam_channel::bounded::<()>(0);
        let teller = scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = over.recv_timeout(TELLING) {
                tell(control, progress);
            }
            tell(control, progress);
        });
        let (listening, cancel_heard) = (control.as_fd().try_clone_to_owned(), cancel.clone());
        match listening {
            // Not waited for: it ends with the process.
            Ok(listening) => drop(std::thread::spawn(move || listen(&Channel::from(listening), &cancel_heard))),
            Err(error) => return Err(Failure::new(Code::Internal, format!("cannot listen: {error}"))),
        }
        let outcome = ready.run(&|| opener.open(), cancel, progress);
        drop(working);
        // A panic in it is passed on by the scope.
        let _ = teller.join();
        outcome
    })
}

fn tell(control: &Channel, progress: &Progress) {
    // A process that is gone takes this one with it.
    let _ = control.send(&Event::Progress(progress.snapshot()), &[]);
}

fn listen(control: &Channel, cancel: &Cancel) {
    while let Ok(Some((Word::Cancel, _))) = control.receive() {
        cancel.cancel();
    }
}

/// Gives the source as often as it is wanted.
enum Opener {
    Fetched(Arc<Lanes>),
    File(FileSource),
    /// Flows once.
    Stdin(Mutex<Option<StdinSource>>),
    Blank(u64),
}

impl Opener {
    /// Opens what is local.
    fn new(origin: Origin, lanes: Lanes, cancel: &Cancel) -> Result<Self, Failure> {
        Ok(match origin {
            Origin::Fetched => Self::Fetched(Arc::new(lanes)),
            Origin::File(path) => Self::File(FileSource::open_path(&path, cancel.clone())?),
            Origin::Stdin => Self::Stdin(Mutex::new(Some(StdinSource::new(cancel.clone())?))),
            Origin::Blank(size) => Self::Blank(size),
        })
    }

    fn open(&self) -> Result<Box<dyn Source>, Failure> {
        Ok(match self {
            Self::Fetched(lanes) => lanes.connect()?,
            Self::File(file) => Box::new(file.again()?),
            Self::Stdin(input) => {
                let input = input.lock().unwrap_or_else(PoisonError::into_inner).take();
                Box::new(input.ok_or_else(|| Failure::new(Code::SourceRead, "standard input flows once"))?)
            }
            Self::Blank(size) => Box::new(BlankSource::new(*size)),
        })
    }
}
