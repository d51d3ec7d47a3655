//! Writes images byte by byte, in the layouts of qemu and of VMware. It knows nothing of the code under test.

use std::collections::HashMap;

const SECTOR: usize = 512;
const DESCRIPTOR: usize = 20 * SECTOR;

/// What a grain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Absent,
    /// The table entry 1.
    Zero,
    Data(u8),
}

/// Order and encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Plain grains behind their tables.
    Sparse,
    /// Compressed grains behind their tables, as qemu writes them.
    Front,
    /// Compressed grains, each table behind its own, then directory and footer, as VMware writes them.
    Footer,
    /// The same with all tables behind all grains.
    Late,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Sparse, Self::Front, Self::Footer, Self::Late];

    pub(crate) fn is_compressed(self) -> bool {
        self != Self::Sparse
    }

    pub(crate) fn has_footer(self) -> bool {
        matches!(self, Self::Footer | Self::Late)
    }
}

/// Parts of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    Directory,
    Table(usize),
    /// A grain, or its marker.
    Grain(usize),
    /// The marker in front of the directory, and those of the ending.
    DirectoryMarker,
    FooterMarker,
    Footer,
    End,
}

/// An image to be.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) shape: Shape,
    /// Sectors of the disk.
    pub(crate) sectors: usize,
    /// Sectors of a grain.
    pub(crate) grain: usize,
    /// Entries of a table.
    pub(crate) entries: usize,
    pub(crate) grains: Vec<Content>,
    /// The last grain is written whole, as VMware does, where the disk ends inside it.
    pub(crate) whole: bool,
    /// Order of the grains in a plain image; as on the disk if empty.
    pub(crate) order: Vec<usize>,
}

/// An image, and where its parts begin.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) file: Vec<u8>,
    pub(crate) places: HashMap<Object, usize>,
}

impl Image {
    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn put32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    pub(crate) fn put64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    fn place(&mut self, object: Object) -> usize {
        self.file.resize(self.file.len().next_multiple_of(SECTOR), 0);
        self.places.insert(object, self.file.len());
        self.file.len()
    }

    fn marker(&mut self, object: Object, value: usize, kind: u32) {
        let at = self.place(object);
        self.file.resize(at + SECTOR, 0);
        self.put64(at, value as u64);
        self.put32(at + 12, kind);
    }
}

/// The `sectors` of a grain filled from `byte`; each sector begins with its own number.
fn grain_bytes(number: usize, sectors: usize, byte: u8) -> Vec<u8> {
    let mut bytes = vec![byte; sectors * SECTOR];
    for (index, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        sector[..8].copy_from_slice(&(number * 1000 + index).to_le_bytes());
    }
    bytes
}

/// A zlib stream of stored blocks (RFC 1950, RFC 1951 §3.2.4).
pub(crate) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = data.chunks(65_535).peekable();
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in data {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    out.extend((high << 16 | low).to_be_bytes());
    out
}

impl Layout {
    /// Grains of 4 KiB, eight in a table.
    pub(crate) fn new(shape: Shape, grains: Vec<Content>) -> Self {
        let (grain, entries) = (8, 8);
        Self { shape, sectors: grains.len() * grain, grain, entries, grains, whole: false, order: Vec::new() }
    }

    /// So many grains of data.
    pub(crate) fn data(shape: Shape, grains: usize) -> Self {
        Self::new(shape, (0..grains).map(|at| Content::Data((at % 255) as u8 + 1)).collect())
    }

    pub(crate) fn tables(&self) -> usize {
        self.grains.len().div_ceil(self.entries)
    }

    /// Sectors of grain `number` that are on the disk.
    fn sectors_of(&self, number: usize) -> usize {
        self.grain.min(self.sectors - number * self.grain)
    }

    /// The disk that the image stands for.
    pub(crate) fn disk(&self) -> Vec<u8> {
        let of = |(number, content): (usize, &Content)| match content {
            Content::Data(byte) => grain_bytes(number, self.sectors_of(number), *byte),
            Content::Absent | Content::Zero => vec![0; self.sectors_of(number) * SECTOR],
        };
        self.grains.iter().enumerate().flat_map(of).collect()
    }

