//! Translation of names and addresses.

use std::str::FromStr;

use iroh::{EndpointAddr, EndpointId, TransportAddr};
use p2p_core::{PeerAddr, PeerId, RelayUrl};

/// The peer's name in iroh's terms. `None` cannot be dialled: the two crates' notions of a valid
/// key differ at most for keys that nobody can hold.
pub(crate) fn id_to_iroh(id: PeerId) -> Option<EndpointId> {
    EndpointId::from_bytes(id.as_bytes()).ok()
}

/// The name that a peer has proven, if it is one that can prove anything.
pub(crate) fn id_from_iroh(id: &EndpointId) -> Option<PeerId> {
    PeerId::from_bytes(*id.as_bytes()).ok()
}

/// A relay in iroh's terms; `None` if it is no URL after all, as a ticket's may not be.
pub(crate) fn relay_to_iroh(relay: &RelayUrl) -> Option<iroh::RelayUrl> {
    iroh::RelayUrl::from_str(relay.as_str()).ok()
}

/// A relay in the core's terms; `None` if it is beyond the core's bounds.
pub(crate) fn relay_from_iroh(relay: &iroh::RelayUrl) -> Option<RelayUrl> {
    relay.as_str().parse().ok()
}

/// Where to dial, as far as it makes sense to iroh.
pub(crate) fn addr_to_iroh(id: EndpointId, addr: &PeerAddr) -> EndpointAddr {
    let relays = addr.relays().filter_map(relay_to_iroh).map(TransportAddr::Relay);
    EndpointAddr::from_parts(id, relays.chain(addr.addresses().map(TransportAddr::Ip)))
}

/// Where this endpoint is reached.
pub(crate) fn addr_from_iroh(id: PeerId, addr: &EndpointAddr) -> PeerAddr {
    let relays = addr.relay_urls().filter_map(relay_from_iroh);
    let addr_with_relays = relays.fold(PeerAddr::new(id), PeerAddr::with_relay);
    addr.ip_addrs().fold(addr_with_relays, |addr, ip| addr.with_address(*ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_journey() {
        let id = p2p_core::SecretKey::from_bytes(&[7; 32]).peer_id();
        let addr = PeerAddr::new(id)
            .with_relay("https://relay.example:3443".parse().expect("a URL"))
            .with_address(([192, 0, 2, 1], 4433).into());
        let iroh = addr_to_iroh(id_to_iroh(id).expect("a key"), &addr);
        assert_eq!(addr_from_iroh(id, &iroh), addr);
    }

    #[test]
    fn what_is_no_url_is_left_out() {
        let id = p2p_core::SecretKey::from_bytes(&[7; 32]).peer_id();
        let addr = PeerAddr::new(id).with_relay("https://[::/".parse().expect("looks like one"));
        assert!(addr_to_iroh(id_to_iroh(id).expect("a key"), &addr).is_empty());
    }
}
