//! From where a request comes: the peer of its connection, or what the proxies before the service say
//! that theirs was.
//!
//! ```text
//! X-Forwarded-For:  claimed, claimed, client, proxy        ◀─ proxy ◀─ proxy ◀─ client
//!                   whatever they like   2       1  from the right    (--trusted-hops 2)
//! ```
//!
//! Each proxy adds to the right end the address that it was asked from. So of as many entries as there
//! are trusted proxies, counted from that end over all lines together, the last one is what the
//! outermost of them saw. What is left of it was sent by the client, and nobody can rely on it.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

/// Where proxies say who asked them.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request comes from, in its extensions before any layer sees it. An IPv4 address
/// that came as an IPv6 one is an IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl ClientAddress {
    /// Of a request, by its peer and what its headers say. One that was sent past the proxies, or that
    /// they say nothing sensible about, comes from its peer.
    pub(super) fn of(peer: IpAddr, trusted_hops: usize, headers: &HeaderMap) -> Self {
        let forwarded = trusted_hops.checked_sub(1).and_then(|nearer| forwarded(headers, nearer));
        Self(forwarded.unwrap_or(peer).to_canonical())
    }
}

/// The entry that has so many to its right, if it is an address. An entry that is empty counts: to pass
/// over it would be to believe the client one entry more.
fn forwarded(headers: &HeaderMap, nearer: usize) -> Option<IpAddr> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    address(str::from_utf8(entries.nth(nearer)?).ok()?.trim())
}

/// An address, with or without the port that it had; an IPv6 address may have brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let with_port = || text.parse().ok().map(|with_port: SocketAddr| with_port.ip());
    match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok().or_else(with_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1";

    fn of(peer: &str, trusted_hops: usize, lines: &[&str]) -> String {
        let line = |line: &&str| (X_FORWARDED_FOR, line.parse().unwrap());
        let headers = lines.iter().map(line).collect();
        ClientAddress::of(peer.parse().unwrap(), trusted_hops, &headers).0.to_string()
    }

    #[test]
    fn without_trusted_hops_the_client_is_the_peer_whatever_it_says() {
        assert_eq!(of(PEER, 0, &[]), PEER);
        assert_eq!(of(PEER, 0, &["192.0.2.1"]), PEER);
    }

    #[test]
    fn the_client_is_what_the_outermost_trusted_hop_saw() {
        for (hops, lines, expected) in [
            (1, &["192.0.2.1"][..], "192.0.2.1"),
            (1, &["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
            (2, &["192.0.2.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (2, &["192.0.2.9", "192.0.2.1", "10.0.0.2"], "192.0.2.1"),
            (2, &["192.0.2.9, 192.0.2.1", "10.0.0.2"], "192.0.2.1"),
            (3, &["192.0.2.1", "10.0.0.3,10.0.0.2"], "192.0.2.1"),
        ] {
            assert_eq!(of(PEER, hops, lines), expected, "{hops} of {lines:?}");
        }
    }

    #[test]
    fn an_address_comes_with_its_port_or_without() {
        for (entry, expected) in [
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:4711", "192.0.2.1"),
        ] {
            assert_eq!(of(PEER, 1, &[entry]), expected, "{entry}");
        }
        assert_eq!(of("::ffff:192.0.2.1", 0, &[]), "192.0.2.1");
    }

    #[test]
    fn without_an_address_in_its_place_the_client_is_the_peer() {
        for (hops, lines) in [
            (1, &[][..]),
            (1, &[""]),
            (1, &["unknown"]),
            (1, &["192.0.2.1,"]),
            (1, &["192.0.2.1", ""]),
            (1, &["192.0.2.1, unix:"]),
            (1, &["192.0.2.1:port"]),
            (1, &["[192.0.2.1]"]),
            (1, &["2001:db8::1]:4711"]),
            (2, &["192.0.2.1"]),
            (2, &["unknown, 10.0.0.2"]),
        ] {
            assert_eq!(of(PEER, hops, lines), PEER, "{hops} of {lines:?}");
        }
    }

    #[test]
    fn what_is_no_text_stands_for_itself_only() {
        let line = |bytes: &[u8]| {
            let value = axum::http::HeaderValue::from_bytes(bytes).unwrap();
            HeaderMap::from_iter([(X_FORWARDED_FOR, value)])
        };
        let of = |headers: &HeaderMap| {
            ClientAddress::of(PEER.parse().unwrap(), 1, headers).0.to_string()
        };
        assert_eq!(of(&line(b"\xff\xfe, 192.0.2.1")), "192.0.2.1");
        assert_eq!(of(&line(b"192.0.2.1, \xff")), PEER);
    }
}
