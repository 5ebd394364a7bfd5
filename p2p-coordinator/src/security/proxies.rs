//! Who is at the other end when proxies stand between.

use std::net::IpAddr;

use ipnet::IpNet;

/// Proxies whose word about the client's address counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Where they are. Default: there are none, and no header counts.
    pub networks: Vec<IpNet>,
    /// The header in which they say it. Only this one: what a proxy does not write itself, it passes
    /// on as the client wrote it.
    pub header: ForwardedHeader,
}

/// The header in which proxies say for whom they ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`: what most of them write.
    #[default]
    XForwardedFor,
}

impl ForwardedHeader {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::XForwardedFor => "x-forwarded-for",
        }
    }
}

/// The most proxies in a row that are followed.
const MAX_HOPS: usize = 16;

impl Proxies {
    /// The client's address: that of the connection or, if that is a proxy's, the last one in the
    /// header that is not. `values` are the header's, in the order of the request.
    pub fn client<'a>(
        &self,
        connection: IpAddr,
        values: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut client = connection.to_canonical();
        // Each proxy appends whom it has seen: the nearest is last.
        let mut hops = values.rev().flat_map(|value| value.rsplit(',')).take(MAX_HOPS);
        while self.networks.iter().any(|network| network.contains(&client)) {
            let Some(hop) = hops.next() else { break };
            let said = match self.header {
                ForwardedHeader::Forwarded => forwarded_for(hop),
                ForwardedHeader::XForwardedFor => address(hop),
            };
            // A name that hides who asks, or nonsense: the proxy before it is all that is known.
            let Some(before) = said else { break };
            client = before.to_canonical();
        }
        client
    }
}

/// The `for` of one element (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value.trim().trim_matches('"'))
}

/// An address, perhaps in brackets, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some((inside, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inside.parse().ok();
    }
    text.rsplit_once(':').and_then(|(address, _)| address.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ForwardedHeader, connection: &str, values: &[&str]) -> String {
        let networks = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let proxies = Proxies { networks, header };
        proxies.client(connection.parse().unwrap(), values.iter().copied()).to_string()
    }

    #[test]
    fn only_a_configured_proxy_is_believed_and_only_about_whom_it_saw() {
        let said = |connection, values: &[&str]| {
            client(ForwardedHeader::XForwardedFor, connection, values)
        };
        assert_eq!(said("203.0.113.9", &["198.51.100.1"]), "203.0.113.9", "no proxy of ours");
        assert_eq!(said("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(said("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(said("10.0.0.1", &["6.6.6.6, 198.51.100.1"]), "198.51.100.1", "6 is a lie");
        assert_eq!(said("10.0.0.1", &["6.6.6.6", "198.51.100.1, 10.2.2.2"]), "198.51.100.1");
        assert_eq!(said("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(said("10.0.0.1", &["198.51.100.1, what"]), "10.0.0.1");
        assert_eq!(said("10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(said("10.0.0.1", &["[2001:db8::7]:99"]), "2001:db8::7");
        let many = "10.1.1.1,".repeat(10_000);
        assert_eq!(said("10.0.0.1", &[&format!("6.6.6.6,{many}10.1.1.1")]), "10.1.1.1");
    }

    #[test]
    fn the_standard_header_is_read_where_it_is_configured_and_the_other_is_not() {
        let said = |values: &[&str]| client(ForwardedHeader::Forwarded, "::1", values);
        assert_eq!(said(&["for=6.6.6.6, proto=https;For=\"[2001:db8::7]:99\""]), "2001:db8::7");
        assert_eq!(said(&["for=unknown"]), "::1");
        assert_eq!(said(&["for=_hidden, for=10.3.3.3"]), "10.3.3.3");
        assert_eq!(said(&["198.51.100.1"]), "::1");
    }
}
