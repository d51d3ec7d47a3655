//! What is due, and when something will be.

use jiff::{SignedDuration, Timestamp};

use super::lifetimes::{Lifetime, Lifetimes};

/// Certificates begin this long before they are made: clocks of other machines may be behind.
pub(crate) const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) now: Timestamp,
    pub(crate) lifetimes: Lifetimes,
    /// The authority, if there is one that can be read.
    pub(crate) authority: Option<Span>,
    /// The server's certificate, if there is one that can be read.
    pub(crate) server: Option<Server>,
    /// The bundle and every webhook have the authority.
    pub(crate) known: bool,
    /// They have just what they should: nothing that has ended, either.
    pub(crate) published: bool,
    /// When the first certificate in the bundle ends.
    pub(crate) first_end: Option<Timestamp>,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
}

/// A server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) span: Span,
    /// It has every name that the server is called by.
    pub(crate) named: bool,
    /// An authority that is believed and has not ended signed it.
    pub(crate) believed: bool,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make an authority.
    Authority,
    /// Tell everybody of the authority, and of none that has ended.
    Publish,
    /// Make the server a certificate.
    Server,
}

/// What to do, in this order, and when to look again if nothing else happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) wake: Timestamp,
}

/// What is due.
pub(crate) fn plan(facts: &Facts) -> Plan {
    let authority_due = facts.authority.is_none_or(|span| span.is_due(facts.now, facts.lifetimes.authority));
    let server_due = facts.server.is_none_or(|server| {
        !server.named || !server.believed || server.span.is_due(facts.now, facts.lifetimes.server)
    });
    let steps = match (authority_due, server_due) {
        // The outgoing authority is known everywhere; the incoming one signs first when it is too.
        (true, true) if can_sign_once_more(facts) => vec![Step::Server, Step::Authority, Step::Publish],
        (true, true) => vec![Step::Authority, Step::Publish, Step::Server],
        (true, false) => vec![Step::Authority, Step::Publish],
        (false, true) if facts.published => vec![Step::Server],
        (false, true) => vec![Step::Publish, Step::Server],
        (false, false) if facts.published => vec![],
        (false, false) => vec![Step::Publish],
    };
    Plan { steps, wake: wake(facts) }
}

/// Whether a certificate that the authority signs now lasts long enough not to be due at once.
fn can_sign_once_more(facts: &Facts) -> bool {
    let Lifetime { renew_before, .. } = facts.lifetimes.server;
    facts.known && facts.authority.is_some_and(|span| span.holds(facts.now) && span.ends - renew_before > facts.now)
}

/// The next moment at which something becomes due by itself.
fn wake(facts: &Facts) -> Timestamp {
    let authority = facts.authority.map(|span| span.ends - facts.lifetimes.authority.renew_before);
    let server = facts.server.map(|server| server.span.ends - facts.lifetimes.server.renew_before);
    [authority, server, facts.first_end].into_iter().flatten().min().unwrap_or(facts.now).max(facts.now)
}

impl Span {
    /// Whether it is valid.
    pub(crate) fn holds(self, now: Timestamp) -> bool {
        self.begins <= now && now < self.ends
    }

    /// Whether it has to be renewed: it ends soon, is not valid at all, or would last longer than one made now.
    fn is_due(self, now: Timestamp, lifetime: Lifetime) -> bool {
        let too_long = self.ends > now + lifetime.lasts + BACKDATED;
        !self.holds(now) || self.ends - lifetime.renew_before <= now || too_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: f64) -> Timestamp {
        let start: Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_secs_f64(hours * 3600.0)
    }

    /// A certificate made at this hour.
    fn made(hours: f64, lifetime: Lifetime) -> Span {
        Span { begins: at(hours) - BACKDATED, ends: at(hours) + lifetime.lasts }
    }

