//! The certificates to believe, as a text.

use jiff::Timestamp;

use super::certificate::Certificate;

/// The bundle that there should be: the authority, then earlier ones that have not ended.
pub(crate) fn wanted(authority: &Certificate, existing: &[Certificate], now: Timestamp) -> String {
    let kept = existing.iter().filter(|old| old.is_authority && now < old.ends && *old != authority);
    let mut texts: Vec<&str> = vec![&authority.text];
    for old in kept {
        if !texts.contains(&old.text.as_str()) {
            texts.push(&old.text);
        }
    }
    texts.concat()
}

/// When the first of its certificates ends.
pub(crate) fn first_end(bundle: &[Certificate]) -> Option<Timestamp> {
    bundle.iter().map(|certificate| certificate.ends).min()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn certificate(name: &str, hours: i64, is_authority: bool) -> Certificate {
        let ends = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        Certificate { text: format!("{name}\n"), begins: Timestamp::UNIX_EPOCH, ends, names: Vec::new(), is_authority }
    }

    #[test]
    fn an_earlier_authority_stays_until_it_ends() {
        let (new, old) = (certificate("new", 72, true), certificate("old", 48, true));
        for (existing, hour, expected) in [
            (vec![], 24, "new\n"),
            (vec![old.clone()], 24, "new\nold\n"),
            (vec![old.clone()], 47, "new\nold\n"),
            (vec![old.clone()], 48, "new\n"),
            (vec![new.clone(), old.clone()], 24, "new\nold\n"),
            (vec![old.clone(), new.clone(), old.clone()], 24, "new\nold\n"),
            (vec![certificate("server", 48, false)], 24, "new\n"),
        ] {
            let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hour);
            assert_eq!(wanted(&new, &existing, now), expected, "{existing:?} at {hour}");
        }
        assert_eq!(first_end(&[new, old.clone()]), Some(old.ends));
        assert_eq!(first_end(&[]), None);
    }
}
