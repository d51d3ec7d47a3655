//! The source's side of the boundary: threads that turn range requests into filled slots.
//!
//! Each thread owns one connection. Requests for tables go before requests for data, because the planner opens windows
//! with them long before their data is wanted. A data request is a run of units that one response delivers in order; its
//! length is what hides latency, so it is many slots long.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender, TryRecvError, select};

use crate::cancel::Cancel;
use crate::parts::Unit;
use crate::pool::{Pool, Slot};
use crate::rate::Limiter;
use crate::source::{Reader, Source};
use crate::stage::Stage;
use crate::stop::Stop;
use crate::worker::Work;

/// Units that follow each other in the source, fetched by one request.
#[derive(Debug)]
pub(crate) struct Request {
    /// Number of the first unit in plan order.
    pub(crate) first: u64,
    /// The units.
    pub(crate) units: Vec<Unit>,
}

/// One unit with its bytes.
pub(crate) struct Filled {
    /// Number in plan order.
    pub(crate) number: u64,
    /// What the bytes are.
    pub(crate) unit: Unit,
    /// The bytes of `unit.host`; a checksum may read them at the same time.
    pub(crate) slot: Arc<Slot>,
}

/// The bytes of a table and where they are from.
pub(crate) type Table = (Range<u64>, Vec<u8>);

/// What all fetching threads of one transfer share.
pub(crate) struct Fetcher<'a> {
    /// Where bytes come from.
    pub(crate) source: &'a dyn Source,
    /// Buffers.
    pub(crate) pool: &'a Pool,
    /// First failure.
    pub(crate) stop: &'a Stop,
    /// A user's wish to stop.
    pub(crate) cancel: &'a Cancel,
    /// Time.
    pub(crate) stage: &'a Stage,
    /// Speed limit.
    pub(crate) limiter: &'a Limiter,
    /// Bytes fetched so far.
    pub(crate) fetched: &'a AtomicU64,
}

impl Fetcher<'_> {
    /// Serves requests until both channels are closed or the transfer stops.
    pub(crate) fn run(
        &self,
        tables: &Receiver<Range<u64>>,
        data: &Receiver<Request>,
        table: &Sender<Table>,
        filled: &Sender<Work>,
    ) {
        self.stage.enter();
        let (mut tables, mut data) = (Some(tables), Some(data));
        let (no_tables, no_data) = (crossbeam_channel::never(), crossbeam_channel::never());
        loop {
            let next = self.stage.wait(|| {
                match tables.map(Receiver::try_recv) {
                    Some(Ok(range)) => return Next::Table(range),
                    Some(Err(TryRecvError::Disconnected)) => tables = None,
                    Some(Err(TryRecvError::Empty)) | None => {}
                }
                if tables.is_none() && data.is_none() {
                    return Next::End;
                }
                select! {
                    recv(tables.unwrap_or(&no_tables)) -> range => range.map_or(Next::NoTables, Next::Table),
                    recv(data.unwrap_or(&no_data)) -> request => request.map_or(Next::NoData, Next::Data),
                    recv(self.stop.tripped()) -> _ => Next::End,
                }
            });
            let done = match next {
                Next::Table(range) => self.table(range, table),
                Next::Data(request) => self.data(request, filled),
                Next::NoTables => {
                    tables = None;
                    Ok(())
                }
                Next::NoData => {
                    data = None;
                    Ok(())
                }
                Next::End => break,
            };
            if let Err(failure) = done {
                self.stop.trip(failure);
                break;
            }
        }
    }

    fn table(&self, range: Range<u64>, table: &Sender<Table>) -> Result<(), Failure> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let mut reader = self.stage.work(|| self.source.open(range.clone()))?;
        self.fill(&mut *reader, &mut bytes, range.start)?;
        // The planner is gone only if the transfer stopped.
        let _ = table.send((range, bytes));
        Ok(())
    }

    fn data(&self, request: Request, filled: &Sender<Work>) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (request.units.first(), request.units.last()) else { return Ok(()) };
        let range = first.host.start..last.host.end;
        let mut at = range.start;
        let mut reader = self.stage.work(|| self.source.open(range))?;
        let mut shared: Vec<u8> = Vec::new();
        let mut units = request.units.into_iter().enumerate().peekable();
        while let Some((index, unit)) = units.next() {
            self.skip(&mut *reader, &mut at, unit.host.start)?;
            let mut slot = self.stage.wait(|| self.pool.take(self.stop))?;
            slot.set_len((unit.host.end - unit.host.start) as usize);
            slot[..shared.len()].copy_from_slice(&shared);
            self.fill(&mut *reader, &mut slot[shared.len()..], at)?;
            at = unit.host.end;
            let next_start = units.peek().map_or(at, |(_, next)| next.host.start.min(at));
            shared.clear();
            shared.extend_from_slice(&slot[slot.len() - (at - next_start) as usize..]);
            let number = request.first + index as u64;
            if filled.send(Work::Unit(Filled { number, unit, slot: Arc::new(slot) })).is_err() {
                return Err(self.stop.reason());
            }
        }
        Ok(())
    }

    /// Reads over the bytes before `to` that no unit wants.
    fn skip(&self, reader: &mut dyn Reader, at: &mut u64, to: u64) -> Result<(), Failure> {
        if *at < to {
            let mut unused = vec![0; (to - *at) as usize];
            self.fill(reader, &mut unused, *at)?;
            *at = to;
        }
        Ok(())
    }

    fn fill(&self, reader: &mut dyn Reader, buf: &mut [u8], at: u64) -> Result<(), Failure> {
        let read = self.read(reader, buf)?;
        if read < buf.len() {
            let what =
                format!("the source ends at {}, {} bytes more were expected", at + read as u64, buf.len() - read);
            return Err(Failure::new(Code::SourceTruncated, what).at(self.source.name()));
        }
        Ok(())
    }
}

impl Fetcher<'_> {
    /// Fills `buf` as far as the source goes, within the speed limit.
    ///
    /// # Errors
    /// The source's, or a stop.
    pub(crate) fn read(&self, reader: &mut dyn Reader, buf: &mut [u8]) -> Result<usize, Failure> {
        self.cancel.check()?;
        self.stage.wait(|| self.limiter.pass(buf.len() as u64, self.stop))?;
        let read = self.stage.work(|| reader.fill(buf))?;
        self.fetched.fetch_add(reader.fetched(read as u64), Ordering::Relaxed);
        Ok(read)
    }
}

enum Next {
    Table(Range<u64>),
    Data(Request),
    NoTables,
    NoData,
    End,
}
