//! The threads every route shares, and how they end.
//!
//! Fetchers end when the planner has dropped both request channels, workers when the last fetcher is gone; a failure trips
//! the stop, which ends every wait. So a route is over when its planner returns and the scope has joined.

use std::ops::Range;

use contract::Failure;
use crossbeam_channel::{Receiver, Sender};

use crate::cancel::Cancel;
use crate::fetch::{Fetcher, Request, Table};
use crate::pool::Pool;
use crate::progress::Progress;
use crate::rate::Limiter;
use crate::source::Source;
use crate::stage::Stages;
use crate::stop::Stop;
use crate::volume::Volume;
use crate::worker::{Work, Worker};

/// The reading side of a transfer, and what both sides share.
pub(crate) struct Engine<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) pool: Pool,
    pub(crate) stop: &'a Stop,
    pub(crate) cancel: &'a Cancel,
    pub(crate) stages: &'a Stages,
    pub(crate) limiter: Limiter,
    pub(crate) progress: &'a Progress,
}

/// A planner's ends of the channels.
pub(crate) struct Lines {
    /// Tables to fetch.
    pub(crate) tables: Sender<Range<u64>>,
    /// Tables fetched.
    pub(crate) fetched_tables: Receiver<Table>,
    /// Data to fetch.
    pub(crate) data: Sender<Request>,
    /// Straight to the workers.
    pub(crate) work: Sender<Work>,
    /// Windows completed.
    pub(crate) closed: Receiver<u64>,
}

/// Stands between fetchers and workers, on a thread of its own.
pub(crate) type Tap<'a> = Box<dyn FnOnce(Receiver<Work>, Sender<Work>) -> Result<(), Failure> + Send + 'a>;

impl Engine<'_> {
    /// Runs `plan` with fetchers and workers.
    ///
    /// # Errors
    /// The first failure of any thread.
    pub(crate) fn with_fetchers(
        &self,
        volume: &Volume<'_>,
        max_encoded: u64,
        tap: Option<Tap<'_>>,
        plan: impl FnOnce(Lines) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.with_workers(volume, max_encoded, |work, closed| {
            std::thread::scope(|scope| {
                let (tables, tables_asked) = crossbeam_channel::unbounded();
                let (table, fetched_tables) = crossbeam_channel::unbounded();
                let (data, data_asked) = crossbeam_channel::unbounded();
                let filled = match tap {
                    None => work.clone(),
                    Some(tap) => {
                        let (filled, tapped) = crossbeam_channel::unbounded();
                        let work = work.clone();
                        scope.spawn(move || self.keep(tap(tapped, work)));
                        filled
                    }
                };
                for _ in 0..self.source.parallelism() {
                    let (tables_asked, data_asked) = (tables_asked.clone(), data_asked.clone());
                    let (table, filled) = (table.clone(), filled.clone());
                    scope.spawn(move || self.fetcher().run(&tables_asked, &data_asked, &table, &filled));
                }
                drop((table, filled, tables_asked, data_asked));
                self.keep(plan(Lines { tables, fetched_tables, data, work, closed }));
            });
        })
    }

    /// Runs `feed` with workers only.
    ///
    /// # Errors
    /// The first failure of any thread.
    pub(crate) fn with_workers(
        &self,
        volume: &Volume<'_>,
        max_encoded: u64,
        feed: impl FnOnce(Sender<Work>, Receiver<u64>),
    ) -> Result<(), Failure> {
        std::thread::scope(|scope| {
            let (work, to_do) = crossbeam_channel::unbounded();
            let (closing, closed) = crossbeam_channel::unbounded();
            for _ in 0..crate::cores::cores() {
                let (to_do, closing) = (to_do.clone(), closing.clone());
                scope.spawn(move || {
                    Worker::new(volume, self.stop, closing, self.source.name(), max_encoded).run(&to_do);
                });
            }
            drop((to_do, closing));
            feed(work, closed);
        });
        self.stop.check()
    }

    /// A fetching thread's view.
    pub(crate) fn fetcher(&self) -> Fetcher<'_> {
        Fetcher {
            source: self.source,
            pool: &self.pool,
            stop: self.stop,
            cancel: self.cancel,
            stage: &self.stages.fetch,
            limiter: &self.limiter,
            fetched: &self.progress.fetched,
        }
    }

    /// Sends to a thread that ends before the sender only if the transfer stopped.
    ///
    /// # Errors
    /// Why it stopped.
    pub(crate) fn send<T>(&self, line: &Sender<T>, value: T) -> Result<(), Failure> {
        line.send(value).map_err(|_| self.stop.reason())
    }

    /// Keeps a thread's failure, if it had one.
    pub(crate) fn keep(&self, outcome: Result<(), Failure>) {
        if let Err(failure) = outcome {
            self.stop.trip(failure);
        }
    }
}