    pub(crate) fn write(&self) -> Image {
        let mut image = Image { file: vec![0; SECTOR + DESCRIPTOR], places: HashMap::new() };
        let kind = if self.shape.is_compressed() { "streamOptimized" } else { "monolithicSparse" };
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"{kind}\"\n\n\
             RW {} SPARSE \"disk.vmdk\"\n\n#DDB\nddb.adapterType = \"lsilogic\"\n",
            self.sectors
        );
        image.put(SECTOR, text.as_bytes());
        if !self.shape.has_footer() {
            image.place(Object::Directory);
            image.file.resize(image.file.len() + self.tables() * 4, 0);
            (0..self.tables()).for_each(|table| self.write_table(&mut image, table));
        }
        image.file.resize(image.file.len().next_multiple_of(SECTOR), 0);
        let overhead = image.file.len() / SECTOR;
        let order = if self.order.is_empty() { (0..self.grains.len()).collect() } else { self.order.clone() };
        for number in order {
            self.write_grain(&mut image, number);
            let is_last = number + 1 == self.grains.len() || (number + 1) % self.entries == 0;
            if is_last && self.shape == Shape::Footer {
                self.write_table_behind(&mut image, number / self.entries);
            }
        }
        if self.shape == Shape::Late {
            (0..self.tables()).for_each(|table| self.write_table_behind(&mut image, table));
        }
        image.file.resize(image.file.len().next_multiple_of(SECTOR), 0);
        self.finish(&mut image, overhead);
        image
    }

    fn write_table(&self, image: &mut Image, table: usize) {
        let at = image.place(Object::Table(table));
        image.file.resize(at + self.entries * 4, 0);
    }

    /// A table behind its marker; none where nothing is stored.
    fn write_table_behind(&self, image: &mut Image, table: usize) {
        let grains = self.grains.iter().skip(table * self.entries).take(self.entries);
        if grains.clone().all(|grain| *grain == Content::Absent) {
            return;
        }
        image.marker(Object::Table(table), (self.entries * 4).div_ceil(SECTOR), 1);
        self.write_table(image, table);
        image.file.resize(image.file.len().next_multiple_of(SECTOR), 0);
    }

    fn write_grain(&self, image: &mut Image, number: usize) {
        let Content::Data(byte) = self.grains[number] else { return };
        let sectors = if self.whole || !self.shape.is_compressed() { self.grain } else { self.sectors_of(number) };
        let bytes = grain_bytes(number, sectors, byte);
        image.place(Object::Grain(number));
        if self.shape.is_compressed() {
            let stream = zlib(&bytes);
            image.file.extend((number as u64 * self.grain as u64).to_le_bytes());
            image.file.extend((stream.len() as u32).to_le_bytes());
            image.file.extend(stream);
        } else {
            image.file.extend(bytes);
        }
    }

    /// Fills tables, directory, header and footer in.
    fn finish(&self, image: &mut Image, overhead: usize) {
        for (number, content) in self.grains.iter().enumerate() {
            let entry = match content {
                Content::Absent => continue,
                Content::Zero => 1,
                Content::Data(_) => image.places[&Object::Grain(number)] / SECTOR,
            };
            let table = image.places[&Object::Table(number / self.entries)];
            image.put32(table + number % self.entries * 4, entry as u32);
        }
        if self.shape.has_footer() {
            image.marker(Object::DirectoryMarker, (self.tables() * 4).div_ceil(SECTOR), 2);
            let at = image.place(Object::Directory);
            image.file.resize((at + self.tables() * 4).next_multiple_of(SECTOR), 0);
        }
        let directory = image.places[&Object::Directory];
        for table in 0..self.tables() {
            if let Some(host) = image.places.get(&Object::Table(table)).copied() {
                image.put32(directory + table * 4, (host / SECTOR) as u32);
            }
        }
        let header = |directory: u64| self.header(directory, overhead);
        let place = (directory / SECTOR) as u64;
        if self.shape.has_footer() {
            image.marker(Object::FooterMarker, 1, 3);
            image.place(Object::Footer);
            image.file.extend(header(place));
            image.marker(Object::End, 0, 0);
        }
        image.put(0, &header(if self.shape.has_footer() { u64::MAX } else { place }));
    }

    fn header(&self, directory: u64, overhead: usize) -> Vec<u8> {
        let mut sector = vec![0; SECTOR];
        let flags: u32 = if self.shape.is_compressed() { 0x3_0005 } else { 5 };
        let fields: [(usize, &[u8]); 12] = [
            (0, b"KDMV"),
            (4, &3_u32.to_le_bytes()),
            (8, &flags.to_le_bytes()),
            (12, &(self.sectors as u64).to_le_bytes()),
            (20, &(self.grain as u64).to_le_bytes()),
            (28, &1_u64.to_le_bytes()),
            (36, &20_u64.to_le_bytes()),
            (44, &(self.entries as u32).to_le_bytes()),
            (56, &directory.to_le_bytes()),
            (64, &(overhead as u64).to_le_bytes()),
            (73, b"\n \r\n"),
            (77, &u16::from(self.shape.is_compressed()).to_le_bytes()),
        ];
        for (at, bytes) in fields {
            sector[at..at + bytes.len()].copy_from_slice(bytes);
        }
        sector
    }
}