    /// An authority and a certificate made at these hours, seen at that.
    fn facts(authority: Option<f64>, server: Option<f64>, now: f64) -> Facts {
        let lifetimes = Lifetimes::of(None);
        let authority = authority.map(|hour| made(hour, lifetimes.authority));
        Facts {
            now: at(now),
            lifetimes,
            authority,
            server: server.map(|hour| Server { span: made(hour, lifetimes.server), named: true, believed: true }),
            known: authority.is_some(),
            published: authority.is_some(),
            first_end: authority.map(|span| span.ends),
        }
    }

    const NEW: &[Step] = &[Step::Authority, Step::Publish, Step::Server];

    #[test]
    fn what_is_due_follows_from_the_hour() {
        for (authority, server, now, expected) in [
            (None, None, 0.0, NEW),
            (Some(0.0), Some(0.0), 0.0, &[]),
            (Some(0.0), Some(0.0), 11.9, &[]),
            (Some(0.0), Some(0.0), 12.0, &[Step::Server][..]),
            (Some(0.0), Some(12.0), 23.9, &[]),
            (Some(0.0), Some(12.0), 24.0, &[Step::Server, Step::Authority, Step::Publish]),
            (Some(0.0), Some(20.0), 24.0, &[Step::Authority, Step::Publish]),
            // Nobody led for a day: the authority can still sign.
            (Some(0.0), Some(12.0), 35.0, &[Step::Server, Step::Authority, Step::Publish]),
            // What it signed now would be due at once.
            (Some(0.0), Some(12.0), 36.0, NEW),
            (Some(0.0), Some(12.0), 47.0, NEW),
            (Some(0.0), Some(12.0), 48.0, NEW),
            (Some(0.0), Some(12.0), 1000.0, NEW),
            // The clock was set back.
            (Some(0.0), Some(0.0), -1.0, NEW),
            (Some(0.0), None, 1.0, &[Step::Server]),
        ] {
            let found = plan(&facts(authority, server, now));
            assert_eq!(found.steps, expected, "{authority:?} {server:?} {now}");
        }
    }

    #[test]
    fn a_lost_authority_leaves_the_certificate_that_is_still_believed() {
        let lost = Facts { authority: None, known: false, published: false, ..facts(Some(0.0), Some(0.0), 1.0) };
        assert_eq!(plan(&lost).steps, [Step::Authority, Step::Publish]);
    }

    #[test]
    fn an_authority_that_nobody_knows_is_published_before_it_signs() {
        let unpublished = |server| Facts { known: false, published: false, ..facts(Some(0.0), server, 1.0) };
        assert_eq!(plan(&unpublished(Some(0.0))).steps, [Step::Publish]);
        assert_eq!(plan(&unpublished(None)).steps, [Step::Publish, Step::Server]);
        let both_due = Facts { known: false, published: false, ..facts(Some(0.0), Some(12.0), 24.0) };
        assert_eq!(plan(&both_due).steps, NEW);
        let only_untidy = Facts { known: true, ..both_due };
        assert_eq!(plan(&only_untidy).steps, [Step::Server, Step::Authority, Step::Publish]);
    }

    #[test]
    fn a_certificate_that_serves_nobody_is_made_anew() {
        for (named, believed) in [(false, true), (true, false)] {
            let mut facts = facts(Some(0.0), Some(0.0), 1.0);
            facts.server = facts.server.map(|server| Server { named, believed, ..server });
            assert_eq!(plan(&facts).steps, [Step::Server], "named {named} believed {believed}");
        }
    }

    #[test]
    fn other_lifetimes_are_in_force_at_once() {
        let hour = |lasts: i64| Lifetime {
            lasts: SignedDuration::from_hours(lasts),
            renew_before: SignedDuration::from_mins(lasts * 30),
        };
        let shorter =
            Facts { lifetimes: Lifetimes { authority: hour(4), server: hour(2) }, ..facts(Some(0.0), Some(0.0), 1.0) };
        assert_eq!(plan(&shorter).steps, [Step::Server, Step::Authority, Step::Publish]);
        let longer = Facts {
            lifetimes: Lifetimes { authority: hour(400), server: hour(200) },
            ..facts(Some(0.0), Some(0.0), 1.0)
        };
        assert_eq!(plan(&longer).steps, NEW, "what the old authority could sign would be due at once");
    }

