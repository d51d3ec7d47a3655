//! How much of a volume a disk may use: CDI's arithmetic, in whole numbers.
//!
//! A file system needs room for itself. CDI takes a share of the volume for it, the overhead (0.06 by default), and rounds
//! to whole MiB (`reference: GetUsableSpace, GetRequiredSpace`).

use std::str::FromStr;

use contract::{Code, Failure};

const MIB: u128 = 1 << 20;
/// Overheads are kept in billionths: CDI writes at most three decimals, users perhaps a few more.
const ONE: u128 = 1_000_000_000;

/// A share of a volume between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overhead(u128);

impl Overhead {
    /// Bytes a disk may have on a volume of `available` bytes: `floor to 1 MiB(ceil(available / (1 + overhead)))`.
    #[must_use]
    pub fn usable(self, available: u64) -> u64 {
        let usable = (u128::from(available) * ONE).div_ceil(ONE + self.0);
        (usable / MIB * MIB) as u64
    }

    /// Bytes a volume needs for a disk of `size` bytes: `ceil(size rounded up to 1 MiB * (1 + overhead))`.
    #[must_use]
    pub fn required(self, size: u64) -> u64 {
        let rounded = u128::from(size).next_multiple_of(MIB);
        u64::try_from((rounded * (ONE + self.0)).div_ceil(ONE)).unwrap_or(u64::MAX)
    }
}

impl FromStr for Overhead {
    type Err = Failure;

    /// Reads a decimal number such as `0.06`, as CDIConfig has it.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let refused = || Failure::new(Code::Usage, format!("the overhead {text:?} is not a number between 0 and 1"));
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{decimals:0<9}");
        let is_number = [whole, &digits].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_number || whole.is_empty() || digits.len() > 9 {
            return Err(refused());
        }
        let whole: u128 = whole.parse().map_err(|_| refused())?;
        let decimals: u128 = digits.parse().map_err(|_| refused())?;
        if whole > 1 || whole * ONE + decimals > ONE {
            return Err(refused());
        }
        Ok(Self(whole * ONE + decimals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_and_required_space_are_as_cdi_computes_them() {
        let overhead: Overhead = "0.06".parse().unwrap();
        assert_eq!(overhead.usable(1 << 30), 966 << 20);
        assert_eq!(overhead.required(1 << 30), 1_138_166_334);
        let none: Overhead = "0".parse().unwrap();
        assert_eq!((none.usable((10 << 20) + 5), none.required(5)), (10 << 20, 1 << 20));
    }

    #[test]
    fn what_is_required_is_enough() {
        for overhead in ["0", "0.055", "0.06", "0.1", "1", "1.0"] {
            let overhead: Overhead = overhead.parse().unwrap();
            for size in [1, 4096, 1 << 20, (1 << 30) + 1, 10 << 30] {
                assert!(overhead.usable(overhead.required(size)) >= size, "{overhead:?} {size}");
            }
        }
    }

    #[test]
    fn an_overhead_that_is_no_share_is_refused() {
        for text in ["", ".", ".5", "-0.1", "1.1", "2", "6%", "0.0000000001", "0,06"] {
            assert_eq!(text.parse::<Overhead>().unwrap_err().code(), Code::Usage, "{text}");
        }
    }
}
