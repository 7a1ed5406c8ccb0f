//! Who may speak to the endpoint, decided before anything is remembered of a message.
//!
//! A stranger's packets are dropped in silence: whoever is not known learns nothing, costs nothing, and cannot have
//! our answers sent to an address that it forged. What belongs to a dialog or a request of our own is taken from
//! anywhere, since we chose whom to call.

use std::net::{IpAddr, SocketAddr};

/// The rules of all listeners.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// None: everybody may speak everywhere.
    rules: Option<Box<[Rule]>>,
}

/// Who may speak to one of our addresses, and how much.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Our socket's address.
    pub local: SocketAddr,
    /// Networks as address and prefix length.
    pub networks: Vec<(IpAddr, u8)>,
    /// The most server transactions of one remote address here, those included that linger for 32 s; new requests outside
    /// dialogs are answered 503 beyond.
    pub transactions_per_peer: usize,
}

impl Access {
    /// These rules and nothing else: at an address without a rule everybody is a stranger.
    pub fn of(rules: Vec<Rule>) -> Self {
        Access { rules: Some(rules.into()) }
    }

    /// How many server transactions `remote` may have at `local`; None for a stranger.
    pub fn transactions_of(&self, local: SocketAddr, remote: IpAddr) -> Option<usize> {
        let Some(rules) = &self.rules else { return Some(usize::MAX) };
        let rule = rules.iter().find(|rule| rule.local == local)?;
        let remote = remote.to_canonical();
        rule.networks.iter().any(|network| contains(*network, remote)).then_some(rule.transactions_per_peer)
    }

    /// Whether `remote` may speak at `local`.
    pub fn allows(&self, local: SocketAddr, remote: IpAddr) -> bool {
        self.transactions_of(local, remote).is_some()
    }
}

fn contains((network, prefix): (IpAddr, u8), ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_knows_its_own() {
        let rule = |port, network: &str, prefix, transactions_per_peer| Rule {
            local: ([192, 0, 2, 9], port).into(),
            networks: vec![(network.parse().expect("an address"), prefix)],
            transactions_per_peer,
        };
        let access = Access::of(vec![rule(5060, "198.51.100.0", 24, 9), rule(5070, "2001:db8::", 32, 5)]);
        let ask =
            |port, ip: &str| access.transactions_of(([192, 0, 2, 9], port).into(), ip.parse().expect("an address"));
        assert_eq!(ask(5060, "198.51.100.77"), Some(9));
        assert_eq!(ask(5060, "::ffff:198.51.100.77"), Some(9));
        assert_eq!(ask(5060, "198.51.101.77"), None);
        assert_eq!(ask(5070, "198.51.100.77"), None);
        assert_eq!(ask(5070, "2001:db8:7::1"), Some(5));
        assert_eq!(ask(5080, "198.51.100.77"), None, "nobody is known where there is no rule");
        let all = Access::of(vec![rule(5060, "0.0.0.0", 0, 1)]);
        assert!(all.allows(([192, 0, 2, 9], 5060).into(), [203, 0, 113, 1].into()));
        assert!(Access::default().allows(([192, 0, 2, 9], 5060).into(), [203, 0, 113, 1].into()));
    }
}
