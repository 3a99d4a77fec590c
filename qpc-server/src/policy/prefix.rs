//! Address prefixes: what an anonymous peer is charged by.
//!
//! A single IPv4 address, or the /64 of an IPv6 address, which is what one household gets.

use std::net::IpAddr;

/// The part of an address that one peer can not change at will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpPrefix {
    /// A /32.
    V4(u32),
    /// A /64.
    V6(u64),
}

impl IpPrefix {
    /// The prefix of an address. IPv4 within IPv6, as dual-stack sockets give it, is IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                let wide = [a, b, c, d].into_iter().fold(0u64, |bits, part| (bits << 16) | u64::from(part));
                Self::V6(wide)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> IpPrefix {
        IpPrefix::of(text.parse().unwrap())
    }

    #[test]
    fn ipv6_is_charged_by_64_and_ipv4_by_address() {
        assert_eq!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:2:ffff::9"));
        assert_ne!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:3::1"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
        assert_eq!(prefix("::ffff:192.0.2.1"), prefix("192.0.2.1"));
    }
}