    #[test]
    fn the_next_look_is_when_the_first_thing_becomes_due() {
        for (authority, server, first_end, expected) in [
            (Some(0.0), Some(0.0), 48.0, 12.0),
            (Some(0.0), Some(13.0), 48.0, 24.0),
            (Some(0.0), Some(0.0), 3.0, 3.0),
            (Some(0.0), Some(0.0), -3.0, 1.0),
        ] {
            let facts = Facts { first_end: Some(at(first_end)), ..facts(authority, server, 1.0) };
            assert_eq!(plan(&facts).wake, at(expected), "{authority:?} {server:?} {first_end}");
        }
    }

    /// What a month of looks would do to a cluster.
    struct Cluster {
        facts: Facts,
        /// Authorities that everybody believes, with the moment from which they do.
        bundle: Vec<(Span, Timestamp)>,
        /// The one that signed the server's certificate.
        signer: Option<Span>,
        /// Certificates signed by an authority in the moment it became known.
        hasty: usize,
    }

    impl Cluster {
        fn take(&mut self, step: Step) {
            let now = self.facts.now;
            let lasting = |lifetime: Lifetime| Span { begins: now - BACKDATED, ends: now + lifetime.lasts };
            match step {
                Step::Authority => self.facts.authority = Some(lasting(self.facts.lifetimes.authority)),
                Step::Publish => {
                    let authority = self.facts.authority.unwrap();
                    self.bundle.retain(|(span, _)| span.holds(now));
                    if self.bundle.iter().all(|(span, _)| *span != authority) {
                        self.bundle.push((authority, now));
                    }
                }
                Step::Server => {
                    let authority = self.facts.authority.unwrap();
                    let known = self.bundle.iter().find(|(span, _)| *span == authority);
                    let (_, since) = known.expect("an authority that signs is known");
                    self.hasty += usize::from(*since == now);
                    self.signer = Some(authority);
                    let span = lasting(self.facts.lifetimes.server);
                    let span = Span { ends: span.ends.min(authority.ends), ..span };
                    self.facts.server = Some(Server { span, named: true, believed: true });
                }
            }
        }

        fn look(&mut self, now: Timestamp) -> Plan {
            self.facts.now = now;
            let authority = self.facts.authority;
            self.facts.known = self.bundle.iter().any(|(span, _)| Some(*span) == authority);
            self.facts.published = self.facts.known && self.bundle.iter().all(|(span, _)| span.holds(now));
            self.facts.first_end = self.bundle.iter().map(|(span, _)| span.ends).min();
            plan(&self.facts)
        }
    }

    #[test]
    fn over_a_month_a_server_always_has_a_certificate_that_everybody_believes() {
        let mut cluster = Cluster { facts: facts(None, None, 0.0), bundle: Vec::new(), signer: None, hasty: 0 };
        let (mut now, mut looks) = (at(0.0), 0);
        while now < at(24.0 * 30.0) {
            looks += 1;
            for step in cluster.look(now).steps {
                cluster.take(step);
            }
            let after = cluster.look(now);
            assert_eq!(after.steps, [], "at {now} nothing more is due");
            assert!(after.wake > now, "time passes");
            let (server, signer) = (cluster.facts.server.unwrap().span, cluster.signer.unwrap());
            assert!(server.holds(after.wake) && server.ends <= signer.ends, "it lasts to the next look");
            assert!(cluster.bundle.iter().any(|(span, _)| *span == signer), "at {now} its authority is believed");
            now = after.wake;
        }
        assert!((60..200).contains(&looks), "{looks} looks in a month");
        assert_eq!(cluster.hasty, 1, "only the very first authority signs at once");
    }
}
