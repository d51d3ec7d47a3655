//! Thousands of images of each format, intact and damaged, are read by Gantry, by qemu-img and by libraries of other authors.
//!
//! ```text
//! seed --bases--> intact image --mutate--> damaged ones --+-- map, forward decoder --+
//!                                                         +-- qemu-img --------------+--> verdict --> tally by class
//!                                                         \-- other libraries -------+
//! ```
//!
//! Every image is read by both sides as the same bytes, refused by both, or the disagreement has one of the names in
//! [`classes`], which docs/formats.md explains; anything else fails, and leaves the image behind. `cargo xtask soak
//! differential` sets how many, and the seed.

mod bases;
mod chance;
mod classes;
mod mutate;
mod ours;
mod peers;
mod qemu;
mod run;
mod tally;

#[expect(dead_code, reason = "the suite of the crate itself uses the rest")]
#[path = "../../../../formats/tests/images/vhdx/patch.rs"]
mod patch;
#[expect(dead_code, reason = "the suite of the crate itself uses the rest")]
#[path = "../../../../formats/tests/images/tool.rs"]
mod tool;
#[expect(dead_code, reason = "the suite of the crate itself uses the rest")]
#[path = "../../../../formats/tests/images/vmdk/written.rs"]
mod written;

use formats::probe::Format;

/// Largest disk in bytes that is read as a whole; of larger ones the size is compared.
const LARGEST: u64 = 16 << 20;

macro_rules! formats {
    ($($name:ident: $format:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            run::images_of(Format::$format);
        }
    )+};
}

formats! {
    qcow2_images_are_the_same_disk_to_all_or_the_difference_has_a_name: Qcow2,
    vmdk_images_are_the_same_disk_to_all_or_the_difference_has_a_name: Vmdk,
    vdi_images_are_the_same_disk_to_all_or_the_difference_has_a_name: Vdi,
    vhd_images_are_the_same_disk_to_all_or_the_difference_has_a_name: Vhd,
    vhdx_images_are_the_same_disk_to_all_or_the_difference_has_a_name: Vhdx,
    qed_images_are_the_same_disk_to_all_or_the_difference_has_a_name: Qed,
    raw_disks_are_the_same_disk_to_all_or_the_difference_has_a_name: Raw,
}
