//! Moments in the life of a DataVolume, drawn by chance: some time after a sign that an import gives of itself.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fixtures::images::noise::Noise;

use crate::watch::Watcher;

/// How long the server may take to send all.
const PATIENCE: Duration = Duration::from_secs(180);

/// What an import shows of its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Its manifest was taken.
    Created,
    /// It has a pod.
    Scheduled,
    /// The pod runs.
    Running,
    /// The server has sent all of it.
    Fetched,
    /// It is said to be finished.
    Succeeded,
}

/// The signs, and for how long after each a moment may be.
const SIGNS: [(Sign, u64); 5] = [
    (Sign::Created, 2_500),
    (Sign::Scheduled, 1_500),
    (Sign::Running, 6_000),
    (Sign::Fetched, 1_500),
    (Sign::Succeeded, 1_000),
];

/// So long after a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    sign: Sign,
    after: Duration,
}

impl Moment {
    /// Any moment from the making of a DataVolume until after its end. Each sign is as likely as the others, so that short parts
    /// of a life are met as often as long ones.
    pub fn draw(noise: &mut Noise) -> Self {
        Self::of(&SIGNS, noise)
    }

    /// Any moment before the end.
    pub fn draw_before_end(noise: &mut Noise) -> Self {
        Self::of(&SIGNS[..SIGNS.len() - 1], noise)
    }

    /// A moment after its making, for a DataVolume that shows nothing else.
    pub fn draw_at_beginning(noise: &mut Noise) -> Self {
        Self::of(&SIGNS[..1], noise)
    }

    fn of(signs: &[(Sign, u64)], noise: &mut Noise) -> Self {
        let (sign, longest) = signs[noise.below(signs.len() as u64) as usize];
        Self { sign, after: Duration::from_millis(noise.below(longest)) }
    }

    /// Waits until it has come for the DataVolume `name`, which was made just now; one that is finished shows no other signs any
    /// more.
    ///
    /// # Errors
    /// When the sign does not come.
    pub fn wait(&self, watcher: &Watcher, name: &str, is_fetched: impl Fn() -> Result<bool>) -> Result<()> {
        let is_past = |phase| watcher.has_come_to(name, phase);
        match self.sign {
            Sign::Created => {}
            Sign::Scheduled => watcher.until_come_to(name, "ImportScheduled")?,
            Sign::Running => watcher.until_come_to(name, "ImportInProgress")?,
            Sign::Succeeded => watcher.until_come_to(name, "Succeeded")?,
            Sign::Fetched => {
                watcher.until_come_to(name, "ImportScheduled")?;
                let end = Instant::now() + PATIENCE;
                while !is_fetched()? && !is_past("Succeeded") {
                    ensure!(Instant::now() < end, "{name} was not fetched: {:?}", watcher.progress(name));
                    sleep(Duration::from_millis(20));
                }
            }
        }
        sleep(self.after);
        Ok(())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms after it was {:?}", self.after.as_millis(), self.sign)
    }
}
