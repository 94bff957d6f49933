//! How many connections there are, all together and of each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;

use super::{Limit, limiter::Limiter};
use crate::config::ClientSettings;

/// Leading bits of an IPv6 address that whoever has one can be expected to have all of.
const PREFIX: u32 = 64;

/// Addresses that count as one: an IPv4 address, or a network of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> (128 - PREFIX) << (128 - PREFIX);
                Ipv6Addr::from_bits(network).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// Connections by address; those that are open bound it.
#[derive(Default)]
pub(super) struct Addresses(Mutex<HashMap<Network, u32>>);

impl Addresses {
    fn add(&self, network: Network, limit: u32) -> bool {
        let mut addresses = self.0.lock();
        let open = addresses.entry(network).or_default();
        if *open >= limit {
            return false;
        }
        *open += 1;
        true
    }

    fn remove(&self, network: Network) {
        let mut addresses = self.0.lock();
        if let Some(open) = addresses.get_mut(&network) {
            *open -= 1;
            if *open == 0 {
                addresses.remove(&network);
            }
        }
    }

    /// Gives back the memory of those that are gone.
    pub(super) fn sweep(&self) {
        let mut addresses = self.0.lock();
        if addresses.capacity() > 64 && addresses.capacity() > 4 * addresses.len() {
            addresses.shrink_to_fit();
        }
    }
}

/// One counted connection.
#[must_use = "the connection is counted as long as it lives"]
pub struct Place {
    limiter: Arc<Limiter>,
    network: Option<Network>,
}

impl Place {
    /// `open`: connections that are open, among them those of before there was a limit. `None` where there is none.
    pub(super) fn take(
        limiter: &Arc<Limiter>,
        client: &ClientSettings,
        open: u64,
        address: Option<IpAddr>,
    ) -> Result<Option<Box<Self>>, Limit> {
        let (all, of_address) = (client.connection_limit, client.address_connection_limit);
        if all == 0 && of_address == 0 {
            return Ok(None);
        }
        let placed = limiter.places.fetch_add(1, Ordering::Relaxed);
        let mut place = Box::new(Self {
            limiter: limiter.clone(),
            network: None,
        });
        if all > 0 && placed.max(open) >= u64::from(all) {
            return Err(Limit::Connections);
        }
        if let Some(address) = address.filter(|_| of_address > 0) {
            let network = Network::of(address);
            if !limiter.addresses.add(network, of_address) {
                return Err(Limit::AddressConnections);
            }
            place.network = Some(network);
        }
        Ok(Some(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.limiter.places.fetch_sub(1, Ordering::Relaxed);
        if let Some(network) = self.network {
            self.limiter.addresses.remove(network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Settings, metrics::Metrics, telemetry::LogBudget};

    #[tokio::test]
    async fn places_are_counted_and_given_back() {
        let limiter = Limiter::new(Metrics::new().unwrap().limits, Arc::new(LogBudget::new(1)));
        let mut client = Settings::default().client;
        let here = Some(IpAddr::from([127, 0, 0, 1]));
        let there = Some(IpAddr::from([127, 0, 0, 2]));
        let take = |client: &ClientSettings, address| Place::take(&limiter, client, 0, address);
        assert!(
            matches!(take(&client, here), Ok(None)),
            "nothing is counted without a limit"
        );
        (client.connection_limit, client.address_connection_limit) = (3, 2);
        let two = [take(&client, here).unwrap(), take(&client, here).unwrap()];
        assert!(matches!(take(&client, here), Err(Limit::AddressConnections)));
        let third = take(&client, there).unwrap();
        assert!(matches!(take(&client, there), Err(Limit::Connections)));
        drop(third);
        assert!(matches!(
            Place::take(&limiter, &client, 3, there),
            Err(Limit::Connections)
        ));
        drop(two);
        assert_eq!(limiter.places.load(Ordering::Relaxed), 0);
        assert!(limiter.addresses.0.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
