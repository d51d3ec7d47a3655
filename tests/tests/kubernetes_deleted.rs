//! DataVolumes that are deleted at a random moment, by themselves or with their namespace: nothing of them is left, neither
//! objects nor mounts nor files: `cargo xtask kubernetes test`, many more moments in `cargo xtask soak kubernetes`.

use std::thread;

use anyhow::{Context, Result};
use fixtures::images::noise::Noise;
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::{Nginx, Settings};
use tests::moment::Moment;
use tests::objects::{Namespace, filled};
use tests::watch::Watcher;
use tests::{repeated, seed};

const SIZE: u64 = 32 * MIB;
/// Of each of four connections.
const RATE: &str = "limit_rate 2m;";

const MANIFEST: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $name, annotations: {cdi.kubevirt.io/storage.usePopulator: '$populator'}}
spec:
  source: {$source}
  pvc: {accessModes: [ReadWriteOnce], volumeMode: $mode, storageClassName: $class, resources: {requests: {storage: 48Mi}}}
";

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

    fn manifest(self, name: &str, url: &str) -> String {
        filled(
            MANIFEST,
            &[
                ("$name", name),
                ("$populator", &self.populator.to_string()),
                ("$source", &if self.blank { "blank: {}".to_owned() } else { format!("http: {{url: '{url}'}}") }),
                ("$mode", if self.block { "Block" } else { "Filesystem" }),
                ("$class", if self.waits { "gantry" } else { "gantry-immediate" }),
            ],
        )
    }

    fn moment(self, noise: &mut Noise) -> Moment {
        if self.waits { Moment::draw_at_beginning(noise) } else { Moment::draw(noise) }
    }
}

/// A slow server.
struct Bed {
    cluster: Cluster,
    server: Nginx,
}

impl Bed {
    /// Starts a DataVolume in a namespace, and returns when its moment has come.
    fn begin(&self, namespace: &Namespace, watcher: &Watcher, case: Case, name: &str, moment: Moment) -> Result<()> {
        let url = format!("{}?{name}", self.server.url("disk.raw"));
        namespace.apply(&case.manifest(name, &url))?;
        let is_fetched = || Ok(case.blank || self.served(name)? >= SIZE);
        moment.wait(watcher, name, is_fetched).with_context(|| format!("{name}: {case:?}, {moment}"))?;
        let phase = watcher.progress(name).pop().unwrap_or_default().0;
        println!("{name}: {case:?}, {moment}, in {phase:?}");
        Ok(())
    }

    /// Bytes that the server sent to the import of this name.
    fn served(&self, name: &str) -> Result<u64> {
        let query = format!("?{name}");
        let requests = self.server.requests()?;
        Ok(requests.iter().filter(|request| request.path.ends_with(&query)).map(|request| request.body).sum())
    }

    /// DataVolumes of all cases side by side, some in a namespace that goes with them; then only the other namespace is left.
    fn round(&self, seed: u64) -> Result<()> {
        println!("GANTRY_SEED={seed}");
        let namespace = Namespace::new(&self.cluster, "deleted", "")?;
        let before = self.cluster.inventory()?;
        thread::scope(|scope| {
            let whole = scope.spawn(|| self.delete_namespace(seed));
            self.delete_each(&namespace, seed)?;
            whole.join().expect("a test thread does not panic")
        })?;
        self.cluster.is_again(&before)
    }

    /// Each deleted at a moment of its own.
    fn delete_each(&self, namespace: &Namespace, seed: u64) -> Result<()> {
        let watcher = Watcher::start(&self.cluster, namespace.name(), |_| Ok(()));
        let mut noise = Noise::new(seed);
        let drawn = CASES.map(|case| Case::draw(case, &mut noise)).map(|case| (case, case.moment(&mut noise)));
        thread::scope(|scope| {
            let begun = drawn.iter().enumerate().map(|(number, &(case, moment))| {
                let (watcher, name) = (&watcher, format!("deleted-{number}-{seed}"));
                scope.spawn(move || {
                    self.begin(namespace, watcher, case, &name, moment)?;
                    namespace.ask(&["delete", "datavolume", &name, "--wait=false"]).map(drop)
                })
            });
            let begun: Vec<_> = begun.collect();
            begun.into_iter().try_for_each(|thread| thread.join().expect("a test thread does not panic"))
        })
    }

    /// All deleted with their namespace, at the moment of the first.
    fn delete_namespace(&self, seed: u64) -> Result<()> {
        let namespace = Namespace::new(&self.cluster, "deleted-too", "")?;
        let watcher = Watcher::start(&self.cluster, namespace.name(), |_| Ok(()));
        // Another sequence than the others'.
        let mut noise = Noise::new(!seed);
        let drawn = CASES.map(|case| Case::draw(case, &mut noise));
        let name = |number: usize| format!("gone-{number}-{seed}");
        for (number, case) in drawn.iter().enumerate().skip(1) {
            let url = format!("{}?{}", self.server.url("disk.raw"), name(number));
            namespace.apply(&case.manifest(&name(number), &url))?;
        }
        self.begin(&namespace, &watcher, drawn[0], &name(0), Moment::draw(&mut noise))?;
        self.cluster.ask(&["delete", "namespace", namespace.name()]).map(drop)
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn data_volumes_and_namespaces_that_are_deleted_at_any_moment_leave_nothing() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    raw::dense(&folder.path().join("disk.raw"), SIZE, 1)?;
    let server = Settings::new(folder.path()).address(ADDRESS).directive(RATE).start()?;
    let (bed, first) = (Bed { cluster, server }, seed());
    for seed in first..first + repeated(1) {
        bed.round(seed).with_context(|| format!("GANTRY_SEED={seed}"))?;
    }
    Ok(())
}
