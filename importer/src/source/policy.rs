//! Which addresses a source may be dialled at.
//!
//! The address is checked after name resolution, for every connection and every redirect, so that neither a name that
//! resolves to an internal address nor a redirect reaches what the policy closes.
//!
//! Behind a proxy it is the proxy that dials. The named host's addresses are then checked as this machine resolves
//! them; a name that this machine cannot resolve is left to the proxy's own rules.

use std::net::{IpAddr, Ipv6Addr};

use contract::{Code, Failure};

/// A network: address and length of its prefix in bits.
type Network = (IpAddr, u8);

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Network {
    (IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d)), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Network {
    let [a, b, c, d, e, f, g, h] = segments;
    (IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix)
}

/// Link-local networks and the metadata services of clouds, which hand credentials to whoever can reach them.
const INTERNAL: [Network; 7] = [
    // Link-local; on most clouds (AWS, Azure, GCP, OpenStack, DigitalOcean, Oracle) 169.254.169.254 is the metadata service.
    v4(169, 254, 0, 0, 16),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    // AWS: metadata over IPv6, and the container credential service.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32),
    // GCP: metadata over IPv6.
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
    // Alibaba Cloud: metadata.
    v4(100, 100, 100, 200, 32),
    // Oracle Cloud: metadata of the classic platform.
    v4(192, 0, 0, 192, 32),
    // Azure: the platform's own service address.
    v4(168, 63, 129, 16, 32),
];

/// Networks of private addresses (RFC 1918, RFC 6598, RFC 4193) and the machine's own, which a setting closes with the word
/// `private`.
const PRIVATE: [Network; 7] = [
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
];

/// Which addresses may be dialled.
#[derive(Clone, Debug, Default)]
pub struct SourcePolicy {
    denied: Vec<Network>,
    /// Open whatever else closes them.
    allowed: Vec<Network>,
}

impl SourcePolicy {
    /// No address is closed: what the command does, whose user could reach every address without it too.
    #[must_use]
    pub fn allow_all() -> Self {
        Self::default()
    }

    /// Link-local and metadata addresses are closed: what a cluster does, where the importer runs for somebody else.
    #[must_use]
    pub fn deny_internal() -> Self {
        Self { denied: INTERNAL.to_vec(), allowed: Vec::new() }
    }

    /// Closes these networks, too: `10.0.0.0/8`, an address, or `private`; separated by commas.
    ///
    /// # Errors
    /// Code `usage`, naming what is no network.
    pub fn and_deny(mut self, networks: &str) -> Result<Self, Failure> {
        self.denied.extend(parsed(networks)?);
        Ok(self)
    }

    /// Opens these networks whatever closes them.
    ///
    /// # Errors
    /// As [`SourcePolicy::and_deny`].
    pub fn but_allow(mut self, networks: &str) -> Result<Self, Failure> {
        self.allowed.extend(parsed(networks)?);
        Ok(self)
    }

    /// Closes the loopback addresses, the only ones that a name resolves to without a network.
    #[cfg(test)]
    pub(crate) fn deny_loopback() -> Self {
        Self { denied: vec![v4(127, 0, 0, 0, 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)], allowed: Vec::new() }
    }

    /// Whether the policy closes no address, so that nothing needs to be resolved for its sake.
    #[must_use]
    pub fn allows_all(&self) -> bool {
        self.denied.is_empty()
    }

    /// Whether `address` may be dialled. IPv4 addresses inside IPv6 ones (mapped, NAT64, 6to4) are seen through.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let inner = embedded(address);
        let within = |networks: &[Network]| {
            networks
                .iter()
                .any(|network| contains(*network, address) || inner.is_some_and(|inner| contains(*network, inner)))
        };
        !within(&self.denied) || within(&self.allowed)
    }

    /// Turns a closed address into a failure.
    ///
    /// # Errors
    /// Code `source-policy`, naming the address.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Failure> {
        if self.allows(address) {
            return Ok(());
        }
        Err(denied(host, address))
    }
}

