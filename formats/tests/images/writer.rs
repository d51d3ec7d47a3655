//! A byte writer for qcow2 images with any layout, which shares nothing with the code under test.
//!
//! Encoded clusters are written by hand: deflate as stored blocks, zstd as blocks that repeat one byte.

use std::collections::BTreeMap;

/// What a guest cluster is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Absent,
    /// The zero flag (every subcluster's, where there are such).
    Zero,
    /// The zero flag on a cluster that is allocated.
    ZeroAllocated,
    Data(u8),
    Encoded(u8),
    /// Allocated subclusters, and those of the others that are marked as zero.
    Parts {
        byte: u8,
        data: u32,
        zero: u32,
    },
}

/// Something that takes room in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Object {
    L1,
    /// The L2 table of an L1 entry.
    L2(usize),
    /// The bytes of a guest cluster.
    Cluster(usize),
    /// Clusters that nothing points at, full of noise.
    Waste(usize),
}

/// An image to be written.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) version: u32,
    pub(crate) cluster_bits: u32,
    pub(crate) extended: bool,
    pub(crate) zstd: bool,
    pub(crate) size: u64,
    pub(crate) clusters: Vec<Content>,
    /// Objects in the order of the file; what is needed and not listed follows.
    pub(crate) order: Vec<Object>,
}

/// A written image and where its objects are.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) file: Vec<u8>,
    pub(crate) places: BTreeMap<Object, u64>,
}

impl Layout {
    /// Version 3, `clusters` of 2^`cluster_bits` bytes, tables in front.
    pub(crate) fn new(cluster_bits: u32, clusters: Vec<Content>) -> Self {
        let size = (clusters.len() as u64) << cluster_bits;
        Self { version: 3, cluster_bits, extended: false, zstd: false, size, clusters, order: Vec::new() }
    }

    pub(crate) fn cluster(&self) -> usize {
        1 << self.cluster_bits
    }

    fn entry_size(&self) -> usize {
        if self.extended { 16 } else { 8 }
    }

    pub(crate) fn entries(&self) -> usize {
        self.cluster() / self.entry_size()
    }

    fn tables(&self) -> usize {
        self.clusters.len().div_ceil(self.entries())
    }

    /// The disk as a guest must see it.
    pub(crate) fn disk(&self) -> Vec<u8> {
        let mut disk = Vec::new();
        for content in &self.clusters {
            let part = self.cluster() / 32;
            disk.extend((0..self.cluster()).map(|at| match *content {
                Content::Data(byte) | Content::Encoded(byte) => byte,
                Content::Parts { byte, data, .. } if data >> (at / part) & 1 == 1 => byte,
                _ => 0,
            }));
        }
        disk.truncate(self.size as usize);
        disk
    }

    fn needed(&self) -> Vec<Object> {
        let mut needed = vec![Object::L1];
        for (table, clusters) in self.clusters.chunks(self.entries()).enumerate() {
            if clusters.iter().any(|content| *content != Content::Absent) {
                needed.push(Object::L2(table));
            }
        }
        let takes_room = |content: &Content| !matches!(content, Content::Absent | Content::Zero);
        needed.extend((0..self.clusters.len()).filter(|&at| takes_room(&self.clusters[at])).map(Object::Cluster));
        needed
    }

    /// Writes the image: header, an empty refcount table, then the objects in order.
    pub(crate) fn write(&self) -> Image {
        let needed = self.needed();
        let kept = |object: &&Object| needed.contains(object) || matches!(object, Object::Waste(_));
        let mut order: Vec<Object> = self.order.iter().filter(kept).copied().collect();
        order.extend(needed.iter().filter(|object| !self.order.contains(object)));
        let mut image = Image { file: vec![0; 2 * self.cluster()], places: BTreeMap::new() };
        for object in order {
            let content = match object {
                Object::L1 => vec![0; (self.tables() * 8).next_multiple_of(self.cluster())],
                Object::L2(_) => vec![0; self.cluster()],
                Object::Waste(clusters) => vec![0xee; clusters * self.cluster()],
                Object::Cluster(at) => self.bytes(self.clusters[at]),
            };
            image.append(object, &content, self.cluster());
        }
        image.file.resize(image.file.len().next_multiple_of(512), 0);
        self.link(&mut image);
        self.write_header(&mut image);
        image
    }

