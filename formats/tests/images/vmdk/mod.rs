//! VMDK as qemu writes it, and as VMware does, which a byte writer of the test's own stands for: qemu reads footers and
//! tables behind the grains, but never writes them.

mod flow;
mod histories;
mod hostile;
mod layouts;
mod mutated;
mod oracle;
mod reader;
mod written;
