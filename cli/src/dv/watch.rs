//! Following DataVolumes: a watch that begins again when it is lost, and what shows what it brings.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use api::cdi::DataVolume;
use contract::{Code, Failure};
use futures::StreamExt;
use jiff::Timestamp;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};

use super::bars::Bars;
use super::follow::{Followed, Told};
use super::not_there;
use super::row::Row;
use super::table::Table;
use crate::arguments::Dv;
use crate::kubernetes::{chain, of_kind};
use crate::show;

/// How long a refusal of the watch may last, once it went well.
const PATIENCE: Duration = Duration::from_secs(30);

/// Follows until all that are named are finished, or for ever.
///
/// # Errors
/// The watch is refused, a name is not there, or a named DataVolume failed.
pub(super) async fn run(api: &Api<DataVolume>, arguments: &Dv, namespace: &str) -> Result<(), Failure> {
    let config = match arguments.names.as_slice() {
        [name] => watcher::Config::default().fields(&format!("metadata.name={name}")),
        _ => watcher::Config::default(),
    };
    let mut events = std::pin::pin!(watcher(api.clone(), config).default_backoff());
    let mut followed = Followed::new(&arguments.names);
    let mut screen: Option<Screen> = None;
    let (mut lost, mut told) = (None, false);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let failure = of_watch(&error);
                let since = *lost.get_or_insert_with(Instant::now);
                // While nothing is shown yet the user waits for an answer. A server that starts again may refuse for a while
                // what it will allow.
                if screen.is_none() || (!failure.is_transient() && since.elapsed() > PATIENCE) {
                    return Err(failure);
                }
                if !std::mem::replace(&mut told, true) {
                    tell(screen.as_ref(), &format!("the watch was lost, and is begun again: {failure}"))?;
                }
                continue;
            }
        };
        let is_whole = matches!(event, Event::InitDone);
        let changed = changes(&mut followed, event);
        lost = None;
        if std::mem::take(&mut told) {
            tell(screen.as_ref(), "the watch goes on")?;
        }
        match &mut screen {
            Some(screen) => changed.iter().try_for_each(|row| screen.show(row))?,
            None if is_whole => {
                let missing = followed.missing();
                if !missing.is_empty() {
                    return Err(not_there(&missing, namespace));
                }
                let mut first = Screen::new(&followed, arguments)?;
                followed.rows().try_for_each(|row| first.show(row))?;
                screen = Some(first);
            }
            None => {}
        }
        if screen.is_some() && followed.is_over() {
            return followed.outcome();
        }
    }
    Err(Failure::new(Code::ClusterUnreachable, "the watch ended by itself").transient())
}

/// What an event changes.
fn changes(followed: &mut Followed, event: Event<DataVolume>) -> Vec<Row> {
    match event {
        Event::Init => {
            followed.begin();
            Vec::new()
        }
        Event::InitApply(data_volume) | Event::Apply(data_volume) => {
            followed.take(Row::of(&data_volume)).cloned().into_iter().collect()
        }
        Event::Delete(data_volume) => followed.lose(&Row::of(&data_volume).key()).cloned().into_iter().collect(),
        Event::InitDone => followed.complete(),
    }
}

/// What a broken watch means. What is too old to go on from, or was cut, is had again by a new list.
fn of_watch(error: &watcher::Error) -> Failure {
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => of_kind(cause),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => {
            Failure::new(Code::ClusterUnreachable, chain(error)).transient()
        }
    }
}

fn tell(screen: Option<&Screen>, what: &str) -> Result<(), Failure> {
    match screen {
        Some(Screen::Bars(bars)) => bars.print(&format!("gantry: {what}")),
        _ => {
            eprintln!("gantry: {what}");
            Ok(())
        }
    }
}

/// Where rows are shown.
enum Screen {
    Json,
    Lines { table: Table, told: Told },
    Bars(Bars),
}

impl Screen {
    fn new(followed: &Followed, arguments: &Dv) -> Result<Self, Failure> {
        if arguments.json {
            return Ok(Self::Json);
        }
        let with_namespace = arguments.all_namespaces;
        let table = Table::of(followed.rows(), with_namespace, Timestamp::now()).growing();
        if std::io::stdout().is_terminal() {
            return Bars::under(table, with_namespace).map(Self::Bars);
        }
        show::line(&table.head())?;
        Ok(Self::Lines { table, told: Told::default() })
    }

    fn show(&mut self, row: &Row) -> Result<(), Failure> {
        match self {
            Self::Json => show::json(row),
            Self::Bars(bars) => bars.show(row),
            Self::Lines { table, told } => {
                show::line(&table.line(row, Timestamp::now()))?;
                told.news(row).iter().try_for_each(|line| show::line(line))
            }
        }
    }
}
