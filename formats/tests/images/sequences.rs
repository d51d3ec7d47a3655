//! Random histories of an image (writes, zeros, discards, encoded writes, snapshots, resizes) made by qemu's tools.

use proptest::prelude::*;

use crate::layouts::cases;
use crate::reader::{check, check_places};
use crate::tool::{Bench, img, io, map};

const MAX_SIZE: u64 = 4 << 20;

/// One step; offsets and lengths are parts of 65536 of the disk as it is then.
#[derive(Clone, Debug)]
enum Step {
    Write { byte: u8, at: u16, len: u16 },
    Encoded { byte: u8, at: u16 },
    Zero { at: u16, len: u16, unmap: bool },
    Discard { at: u16, len: u16 },
    Snapshot,
    Resize(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..=255_u8, any::<u16>(), 0..12000_u16).prop_map(|(byte, at, len)| Step::Write { byte, at, len }),
        2 => (1..=255_u8, any::<u16>()).prop_map(|(byte, at)| Step::Encoded { byte, at }),
        3 => (any::<u16>(), 0..12000_u16, any::<bool>()).prop_map(|(at, len, unmap)| Step::Zero { at, len, unmap }),
        3 => (any::<u16>(), 0..20000_u16).prop_map(|(at, len)| Step::Discard { at, len }),
        1 => Just(Step::Snapshot),
        1 => any::<u16>().prop_map(Step::Resize),
    ]
}

fn options() -> impl Strategy<Value = (u32, String)> {
    let plain = (9..=21_u32, prop_oneof![Just("compat=0.10"), Just("compat=1.1"), Just("compression_type=zstd")]);
    let extended = (14..=21_u32, prop_oneof![Just("extended_l2=on"), Just("extended_l2=on,lazy_refcounts=on")]);
    prop_oneof![plain, extended].prop_map(|(bits, rest)| (bits, format!("cluster_size={},{rest}", 1_u64 << bits)))
}

struct History<'a> {
    bench: &'a Bench,
    image: std::path::PathBuf,
    cluster: u64,
    size: u64,
    snapshots: u32,
    pending: Vec<String>,
}

impl History<'_> {
    fn take(&mut self, step: &Step) {
        let (size, cluster) = (self.size, self.cluster);
        let offset = |part: u16| size * u64::from(part) / 65536;
        let length = |at: u64, part: u16| offset(part).max(1).min(size - at);
        match *step {
            Step::Write { byte, at, len } => {
                let at = offset(at);
                self.pending.push(format!("write -P {byte} {at} {}", length(at, len)));
            }
            // qemu encodes whole clusters, or the rest of the disk, and only where nothing is allocated. One a process:
            // qemu 7.2 goes on filling a cluster that was freed in between, and corrupts the image.
            Step::Encoded { byte, at } => {
                let at = offset(at) / cluster * cluster;
                let len = cluster.min(size - at);
                self.flush();
                self.pending.push(format!("discard {at} {len}"));
                self.pending.push(format!("write -c -P {byte} {at} {len}"));
                self.flush();
            }
            Step::Zero { at, len, unmap } => {
                let at = offset(at);
                let flag = if unmap { " -u" } else { "" };
                self.pending.push(format!("write -z{flag} {at} {}", length(at, len)));
            }
            Step::Discard { at, len } => {
                let at = offset(at);
                self.pending.push(format!("discard {at} {}", length(at, len)));
            }
            Step::Snapshot => {
                self.flush();
                img(&["snapshot", "-c", &format!("s{}", self.snapshots)], &self.image, &[]);
                self.snapshots += 1;
            }
            Step::Resize(part) => self.resize(part),
        }
    }

    fn resize(&mut self, part: u16) {
        let size = (MAX_SIZE * u64::from(part) / 65536).next_multiple_of(512).max(512);
        // Version 2 and images with snapshots of another size cannot always be resized; growing and shrinking alike
        // are tried only where qemu allows them.
        if self.snapshots > 0 {
            return;
        }
        self.flush();
        img(&["resize", "-q", "-f", "qcow2", "--shrink"], &self.image, &[&size.to_string()]);
        self.size = size;
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            io(&self.image, &std::mem::take(&mut self.pending));
        }
    }

    fn check(&self, seed: u64) {
        let file = std::fs::read(&self.image).expect("the image can be read");
        check_places(&file, &map(&self.image));
        check(&file, &self.bench.read(&self.image), seed);
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn any_history_is_read_as_qemu_reads_it(
        (bits, options) in options(),
        sectors in 1..=MAX_SIZE / 512,
        steps in prop::collection::vec(step(), 1..24),
        seed in any::<u64>(),
    ) {
        let (bench, size) = (Bench::new(), sectors * 512);
        let image = bench.create("image", &options, size);
        let mut history =
            History { bench: &bench, image, cluster: 1 << bits, size, snapshots: 0, pending: Vec::new() };
        for step in &steps {
            history.take(step);
        }
        history.flush();
        history.check(seed);
    }
}
