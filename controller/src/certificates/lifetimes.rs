//! How long certificates last, and when they are renewed.

use api::cdi::{CertConfig, CertLifetime};
use jiff::SignedDuration;
use jiff::fmt::friendly::SpanParser;

/// Shorter than this is taken for a slip of the pen: renewing would be all there is to do.
const SHORTEST: SignedDuration = SignedDuration::from_mins(2);

/// How long one kind of certificate lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// From when it is made to its end.
    pub(crate) lasts: SignedDuration,
    /// How long before its end it is renewed; less than it lasts.
    pub(crate) renew_before: SignedDuration,
}

/// How long certificates last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    pub(crate) authority: Lifetime,
    pub(crate) server: Lifetime,
}

/// CDI's own.
const DEFAULT: Lifetimes = Lifetimes {
    authority: Lifetime { lasts: SignedDuration::from_hours(48), renew_before: SignedDuration::from_hours(24) },
    server: Lifetime { lasts: SignedDuration::from_hours(24), renew_before: SignedDuration::from_hours(12) },
};

impl Lifetimes {
    /// The lifetimes that `CDI.spec.certConfig` says, with the usual ones for what it does not say, or says so that it cannot
    /// be meant. An authority is renewed early enough that every certificate of a server ends before it.
    pub(crate) fn of(config: Option<&CertConfig>) -> Self {
        let mut authority = lifetime(config.and_then(|config| config.ca.as_ref()), DEFAULT.authority);
        let mut server = lifetime(config.and_then(|config| config.server.as_ref()), DEFAULT.server);
        if server.lasts >= authority.lasts {
            server.lasts = half(authority.lasts);
            server.renew_before = server.renew_before.min(half(server.lasts));
        }
        authority.renew_before = authority.renew_before.max(server.lasts);
        Self { authority, server }
    }
}

fn lifetime(said: Option<&CertLifetime>, default: Lifetime) -> Lifetime {
    let duration = |text: &Option<String>| text.as_deref().and_then(parse);
    let lasts = said.and_then(|said| duration(&said.duration)).filter(|lasts| *lasts >= SHORTEST);
    let lasts = lasts.unwrap_or(default.lasts);
    let renew_before = said.and_then(|said| duration(&said.renew_before)).unwrap_or(default.renew_before);
    let sensible = renew_before.is_positive() && renew_before < lasts;
    Lifetime { lasts, renew_before: if sensible { renew_before } else { half(lasts) } }
}

/// A duration as Go writes it, such as `48h0m0s` or `1.5h`.
fn parse(text: &str) -> Option<SignedDuration> {
    SpanParser::new().parse_duration(text).ok()
}

fn half(duration: SignedDuration) -> SignedDuration {
    // Of a duration of minutes, so nothing is lost and nothing can overflow.
    SignedDuration::from_secs(duration.as_secs() / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(duration: &str, renew_before: &str) -> Option<CertLifetime> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(CertLifetime { duration: text(duration), renew_before: text(renew_before) })
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in [
            ("48h0m0s", Some(172_800)),
            ("24h", Some(86_400)),
            ("1.5h", Some(5400)),
            ("90m", Some(5400)),
            ("1h30m", Some(5400)),
            ("3600s", Some(3600)),
            ("0s", Some(0)),
            ("", None),
            ("soon", None),
            ("48", None),
        ] {
            assert_eq!(parse(text).map(|duration| duration.as_secs()), seconds, "{text}");
        }
    }

    #[test]
    fn lifetimes_are_those_that_are_said_where_they_can_be_meant() {
        let minutes = |of: [i64; 4]| Lifetimes {
            authority: Lifetime {
                lasts: SignedDuration::from_mins(of[0]),
                renew_before: SignedDuration::from_mins(of[1]),
            },
            server: Lifetime {
                lasts: SignedDuration::from_mins(of[2]),
                renew_before: SignedDuration::from_mins(of[3]),
            },
        };
        let usual = [48 * 60, 24 * 60, 24 * 60, 12 * 60];
        for (ca, server, expected) in [
            (None, None, usual),
            (said("", ""), said("", ""), usual),
            (said("never", "1s"), said("0s", "-1h"), usual),
            (said("96h0m0s", "48h0m0s"), said("12h", "6h"), [96 * 60, 48 * 60, 12 * 60, 6 * 60]),
            // Renewed no later than its last server's certificate fits into it.
            (said("48h", "2h"), None, [48 * 60, 24 * 60, 24 * 60, 12 * 60]),
            // Never shorter than what it signs.
            (said("1h", "20m"), None, [60, 30, 30, 15]),
            (said("20m", "5m"), said("10m", "20m"), [20, 10, 10, 5]),
        ] {
            let config = CertConfig { ca, server, client: None };
            assert_eq!(Lifetimes::of(Some(&config)), minutes(expected), "{config:?}");
        }
        assert_eq!(Lifetimes::of(None), minutes(usual));
    }

    #[test]
    fn whatever_is_said_an_authority_outlasts_what_it_signs_and_is_renewed_before_its_end() {
        let texts = ["", "1s", "2m", "10m", "1h", "12h", "24h", "48h", "1000h"];
        for (ca, server) in texts.iter().flat_map(|ca| texts.iter().map(move |server| (*ca, *server))) {
            for renew in texts {
                let config = CertConfig { ca: said(ca, renew), server: said(server, renew), client: None };
                let found = Lifetimes::of(Some(&config));
                assert!(found.server.renew_before < found.server.lasts, "{config:?} {found:?}");
                assert!(found.server.renew_before.is_positive(), "{config:?} {found:?}");
                assert!(found.server.lasts <= found.authority.renew_before, "{config:?} {found:?}");
                assert!(found.authority.renew_before < found.authority.lasts, "{config:?} {found:?}");
            }
        }
    }
}
