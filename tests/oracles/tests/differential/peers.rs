//! Libraries by other authors as readers: qcow2-rs, imago, vmdk-core, vhdx-core.

use std::cell::Cell;
use std::future::Future;
use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use formats::probe::Format;
use imago::file::File;
use imago::qcow2::Qcow2;
use imago::{FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate};
use qcow2_rs::dev::{Qcow2Dev, Qcow2DevParams};
use qcow2_rs::helpers::Qcow2IoBuf;
use qcow2_rs::utils::qcow2_setup_dev_sync;

use crate::LARGEST;

/// What one library sees.
pub(crate) struct Opinion {
    pub(crate) library: &'static str,
    pub(crate) disk: Result<Vec<u8>, String>,
}

thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the panics of the libraries off the terminal.
pub(crate) fn silence() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !ASKING.get() {
            hook(info);
        }
    }));
}

/// The libraries that know the format. qcow2-rs, which loops on some damage, is asked only about images that are `intact`.
pub(crate) fn opinions(format: Format, path: &Path, file: &[u8], intact: bool) -> Vec<Opinion> {
    match format {
        Format::Qcow2 => {
            let mut opinions = vec![ask("imago", || imago(path))];
            // Its table slices are larger than clusters below 4 KiB, which ends in an overflow.
            if intact && file[23] >= 12 {
                opinions.push(ask("qcow2-rs", || qcow2_rs(path)));
            }
            opinions
        }
        Format::Vmdk => vec![ask("vmdk-core", || {
            let mut reader = vmdk::VmdkReader::open(Cursor::new(file)).map_err(|error| error.to_string())?;
            let size = reader.virtual_disk_size();
            bounded(&mut reader, size)
        })],
        Format::Vhdx => vec![ask("vhdx-core", || {
            let mut reader = vhdx::VhdxReader::from_bytes(file.to_vec()).map_err(|error| error.to_string())?;
            let size = reader.virtual_disk_size();
            bounded(&mut reader, size)
        })],
        _ => Vec::new(),
    }
}

fn ask(library: &'static str, read: impl FnOnce() -> Result<Vec<u8>, String>) -> Opinion {
    ASKING.set(true);
    let disk = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("panicked".to_owned()));
    ASKING.set(false);
    Opinion { library, disk }
}

fn bounded(reader: &mut impl Read, size: u64) -> Result<Vec<u8>, String> {
    if size > LARGEST {
        return Err("larger than the test holds".to_owned());
    }
    let mut disk = Vec::new();
    reader.take(size).read_to_end(&mut disk).map_err(|error| error.to_string())?;
    Ok(disk)
}

/// Both qcow2 libraries are asynchronous and not `Send`: one thread, one image.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made").block_on(future)
}

fn imago(path: &Path) -> Result<Vec<u8>, String> {
    wait(async {
        let image = Qcow2::<File>::builder_path(path)
            .open(PermissiveImplicitOpenGate::default())
            .await
            .map_err(|error| error.to_string())?;
        let image = FormatAccess::new(image);
        if image.size() > LARGEST {
            return Err("larger than the test holds".to_owned());
        }
        let mut disk = vec![0; image.size() as usize];
        image.read(&mut disk[..], 0).await.map_err(|error| error.to_string())?;
        Ok(disk)
    })
}

fn qcow2_rs(path: &Path) -> Result<Vec<u8>, String> {
    const BLOCK: usize = 1 << 16;
    wait(async {
        let parameters = Qcow2DevParams::new(9, None, None, true, false);
        let device: Qcow2Dev<_> = qcow2_setup_dev_sync(path, &parameters).map_err(|error| error.to_string())?;
        device.qcow2_prep_io().await.map_err(|error| error.to_string())?;
        let size = device.info.virtual_size();
        let mut disk = Vec::new();
        // It reads into aligned buffers only.
        let mut buffer = Qcow2IoBuf::<u8>::new(BLOCK);
        while (disk.len() as u64) < size {
            let length = BLOCK.min((size - disk.len() as u64) as usize);
            let read = device.read_at(&mut buffer[..length], disk.len() as u64).await;
            let read = read.map_err(|error| error.to_string())?;
            if read != length {
                return Err(format!("{read} of {length} bytes were read"));
            }
            disk.extend(&buffer[..length]);
        }
        Ok(disk)
    })
}
