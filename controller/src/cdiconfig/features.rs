//! Feature gates (cdi.md §7.6). Names that are not known here are taken and mean nothing: `WebhookPvcRendering` and
//! `BootcImageImport` are such in CDI too.

/// Gate: a class that waits for its volumes' first consumer is waited for.
pub(crate) const HONOUR_WAIT_FOR_FIRST_CONSUMER: &str = "HonorWaitForFirstConsumer";
/// Gate: a DataVolume takes over a claim of its name that is there already.
const CLAIM_ADOPTION: &str = "DataVolumeClaimAdoption";

/// The gates that are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// A class that waits for its volumes' first consumer is waited for.
    pub(crate) honour_wait_for_first_consumer: bool,
    /// A DataVolume takes over a claim of its name that is there already.
    pub(crate) claim_adoption: bool,
}

impl Features {
    /// The gates in this list.
    pub(crate) fn of(gates: &[String]) -> Self {
        let open = |name: &str| gates.iter().any(|gate| gate == name);
        Self {
            honour_wait_for_first_consumer: open(HONOUR_WAIT_FOR_FIRST_CONSUMER),
            claim_adoption: open(CLAIM_ADOPTION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_gates_are_open() {
        for (gates, wait, adoption) in [
            (&[][..], false, false),
            (&["HonorWaitForFirstConsumer"], true, false),
            (&["DataVolumeClaimAdoption", "WebhookPvcRendering"], false, true),
            (&["HonorWaitForFirstConsumer", "DataVolumeClaimAdoption"], true, true),
            (&["honorwaitforfirstconsumer"], false, false),
        ] {
            let gates: Vec<String> = gates.iter().map(|gate| (*gate).to_owned()).collect();
            let expected = Features { honour_wait_for_first_consumer: wait, claim_adoption: adoption };
            assert_eq!(Features::of(&gates), expected, "{gates:?}");
        }
    }
}
