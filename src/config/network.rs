//! Networks and who is inside them.

use std::{fmt, net::IpAddr, str::FromStr};

/// An IP network such as `10.0.0.0/8` or `2001:db8::/32`; a lone address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Its address and the length of its prefix.
    pub fn parts(&self) -> (IpAddr, u8) {
        (self.address, self.prefix)
    }

    /// Whether `ip` is inside; an IPv4 address mapped into IPv6 counts as itself.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(network) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(network) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network such as 10.0.0.0/8")]
pub struct BadNetwork;

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| BadNetwork)?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|p| *p <= widest).ok_or(BadNetwork)?,
            None => widest,
        };
        Ok(Network { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Who may speak: networks, and with `"local"` this host's own addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// From anywhere inside one of these.
    pub networks: Vec<Network>,
    /// From any address of this host's own, whatever it is at the moment.
    pub local: bool,
}

impl Acl {
    /// Whether `ip` may speak; `own` are this host's addresses.
    pub fn allows(&self, ip: IpAddr, own: &[IpAddr]) -> bool {
        self.networks.iter().any(|network| network.contains(ip)) || (self.local && own.contains(&ip.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_and_outside() {
        let inside = |network: &str, ip: &str| network.parse::<Network>().unwrap().contains(ip.parse().unwrap());
        assert!(inside("127.0.0.0/8", "127.9.9.9") && !inside("127.0.0.0/8", "128.0.0.1"));
        assert!(inside("10.1.2.3", "10.1.2.3") && !inside("10.1.2.3", "10.1.2.4"));
        assert!(inside("0.0.0.0/0", "203.0.113.9") && !inside("0.0.0.0/0", "::1"));
        assert!(inside("::/0", "2001:db8::1") && inside("2001:db8::/32", "2001:db8:1::"));
        assert!(inside("127.0.0.0/8", "::ffff:127.0.0.1"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "a/8", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn own_addresses_are_allowed_where_it_says_local() {
        let own = ["192.0.2.7".parse().unwrap()];
        let acl = |local| Acl { networks: vec!["127.0.0.0/8".parse().unwrap()], local };
        assert!(acl(true).allows(own[0], &own) && !acl(false).allows(own[0], &own));
        assert!(acl(false).allows("127.0.0.1".parse().unwrap(), &own));
    }
}
