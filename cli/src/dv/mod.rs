//! `gantry dv`: DataVolumes as a table, and followed to their end.
//!
//! ```text
//! row     a DataVolume as it is shown                 (pure)
//! table   rows under one another                      (pure)
//! follow  what is known while a watch goes on         (pure)
//! watch   the watch itself, and what shows it: bars on a terminal, lines elsewhere, JSON
//! ```

mod age;
mod bars;
mod follow;
mod row;
mod table;
mod watch;

use api::cdi::DataVolume;
use contract::{Code, Failure};
use jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;
use mover::cancel::Cancel;

use self::row::Row;
use self::table::Table;
use crate::arguments::Dv;
use crate::kubernetes::{Access, block_on, failure, of_kind};
use crate::show;

/// Lists DataVolumes, or follows them.
///
/// # Errors
/// The cluster cannot be asked, a name is not there, or a followed DataVolume failed.
pub(crate) fn run(arguments: &Dv, cancel: &Cancel) -> Result<(), Failure> {
    block_on(cancel, async {
        let access = Access::find(&arguments.access).await?;
        let api: Api<DataVolume> = if arguments.all_namespaces {
            Api::all(access.client.clone())
        } else {
            Api::namespaced(access.client.clone(), &access.namespace)
        };
        if arguments.watch {
            return watch::run(&api, arguments, &access.namespace).await;
        }
        list(&api, arguments, &access.namespace).await
    })
}

async fn list(api: &Api<DataVolume>, arguments: &Dv, namespace: &str) -> Result<(), Failure> {
    let (found, missing) = if arguments.names.is_empty() {
        (api.list(&ListParams::default()).await.map_err(|error| of_kind(&error))?.items, None)
    } else {
        named(api, &arguments.names, namespace).await?
    };
    let rows: Vec<Row> = found.iter().map(Row::of).collect();
    if arguments.json {
        rows.iter().try_for_each(show::json)?;
    } else if rows.is_empty() && missing.is_none() {
        let place = if arguments.all_namespaces { String::new() } else { format!(" in the namespace {namespace}") };
        eprintln!("gantry: there are no DataVolumes{place}");
    } else if !rows.is_empty() {
        let now = Timestamp::now();
        let table = Table::of(rows.iter(), arguments.all_namespaces, now);
        show::line(&table.head())?;
        rows.iter().try_for_each(|row| show::line(&table.line(row, now)))?;
        rows.iter().flat_map(Row::trouble).try_for_each(|line| show::line(&line))?;
    }
    missing.map_or(Ok(()), Err)
}

/// The DataVolumes of these names, and the failure of those that are not there.
async fn named(
    api: &Api<DataVolume>,
    names: &[String],
    namespace: &str,
) -> Result<(Vec<DataVolume>, Option<Failure>), Failure> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match api.get_opt(name).await.map_err(|error| failure(&error))? {
            Some(data_volume) => found.push(data_volume),
            None => missing.push(name.as_str()),
        }
    }
    let missing = (!missing.is_empty()).then(|| not_there(&missing, namespace));
    Ok((found, missing))
}

fn not_there(names: &[&str], namespace: &str) -> Failure {
    let what = format!("the namespace {namespace} has no DataVolume {}", names.join(", "));
    Failure::new(Code::ClusterNotFound, what)
}
