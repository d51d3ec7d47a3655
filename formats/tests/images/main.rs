//! Images made by the real qemu-img and qemu-io, and by a byte writer of the test's own, are read as qemu reads them;
//! hostile ones are refused at a bounded cost.

mod features;
mod flow;
mod hostile;
mod layouts;
mod reader;
mod sequences;
mod tool;
mod vmdk;
mod writer;
