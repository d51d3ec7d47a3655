//! What is known of the followed DataVolumes while a watch begins, breaks and begins again.

use std::collections::{BTreeMap, BTreeSet};

use contract::Failure;

use super::row::Row;

type Key = (String, String);

/// The DataVolumes that are followed.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Names that are wanted; all if there are none.
    wanted: BTreeSet<String>,
    rows: BTreeMap<Key, Row>,
    /// Those that a list that is being read has named so far.
    listed: BTreeSet<Key>,
}

impl Followed {
    pub(super) fn new(wanted: &[String]) -> Self {
        Self { wanted: wanted.iter().cloned().collect(), ..Self::default() }
    }

    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.listed.clear();
    }

    /// An object as it is now; the row if it says anything new.
    pub(super) fn take(&mut self, row: Row) -> Option<&Row> {
        if !self.wanted.is_empty() && !self.wanted.contains(&row.name) {
            return None;
        }
        let key = row.key();
        self.listed.insert(key.clone());
        if self.rows.get(&key) == Some(&row) {
            return None;
        }
        self.rows.insert(key.clone(), row);
        self.rows.get(&key)
    }

    /// An object that is not there any more.
    pub(super) fn lose(&mut self, key: &Key) -> Option<&Row> {
        let row = self.rows.remove(key).filter(|row| !row.deleted)?;
        Some(self.rows.entry(key.clone()).or_insert(row.gone()))
    }

    /// The list is whole: what it does not name went while nobody was watching.
    pub(super) fn complete(&mut self) -> Vec<Row> {
        let gone: Vec<Key> = self.rows.keys().filter(|key| !self.listed.contains(*key)).cloned().collect();
        gone.iter().filter_map(|key| self.lose(key).cloned()).collect()
    }

    /// All that are known, in the order of their names.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Names that are wanted and were never there.
    pub(super) fn missing(&self) -> Vec<&str> {
        let known: BTreeSet<&str> = self.rows.values().map(|row| row.name.as_str()).collect();
        self.wanted.iter().map(String::as_str).filter(|name| !known.contains(name)).collect()
    }

    /// Whether all that is wanted is finished; never where everything is.
    pub(super) fn is_over(&self) -> bool {
        !self.wanted.is_empty() && self.missing().is_empty() && self.rows.values().all(|row| row.finished)
    }

    /// What they came to: the first that failed.
    pub(super) fn outcome(&self) -> Result<(), Failure> {
        self.rows.values().find_map(Row::failure).map_or(Ok(()), Err)
    }
}

/// What goes wrong, told once and not at each of the many changes while it does.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<Key, Vec<String>>);

impl Told {
    /// What is wrong with a DataVolume, if that was not told last.
    pub(super) fn news(&mut self, row: &Row) -> Vec<String> {
        let trouble = row.trouble();
        match self.0.insert(row.key(), trouble.clone()) {
            Some(before) if before == trouble => Vec::new(),
            _ => trouble,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dv::row::tests::row;

    fn key(name: &str) -> Key {
        ("home".to_owned(), name.to_owned())
    }

    #[test]
    fn only_what_is_new_is_told_and_only_of_what_is_wanted() {
        let mut followed = Followed::new(&["a".to_owned()]);
        assert!(followed.take(row("b", "phase: Pending")).is_none());
        assert!(followed.take(row("a", "phase: Pending")).is_some());
        assert!(followed.take(row("a", "phase: Pending")).is_none());
        assert!(followed.take(row("a", "phase: Succeeded")).is_some());
    }

    #[test]
    fn what_went_while_the_watch_was_broken_is_told_when_it_is_back() {
        let mut followed = Followed::new(&[]);
        for name in ["a", "b"] {
            followed.take(row(name, "phase: Pending"));
        }
        assert!(followed.complete().is_empty());
        followed.begin();
        assert!(followed.take(row("b", "phase: Pending")).is_none());
        let gone = followed.complete();
        assert_eq!(gone.iter().map(|row| (row.name.as_str(), row.deleted)).collect::<Vec<_>>(), [("a", true)]);
        assert!(followed.complete().is_empty() && followed.lose(&key("a")).is_none());
        // One of the same name may be made again.
        assert!(followed.take(row("a", "phase: Pending")).is_some_and(|row| !row.deleted));
    }

    #[test]
    fn following_names_ends_with_them_and_following_all_does_not() {
        let mut all = Followed::new(&[]);
        all.take(row("a", "phase: Succeeded"));
        assert!(!all.is_over() && all.missing().is_empty());
        let mut named = Followed::new(&["a".to_owned(), "b".to_owned()]);
        named.take(row("a", "phase: Succeeded"));
        assert!(!named.is_over());
        assert_eq!(named.missing(), ["b"]);
        named.take(row("b", "phase: ImportInProgress"));
        assert!(!named.is_over());
        named.take(row("b", "phase: Succeeded"));
        assert!(named.is_over() && named.outcome().is_ok());
        named.take(row("b", "phase: Failed"));
        assert!(named.is_over() && named.outcome().is_err());
        assert!(named.lose(&key("a")).is_some() && named.is_over());
    }

    #[test]
    fn trouble_is_told_when_it_comes_and_when_it_comes_again() {
        let mut told = Told::default();
        let wrong = row("a", "phase: Pending, gantry: {lastError: {code: x, cause: y, remedy: z, retried: true}}");
        let well = row("a", "phase: Pending");
        for (row, lines) in [(&well, 0), (&wrong, 3), (&wrong, 0), (&well, 0), (&wrong, 3)] {
            assert_eq!(told.news(row).len(), lines);
        }
    }
}
