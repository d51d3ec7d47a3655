//! Counts of verdicts and of opinions.

use std::collections::BTreeMap;
use std::fmt;

use crate::classes::Verdict;
use crate::ours::{Refusal, Seen};
use crate::peers::Opinion;

/// Failures whose words are printed.
const SHOWN: usize = 40;

/// What became of the images.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    verdicts: BTreeMap<Verdict, u64>,
    opinions: BTreeMap<String, u64>,
    streamed: u64,
    unexplained: Vec<String>,
}

impl Tally {
    pub(crate) fn count(&mut self, verdict: Verdict) {
        *self.verdicts.entry(verdict).or_default() += 1;
    }

    /// Counts what the forward decoder placed.
    pub(crate) fn streamed(&mut self, seen: &Result<Seen, Refusal>) {
        self.streamed += u64::from(seen.is_ok());
    }

    pub(crate) fn unexplained(&mut self, what: String) {
        self.unexplained.push(what);
    }

    /// Counts what a library says about an image that is read here; true if it sees another disk than Gantry and qemu do
    /// although nothing is damaged.
    pub(crate) fn opinion(&mut self, opinion: &Opinion, disk: &[u8], verdict: &Verdict, intact: bool) -> bool {
        let word = match &opinion.disk {
            Ok(theirs) if theirs == disk => "sees the same disk",
            Ok(_) => "sees another disk",
            Err(why) if why == "panicked" => "panics",
            Err(_) => "refuses it",
        };
        let state = if intact { "intact" } else { "damaged" };
        let read = if *verdict == Verdict::Equal { "as qemu does" } else { "unlike qemu" };
        let line = format!("{}: of {state} images read {read}, {word}", opinion.library);
        *self.opinions.entry(line).or_default() += 1;
        intact && word == "sees another disk"
    }

    pub(crate) fn join(mut self, other: Self) -> Self {
        for (verdict, count) in other.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
        for (opinion, count) in other.opinions {
            *self.opinions.entry(opinion).or_default() += count;
        }
        self.streamed += other.streamed;
        self.unexplained.extend(other.unexplained);
        self
    }

    /// # Panics
    /// When something has no name, or nothing was read.
    pub(crate) fn assert_explained(&self, images: u64) {
        let shown = &self.unexplained[..self.unexplained.len().min(SHOWN)];
        assert!(shown.is_empty(), "{} unexplained:\n{}", self.unexplained.len(), shown.join("\n"));
        assert_eq!(self.verdicts.values().sum::<u64>(), images);
        let equal = self.verdicts.get(&Verdict::Equal).copied().unwrap_or_default();
        assert!(
            equal * 20 > images,
            "only {equal} of {images} were read by both: the damage is too heavy to tell anything"
        );
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdicts = self.verdicts.iter().map(|(verdict, count)| (verdict.to_string(), count));
        let opinions = self.opinions.iter().map(|(line, count)| (line.clone(), count));
        writeln!(f, "{:>8}  read by the forward decoder too", self.streamed)?;
        verdicts.chain(opinions).try_for_each(|(line, count)| writeln!(f, "{count:>8}  {line}"))
    }
}
