//! Images made by the real qemu-img and qemu-io, and by a byte writer of the test's own, are read as qemu reads them;
//! hostile ones are refused at a bounded cost.

mod features;
mod flow;
mod hostile;
mod layouts;
mod opened;
mod plain;
mod qed;
mod reader;
mod sequences;
mod tool;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;
mod writer;
