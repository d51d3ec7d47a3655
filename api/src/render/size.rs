//! Sizes: room for the file system that the volume gets, and the least size that a class can make.

use crate::annotation;
use crate::cdi::CdiConfigStatus;
use contract::quantity;
use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::modes::profile_of;
use super::{Cluster, FILESYSTEM, Purpose, Refusal};

const MIB: u128 = 1 << 20;
/// Overheads are kept in billionths: CDI writes at most three decimals.
const ONE: u128 = 1_000_000_000;
/// The share of a volume that its file system needs, if nothing else is configured.
const DEFAULT_OVERHEAD: &str = "0.06";

/// The share of a volume that its file system needs, between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overhead(u128);

impl Overhead {
    /// Reads a decimal number such as `0.06`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{decimals:0<9}");
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(&digits) || digits.len() > 9 {
            return None;
        }
        let billionths = whole.parse::<u128>().ok()?.checked_mul(ONE)? + digits.parse::<u128>().ok()?;
        (billionths <= ONE).then_some(Self(billionths))
    }

    /// What volumes of that class and mode need. A raw device has no file system, and without a class nothing is known.
    ///
    /// # Errors
    /// What the configuration says is no such number.
    pub fn of(
        class: Option<&str>,
        volume_mode: Option<&str>,
        config: Option<&CdiConfigStatus>,
    ) -> Result<Self, Refusal> {
        let Some(class) = class.filter(|class| !class.is_empty()) else { return Ok(Self::default()) };
        if volume_mode.unwrap_or(FILESYSTEM) != FILESYSTEM {
            return Ok(Self::default());
        }
        let configured = config.and_then(|config| config.filesystem_overhead.as_ref());
        let of_class = configured.and_then(|overhead| overhead.storage_class.get(class));
        let text = of_class.or_else(|| configured.and_then(|overhead| overhead.global.as_ref()));
        let text = text.map(String::as_str).filter(|text| !text.is_empty()).unwrap_or(DEFAULT_OVERHEAD);
        Self::read(text).ok_or_else(|| Refusal::Overhead { text: text.to_owned() })
    }

    /// Bytes that a volume needs for a disk of `size` bytes: `ceil(size rounded up to 1 MiB * (1 + overhead))`.
    #[must_use]
    pub fn required(self, size: u64) -> u64 {
        let rounded = u128::from(size).next_multiple_of(MIB);
        u64::try_from((rounded * (ONE + self.0)).div_ceil(ONE)).unwrap_or(u64::MAX)
    }

    /// Bytes that a disk may have on a volume of `available` bytes: `floor to 1 MiB(ceil(available / (1 + overhead)))`.
    #[must_use]
    pub fn usable(self, available: u64) -> u64 {
        let usable = (u128::from(available) * ONE).div_ceil(ONE + self.0);
        u64::try_from(usable / MIB * MIB).unwrap_or(u64::MAX)
    }
}

/// Bytes of a quantity; `what` says in the refusal where it stands.
///
/// # Errors
/// It is none, or negative.
pub fn bytes_of(quantity: &Quantity, what: &str) -> Result<u64, Refusal> {
    let unsigned = quantity.0.strip_prefix('+').unwrap_or(&quantity.0);
    quantity::parse(unsigned).map_err(|_| Refusal::Size { what: what.to_owned(), text: quantity.0.clone() })
}

/// Makes room in the requested size for the file system, and asks for no less than the class can make.
pub(super) fn fill(
    claim: &mut PersistentVolumeClaimSpec,
    purpose: Purpose,
    cluster: &Cluster<'_>,
) -> Result<(), Refusal> {
    let class = claim.storage_class_name.clone();
    let overhead = Overhead::of(class.as_deref(), claim.volume_mode.as_deref(), cluster.config)?;
    let is_block = claim.volume_mode.as_deref().unwrap_or(FILESYSTEM) != FILESYSTEM;
    let requests = claim.resources.as_mut().and_then(|resources| resources.requests.as_mut());
    let Some(requested) = requests.and_then(|requests| requests.get_mut("storage")) else {
        return if purpose.clone { Ok(()) } else { Err(Refusal::NoSize) };
    };
    let asked = bytes_of(requested, "resources.requests.storage")?;
    let needed = if is_block { asked } else { overhead.required(asked) };
    let needed = needed.max(least(class.as_deref(), cluster)?);
    // A size that is enough keeps its spelling: 10Gi says more than 10737418240.
    if needed != asked {
        *requested = Quantity(needed.to_string());
    }
    Ok(())
}

/// The least size that volumes of the class have.
fn least(class: Option<&str>, cluster: &Cluster<'_>) -> Result<u64, Refusal> {
    let profile = class.and_then(|class| profile_of(class, cluster));
    let annotations = profile.and_then(|profile| profile.metadata.annotations.as_ref());
    let Some(text) = annotations.and_then(|all| all.get(annotation::MINIMUM_SUPPORTED_PVC_SIZE)) else { return Ok(0) };
    let what = format!(
        "annotation {} of StorageProfile {}",
        annotation::MINIMUM_SUPPORTED_PVC_SIZE,
        class.unwrap_or_default()
    );
    bytes_of(&Quantity(text.clone()), &what)
}
