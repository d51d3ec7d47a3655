//! The one date format that servers must send (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970, or `None` for anything but the fixed format.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let rest = text.get(3..)?.strip_prefix(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year, time, zone) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    if zone != "GMT" || words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year) = (number(day, 2, 1..=31)?, number(year, 4, 1970..=9999)?);
    let mut clock = time.split(':');
    let (hour, minute) = (number(clock.next()?, 2, 0..=23)?, number(clock.next()?, 2, 0..=59)?);
    let second = number(clock.next()?, 2, 0..=60)?;
    if clock.next().is_some() {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, digits: usize, allowed: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let well_formed = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value| well_formed && allowed.contains(value))
}

/// Days since 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day comes last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by GNU date: `date -ud '…' +%s`.
    #[test]
    fn dates_become_seconds_since_1970() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Fri, 31 Dec 2027 12:00:00 GMT", 1_830_254_400),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn other_formats_are_no_dates() {
        for text in [
            "",
            "Sun",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT extra",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Süß, 06 Nov 1994 08:49:37 GMT",
            "120",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