    fn bytes(&self, content: Content) -> Vec<u8> {
        match content {
            Content::Encoded(byte) if self.zstd => zstd(byte, self.cluster()),
            Content::Encoded(byte) => stored(byte, self.cluster()),
            Content::Data(byte) | Content::Parts { byte, .. } => vec![byte; self.cluster()],
            _ => vec![0xdd; self.cluster()],
        }
    }

    fn link(&self, image: &mut Image) {
        for table in 0..self.tables() {
            let Some(&l2) = image.places.get(&Object::L2(table)) else { continue };
            let l1 = image.places[&Object::L1];
            image.put64(l1 + table as u64 * 8, l2 | 1 << 63);
        }
        for (at, &content) in self.clusters.iter().enumerate() {
            let Some(&l2) = image.places.get(&Object::L2(at / self.entries())) else { continue };
            let host = image.places.get(&Object::Cluster(at)).copied().unwrap_or(0);
            let entry = l2 + (at % self.entries() * self.entry_size()) as u64;
            let (descriptor, bitmap) = self.descriptor(content, host);
            image.put64(entry, descriptor);
            if self.extended {
                image.put64(entry + 8, bitmap);
            }
        }
    }

    fn descriptor(&self, content: Content, host: u64) -> (u64, u64) {
        let flag = u64::from(!self.extended);
        match content {
            Content::Absent => (0, 0),
            Content::Zero | Content::ZeroAllocated => (host | flag, 0xffff_ffff << 32),
            Content::Data(_) => (host | 1 << 63, 0xffff_ffff),
            Content::Parts { data, zero, .. } => (host | 1 << 63, u64::from(zero & !data) << 32 | u64::from(data)),
            Content::Encoded(_) => {
                let len = self.bytes(content).len() as u64;
                let further = (host + len - 1) / 512 - host / 512;
                (1 << 62 | further << (70 - self.cluster_bits) | host, 0)
            }
        }
    }

    fn write_header(&self, image: &mut Image) {
        image.file[..4].copy_from_slice(b"QFI\xfb");
        image.put32(4, self.version);
        image.put32(20, self.cluster_bits);
        image.put64(24, self.size);
        image.put32(36, self.tables() as u32);
        image.put64(40, image.places[&Object::L1]);
        image.put64(48, self.cluster() as u64);
        image.put32(56, 1);
        if self.version == 3 {
            image.put64(72, u64::from(self.zstd) << 3 | u64::from(self.extended) << 4);
            image.put32(96, 4);
            image.put32(100, 112);
            image.file[104] = u8::from(self.zstd);
        }
    }
}

impl Image {
    /// Encoded clusters follow each other byte by byte as in qemu's images, everything else begins at a cluster.
    fn append(&mut self, object: Object, content: &[u8], cluster: usize) {
        if content.len().is_multiple_of(cluster) {
            self.file.resize(self.file.len().next_multiple_of(cluster), 0);
        }
        self.places.insert(object, self.file.len() as u64);
        self.file.extend(content);
    }

    pub(crate) fn put32(&mut self, at: u64, value: u32) {
        self.file[at as usize..][..4].copy_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn put64(&mut self, at: u64, value: u64) {
        self.file[at as usize..][..8].copy_from_slice(&value.to_be_bytes());
    }
}

/// RFC 1951 §3.2.4: blocks of at most 65535 bytes as they are.
fn stored(byte: u8, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut left = len;
    while left > 0 {
        let block = left.min(65535);
        left -= block;
        out.push(u8::from(left == 0));
        out.extend((block as u16).to_le_bytes());
        out.extend((!(block as u16)).to_le_bytes());
        out.resize(out.len() + block, byte);
    }
    out
}

/// RFC 8878 §3.1.1: one segment with its size, blocks of type "repeated byte".
fn zstd(byte: u8, len: usize) -> Vec<u8> {
    let mut out = b"\x28\xb5\x2f\xfd\xa0".to_vec();
    out.extend((len as u32).to_le_bytes());
    let mut left = len;
    while left > 0 {
        let block = left.min(128 * 1024);
        left -= block;
        let head = (block as u32) << 3 | 1 << 1 | u32::from(left == 0);
        out.extend(&head.to_le_bytes()[..3]);
        out.push(byte);
    }
    out
}
