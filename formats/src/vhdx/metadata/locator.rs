//! The parent locator (MS-VHDX §2.6.2.6): read for nothing but the name in the refusal.

use crate::field::{le16, le32, quoted};
use crate::{Error, Kind};

const HEADER: usize = 20;
const ENTRY: usize = 12;

/// The paths of a parent, the best one first.
const KEYS: [&str; 3] = ["relative_path", "absolute_win32_path", "volume_path"];

/// Refuses a differencing image, by its parent's name where `locator` tells it.
pub(super) fn refusal(locator: &[u8]) -> Error {
    let name = KEYS.iter().find_map(|key| value(locator, key)).unwrap_or_else(|| "it does not name".to_owned());
    Error::new(Kind::BackingFile, format!("the image is a difference to parent {name}, which is never opened"))
}

/// The quoted value of `key`, if it is there.
fn value(locator: &[u8], key: &str) -> Option<String> {
    let entries = locator.get(HEADER..)?.chunks_exact(ENTRY).take(le16(locator, 18).into());
    for entry in entries {
        let name = text(locator, le32(entry, 0), le16(entry, 8));
        if name.as_deref() == Some(key) {
            return text(locator, le32(entry, 4), le16(entry, 10)).map(|value| quoted(value.as_bytes()));
        }
    }
    None
}

/// UTF-16 of `len` bytes at `at`.
fn text(locator: &[u8], at: u32, len: u16) -> Option<String> {
    let bytes = locator.get(at as usize..)?.get(..len.into())?;
    let units: Vec<u16> = bytes.chunks_exact(2).map(|unit| le16(unit, 0)).collect();
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn locator(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut out = vec![0; HEADER + entries.len() * ENTRY];
        out[18] = u8::try_from(entries.len()).unwrap();
        for (number, (key, value)) in entries.iter().enumerate() {
            let entry = HEADER + number * ENTRY;
            for (at, text) in [(0, key), (1, value)] {
                let (start, text) = (u32::try_from(out.len()).unwrap(), utf16(text));
                out[entry + at * 4..][..4].copy_from_slice(&start.to_le_bytes());
                out[entry + 8 + at * 2..][..2].copy_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
                out.extend(text);
            }
        }
        out
    }

    #[test]
    fn the_parent_is_named_by_the_path_that_helps_most() {
        let both = [("volume_path", "\\\\?\\Volume{1}"), ("relative_path", ".\\base.vhdx")];
        assert!(refusal(&locator(&both)).to_string().contains(r#"parent ".\\base.vhdx", which"#));
        assert!(refusal(&locator(&both[..1])).to_string().contains("Volume{1}"));
        assert_eq!(refusal(&locator(&both)).kind(), Kind::BackingFile);
    }

    #[test]
    fn a_locator_that_says_nothing_is_refused_all_the_same() {
        let mut outside = locator(&[("relative_path", "base")]);
        outside[HEADER + 4..][..4].fill(0xff);
        let mut many = locator(&[]);
        many[18..20].fill(0xff);
        for locator in [vec![], vec![0; 19], locator(&[("parent_linkage", "{1}")]), outside, many] {
            let error = refusal(&locator);
            assert_eq!(error.kind(), Kind::BackingFile);
            assert!(error.to_string().contains("parent it does not name"), "{error}");
        }
    }
}
