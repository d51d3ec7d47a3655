//! Sizes as Kubernetes writes them (`1Gi`, `1500M`, `2e9`): unlike on our own command line, `M` is 10^6.

use crate::{Code, Failure};

/// Bytes that a Kubernetes quantity stands for, rounded up to a whole one.
///
/// # Errors
/// Code `usage`: it is none, negative, or more than 2^63 - 1.
pub fn parse(text: &str) -> Result<u64, Failure> {
    let refused =
        || Failure::new(Code::Usage, format!("{text:?} is not a size as Kubernetes writes them, such as 10Gi"));
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && decimals.is_empty() || decimals.contains('.') || decimals.len() > 9 || whole.len() > 20 {
        return Err(refused());
    }
    let digits: u128 = format!("{whole}{decimals}").parse().map_err(|_| refused())?;
    let (multiplier, divisor) = scale(suffix).ok_or_else(refused)?;
    let divisor = divisor * 10_u128.pow(decimals.len() as u32);
    let bytes = digits.checked_mul(multiplier).map(|bytes| bytes.div_ceil(divisor));
    bytes.filter(|bytes| *bytes <= i64::MAX as u128).map(|bytes| bytes as u64).ok_or_else(refused)
}

/// What the number is multiplied with and divided by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    let position = |suffixes: [&str; 6]| suffixes.iter().position(|known| *known == suffix).map(|at| at as u32 + 1);
    match suffix {
        "" => return Some((1, 1)),
        "m" => return Some((1, 1000)),
        "u" => return Some((1, 1_000_000)),
        "n" => return Some((1, 1_000_000_000)),
        _ => {}
    }
    if let Some(power) = position(BINARY) {
        return Some((1024_u128.pow(power), 1));
    }
    if let Some(power) = position(DECIMAL) {
        return Some((1000_u128.pow(power), 1));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_u128.checked_pow(exponent.unsigned_abs()).filter(|_| exponent.unsigned_abs() <= 18)?;
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_means_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("1Ki", 1024),
            ("10Gi", 10 << 30),
            ("1.5Gi", 3 << 29),
            ("1G", 1_000_000_000),
            ("500M", 500_000_000),
            ("2k", 2000),
            ("1e3", 1000),
            ("12E6", 12_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1500m", 2),
            ("0.1", 1),
            (".5Ki", 512),
            ("7Ei", 7 << 60),
        ] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_by_its_text() {
        for text in
            ["", ".", "-1", "1KB", "1 Gi", "Gi", "1.2.3", "1e", "1e99", "8Ei", "99999999999999999999999", "0x10"]
        {
            assert!(parse(text).unwrap_err().what().contains(text), "{text}");
        }
    }
}
