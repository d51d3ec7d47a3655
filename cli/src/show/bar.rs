//! Progress: a bar on a terminal, a line now and then elsewhere, nothing beside JSON.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mover::progress::Progress;

use super::bytes;

/// How often the bar is drawn.
const DRAW: Duration = Duration::from_millis(100);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// Shows `progress` while `work` runs.
pub(crate) fn while_running<T: Send>(progress: &Progress, json: bool, work: impl FnOnce() -> T + Send) -> T {
    if json {
        return work();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let shown =
            scope.spawn(|| if std::io::stderr().is_terminal() { bar(progress, &done) } else { lines(progress, &done) });
        let result = work();
        done.store(true, Ordering::Relaxed);
        shown.thread().unpark();
        result
    })
}

fn bar(progress: &Progress, done: &AtomicBool) {
    let unknown = ProgressStyle::with_template("{msg:>10} {spinner} {binary_bytes} fetched, {binary_bytes_per_sec}");
    let known = ProgressStyle::with_template("{msg:>10} {bar:32} {percent:>3} %  {prefix}  ETA {eta}");
    let (Ok(unknown), Ok(known)) = (unknown, known) else { return };
    let bar = ProgressBar::new(0).with_style(unknown.clone());
    let started = Instant::now();
    while !done.load(Ordering::Relaxed) {
        let (total, at) = (progress.total.load(Ordering::Relaxed), progress.at.load(Ordering::Relaxed));
        let fetched = progress.fetched.load(Ordering::Relaxed);
        bar.set_message(step(progress));
        if total == 0 {
            bar.set_style(unknown.clone());
            bar.set_position(fetched);
        } else {
            bar.set_style(known.clone());
            bar.set_length(total);
            bar.set_position(at.min(total));
            let rate = fetched as f64 / started.elapsed().as_secs_f64().max(0.001);
            bar.set_prefix(format!("{} fetched, {}/s", bytes(fetched), bytes(rate as u64)));
        }
        std::thread::park_timeout(DRAW);
    }
    bar.finish_and_clear();
}

fn lines(progress: &Progress, done: &AtomicBool) {
    let mut next = Instant::now() + LINE;
    while !done.load(Ordering::Relaxed) {
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        if Instant::now() >= next {
            let (total, at) = (progress.total.load(Ordering::Relaxed), progress.at.load(Ordering::Relaxed));
            let share =
                (at.min(total) * 100).checked_div(total).map(|percent| format!("{percent} %, ")).unwrap_or_default();
            let fetched = bytes(progress.fetched.load(Ordering::Relaxed));
            eprintln!("gantry: {}: {share}{fetched} fetched", step(progress));
            next += LINE;
        }
    }
}

/// What is being done, and in which attempt if it is not the first.
fn step(progress: &Progress) -> String {
    match progress.attempt.load(Ordering::Relaxed) {
        0 | 1 => progress.step().name().to_owned(),
        attempt => format!("{} (attempt {attempt})", progress.step().name()),
    }
}
