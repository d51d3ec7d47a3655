//! DataVolumes that are deleted at a random moment, by themselves or with their namespace: nothing of them is left, neither
//! objects nor mounts nor files: `cargo xtask kubernetes test`, many more moments in `cargo xtask soak kubernetes`.

use std::thread;

use anyhow::{Context, Result};
use fixtures::images::MIB;
use fixtures::images::noise::Noise;
use tests::bed::Bed;
use tests::data_volume::DataVolume;
use tests::moment::Moment;
use tests::objects::Namespace;
use tests::watch::Watcher;
use tests::{repeated, seed};

const SIZE: u64 = 32 * MIB;
/// Of each of four connections.
const RATE: &str = "limit_rate 2m;";

/// What is being made of what, and how.
#[derive(Clone, Copy, Debug)]
struct Case {
    blank: bool,
    block: bool,
    populator: bool,
    /// Its class waits for a consumer, and none comes.
    waits: bool,
}

/// Each way once; the volume's mode is drawn.
const CASES: [(bool, bool, bool); 6] = [
    (false, true, false),
    (false, false, false),
    (true, true, false),
    (true, false, false),
    (false, true, true),
    (false, false, true),
];

impl Case {
    fn draw((blank, populator, waits): (bool, bool, bool), noise: &mut Noise) -> Self {
        Self { blank, block: noise.below(2) == 0, populator, waits }
    }

    fn data_volume(self, name: &str, bed: &Bed) -> DataVolume {
        let filled = if self.blank { DataVolume::blank(name) } else { DataVolume::http(name, &bed.url_for(name)) };
        let class = if self.waits { "gantry" } else { "gantry-immediate" };
        filled.populator(self.populator).block(self.block).class(class).size("48Mi")
    }

    fn moment(self, noise: &mut Noise) -> Moment {
        if self.waits { Moment::draw_at_beginning(noise) } else { Moment::draw(noise) }
    }
}

/// Starts a DataVolume in a namespace, and returns when its moment has come.
fn begin(bed: &Bed, namespace: &Namespace, watcher: &Watcher, case: Case, name: &str, moment: Moment) -> Result<()> {
    case.data_volume(name, bed).apply(namespace)?;
    let is_fetched = || Ok(case.blank || bed.served(name)? >= SIZE);
    moment.wait(watcher, name, is_fetched).with_context(|| format!("{name}: {case:?}, {moment}"))?;
    let phase = watcher.progress(name).pop().unwrap_or_default().0;
    println!("{name}: {case:?}, {moment}, in {phase:?}");
    Ok(())
}

/// DataVolumes of all cases side by side, some in a namespace that goes with them; then only the other namespace is left.
fn round(bed: &Bed, seed: u64) -> Result<()> {
    println!("GANTRY_SEED={seed}");
    let namespace = Namespace::new(&bed.cluster, "deleted")?;
    let before = bed.cluster.inventory()?;
    thread::scope(|scope| {
        let whole = scope.spawn(|| delete_namespace(bed, seed));
        delete_each(bed, &namespace, seed)?;
        whole.join().expect("a test thread does not panic")
    })?;
    bed.cluster.is_again(&before)
}

/// Each deleted at a moment of its own.
fn delete_each(bed: &Bed, namespace: &Namespace, seed: u64) -> Result<()> {
    let watcher = Watcher::start(&bed.cluster, namespace.name(), |_| Ok(()));
    let mut noise = Noise::new(seed);
    let drawn = CASES.map(|case| Case::draw(case, &mut noise)).map(|case| (case, case.moment(&mut noise)));
    thread::scope(|scope| {
        let begun = drawn.iter().enumerate().map(|(number, &(case, moment))| {
            let (watcher, name) = (&watcher, format!("deleted-{number}-{seed}"));
            scope.spawn(move || {
                begin(bed, namespace, watcher, case, &name, moment)?;
                namespace.ask(&["delete", "datavolume", &name, "--wait=false"]).map(drop)
            })
        });
        let begun: Vec<_> = begun.collect();
        begun.into_iter().try_for_each(|thread| thread.join().expect("a test thread does not panic"))
    })
}

/// All deleted with their namespace, at the moment of the first.
fn delete_namespace(bed: &Bed, seed: u64) -> Result<()> {
    let namespace = Namespace::new(&bed.cluster, "deleted-too")?;
    let watcher = Watcher::start(&bed.cluster, namespace.name(), |_| Ok(()));
    // Another sequence than the others'.
    let mut noise = Noise::new(!seed);
    let drawn = CASES.map(|case| Case::draw(case, &mut noise));
    let name = |number: usize| format!("gone-{number}-{seed}");
    for (number, case) in drawn.iter().enumerate().skip(1) {
        case.data_volume(&name(number), bed).apply(&namespace)?;
    }
    begin(bed, &namespace, &watcher, drawn[0], &name(0), Moment::draw(&mut noise))?;
    bed.cluster.ask(&["delete", "namespace", namespace.name()]).map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn data_volumes_and_namespaces_that_are_deleted_at_any_moment_leave_nothing() -> Result<()> {
    let (bed, first) = (Bed::new(SIZE, RATE)?, seed());
    for seed in first..first + repeated(1) {
        round(&bed, seed).with_context(|| format!("GANTRY_SEED={seed}"))?;
    }
    Ok(())
}