/// The failure for a host whose address is closed.
pub(crate) fn denied(host: &str, address: IpAddr) -> Failure {
    let named =
        if host.trim_matches(['[', ']']) == address.to_string() { String::new() } else { format!(" of {host}") };
    Failure::new(
        Code::SourcePolicy,
        format!(
            "the address {address}{named} is one that the source policy closes (link-local, a metadata service, or a network of its list)"
        ),
    )
}

/// The networks of a list.
fn parsed(networks: &str) -> Result<Vec<Network>, Failure> {
    let mut all = Vec::new();
    for word in networks.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "private" => all.extend(PRIVATE),
            word => all.push(network(word).ok_or_else(|| {
                let what = format!("{word:?} is no network such as 10.0.0.0/8, no address and not `private`");
                Failure::new(Code::Usage, what)
            })?),
        }
    }
    Ok(all)
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(longest), |prefix| prefix.parse().ok())?;
    (prefix <= longest).then_some((address, prefix))
}

fn contains((network, prefix): Network, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32 - u32::from(prefix);
            network.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128 - u32::from(prefix);
            network.to_bits().checked_shr(shift) == address.to_bits().checked_shr(shift)
        }
        _ => false,
    }
}

/// The IPv4 address that a packet to this IPv6 address ends at.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let octets = address.octets();
    let at = |start: usize| IpAddr::from([octets[start], octets[start + 1], octets[start + 2], octets[start + 3]]);
    match address.segments() {
        // ::ffff:a.b.c.d (mapped), ::a.b.c.d (compatible).
        [0, 0, 0, 0, 0, 0xffff | 0, ..] => Some(at(12)),
        // 64:ff9b::/96, NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(at(12)),
        // 2002::/16, 6to4 (RFC 3056).
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_closes_link_local_and_metadata_addresses_in_every_spelling() {
        let policy = SourcePolicy::deny_internal();
        for closed in [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            let failure = policy.check("host.example", closed.parse().unwrap()).unwrap_err();
            assert_eq!(failure.code(), Code::SourcePolicy, "{closed}");
        }
    }

    #[test]
    fn a_cluster_leaves_other_addresses_open() {
        let policy = SourcePolicy::deny_internal();
        for open in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "169.253.255.255",
            "170.0.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "fec0::1",
            "::1",
            "100.100.100.201",
            "fd00:ec3::1",
        ] {
            policy.check("host.example", open.parse().unwrap()).unwrap();
        }
    }

    #[test]
    fn lists_close_and_open_networks_and_an_open_one_wins() {
        let policy = SourcePolicy::deny_internal().and_deny("private, 203.0.113.0/24,2001:db8::/32").unwrap();
        let policy = policy.but_allow("10.1.0.0/16,169.254.10.10").unwrap();
        for (address, open) in [
            ("10.2.0.1", false),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("127.0.0.1", false),
            ("203.0.113.9", false),
            ("203.0.114.9", true),
            ("2001:db8::9", false),
            ("169.254.10.10", true),
            ("169.254.169.254", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(policy.allows(address.parse().unwrap()), open, "{address}");
        }
        for word in ["10.0.0.0/33", "example.org", "10.0.0.0/8/8", "::/129", "public"] {
            let failure = SourcePolicy::allow_all().and_deny(word).unwrap_err();
            assert!(failure.what().contains(word), "{failure}");
        }
    }

    #[test]
    fn the_command_closes_nothing() {
        assert!(SourcePolicy::allow_all().allows("169.254.169.254".parse().unwrap()));
        assert!(SourcePolicy::allow_all().allows_all() && !SourcePolicy::deny_internal().allows_all());
    }

    #[test]
    fn the_message_names_the_host_and_the_address_once() {
        let address = "169.254.169.254".parse().unwrap();
        assert!(denied("evil.example", address).what().contains("169.254.169.254 of evil.example"));
        assert_eq!(denied("169.254.169.254", address).what().matches("169.254.169.254").count(), 1);
    }
}
