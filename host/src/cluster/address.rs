//! The address under which a node tells the others to find it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    time::Duration,
};

use crate::{aside::aside, domain::HostPort};

/// A resolver that does not answer gives up by itself, but after longer than a start should take.
const LIMIT: Duration = Duration::from_secs(5);

/// A node's address as it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// `host:port`.
    pub address: String,
    /// What the host stands for, where that is known.
    pub ip: Option<IpAddr>,
    /// What the administrator should know about the choice.
    pub caution: Option<String>,
}

/// Works out a node's own `host:port`: `configured` (`www-host-name`) where it is set, with the port where it names none;
/// else the address it is bound to where that is a loopback address; else the host name, where the others can reach this
/// node by it; else the address that the route to the registry begins at, where that is another machine's; else an address of
/// the machine. Takes seconds at most, also where names cannot be resolved.
pub async fn announced(
    configured: Option<&HostPort>,
    bound: SocketAddr,
    host_name: &str,
    registry: Option<(&str, u16)>,
) -> Announced {
    if let Some(configured) = configured {
        let (ip, caution) = match resolve(&configured.host).await {
            Ok(addresses) => (preferred(addresses), None),
            Err(error) => (None, Some(format!("www-host-name {} cannot be resolved: {error}", configured.host))),
        };
        return Announced { address: configured.clone().or_port(bound.port()).to_string(), ip, caution };
    }
    if bound.ip().is_loopback() {
        return Announced { address: bound.to_string(), ip: Some(bound.ip()), caution: None };
    }
    let resolved = resolve(host_name).await.unwrap_or_default();
    let route = match registry {
        Some((host, port)) => route(host, port).await,
        None => None,
    };
    choose(bound, host_name, &resolved, route, &interfaces())
}

/// The address of this machine that packets to another begin at; none where that is this machine itself or cannot be told.
/// Nothing is sent.
async fn route(host: &str, port: u16) -> Option<IpAddr> {
    let addresses = resolve(host).await.ok()?;
    addresses.into_iter().filter(|ip| !ip.is_loopback()).find_map(|ip| {
        let any: SocketAddr = match ip {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect((ip, port)).ok()?;
        let own = socket.local_addr().ok()?.ip();
        (!own.is_loopback() && !own.is_unspecified()).then_some(own)
    })
}

/// What a host name stands for; an error where that is nothing, or the resolver does not answer in time.
///
/// # Errors
/// What the resolver said.
pub async fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    let name = host.to_owned();
    aside("evenkeel-resolve", LIMIT, move || {
        let addresses = (name.as_str(), 0).to_socket_addrs()?;
        Ok(addresses.map(|address| address.ip()).collect())
    })
    .await
    .map_err(|error| io::Error::new(io::ErrorKind::TimedOut, error))?
}

fn join(host: &str, port: u16) -> String {
    HostPort { host: host.to_owned(), port: Some(port) }.to_string()
}

/// An IPv4 address where there is one: what the legacy script and `list-nodes` show.
fn preferred(addresses: Vec<IpAddr>) -> Option<IpAddr> {
    addresses.iter().find(|ip| ip.is_ipv4()).copied().or_else(|| addresses.into_iter().next())
}

/// The address of a node that is bound to more than loopback.
fn choose(
    bound: SocketAddr,
    host_name: &str,
    resolved: &[IpAddr],
    route: Option<IpAddr>,
    interfaces: &[IpAddr],
) -> Announced {
    let listens = |ip: &IpAddr| {
        if bound.ip().is_unspecified() { bound.is_ipv6() || ip.is_ipv4() } else { *ip == bound.ip() }
    };
    let reachable: Vec<IpAddr> = resolved.iter().copied().filter(|ip| !ip.is_loopback() && listens(ip)).collect();
    if let Some(ip) = preferred(reachable) {
        return Announced { address: join(host_name, bound.port()), ip: Some(ip), caution: None };
    }
    let ip = if bound.ip().is_unspecified() {
        route.filter(listens).or_else(|| preferred(interfaces.iter().copied().filter(listens).collect()))
    } else {
        Some(bound.ip())
    };
    // A machine without any other address: its own daemons find each other so, and the address says what it is.
    let ip = ip.or_else(|| preferred(resolved.iter().copied().filter(listens).collect()));
    let meaning = if resolved.is_empty() {
        "stands for no address"
    } else if resolved.iter().all(IpAddr::is_loopback) {
        "stands for this machine's loopback address only"
    } else {
        "stands for an address that this node does not listen on"
    };
    let address = ip.map_or_else(|| join(host_name, bound.port()), |ip| SocketAddr::new(ip, bound.port()).to_string());
    let caution = format!("the host name {host_name} {meaning}: announcing {address}; set www-host-name to choose");
    Announced { address, ip, caution: Some(caution) }
}

/// The machine's own addresses that other machines may reach.
fn interfaces() -> Vec<IpAddr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    all.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    })
    .filter(|ip| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().unwrap()).collect()
    }

    fn chosen(bound: &str, resolved: &str, interfaces: &str) -> (String, Option<String>) {
        let choice = choose(bound.parse().unwrap(), "node1", &addresses(resolved), None, &addresses(interfaces));
        (choice.address, choice.caution)
    }

    #[tokio::test]
    async fn what_is_configured_is_announced_with_the_port_where_it_has_none() {
        let bound = "127.0.0.1:8787".parse().unwrap();
        for (configured, address) in [("127.0.0.2", "127.0.0.2:8787"), ("[::1]:9000", "[::1]:9000")] {
            let announced = announced(Some(&configured.parse().unwrap()), bound, "node1", None).await;
            assert_eq!(announced.address, address);
            assert!(announced.ip.is_some(), "{configured}");
        }
    }

    #[tokio::test]
    async fn a_node_bound_to_loopback_announces_just_that() {
        for bound in ["127.0.0.1:8788", "127.0.0.5:1", "[::1]:8788"] {
            let announced = announced(None, bound.parse().unwrap(), "node1", None).await;
            assert_eq!(announced.address, bound);
            assert_eq!(announced.caution, None);
        }
    }

    #[tokio::test]
    async fn a_name_that_stands_for_nothing_is_an_error_to_resolve() {
        assert_eq!(resolve("127.0.0.9").await.unwrap(), addresses("127.0.0.9"));
        assert!(resolve("no.such.name.invalid").await.is_err());
    }

    #[test]
    fn a_host_name_that_others_can_use_is_announced() {
        let (address, caution) = chosen("0.0.0.0:8787", "127.0.1.1 10.0.0.7", "10.0.0.7");
        assert_eq!((address.as_str(), caution), ("node1:8787", None));
        assert_eq!(chosen("10.0.0.7:8787", "10.0.0.7", "").0, "node1:8787");
        assert_eq!(chosen("[::]:8787", "2001:db8::7", "").0, "node1:8787");
    }

    #[test]
    fn a_host_name_of_loopback_only_is_not_announced() {
        let (address, caution) = chosen("0.0.0.0:8787", "127.0.1.1 ::1", "2001:db8::7 10.0.0.7");
        assert_eq!(address, "10.0.0.7:8787");
        assert!(caution.unwrap().contains("loopback"), "says so");
    }

    #[test]
    fn where_the_host_name_does_not_do_the_route_to_the_registry_goes_before_other_addresses() {
        let choice = |bound: &str, resolved: &str, route: &str| {
            let interfaces = addresses("10.0.0.7 192.0.2.7");
            let route = route.parse().ok();
            choose(bound.parse().unwrap(), "node1", &addresses(resolved), route, &interfaces).address
        };
        assert_eq!(choice("0.0.0.0:8787", "127.0.1.1", "192.0.2.7"), "192.0.2.7:8787");
        assert_eq!(choice("0.0.0.0:8787", "127.0.1.1", "2001:db8::7"), "10.0.0.7:8787", "it does not listen there");
        assert_eq!(choice("0.0.0.0:8787", "127.0.1.1", ""), "10.0.0.7:8787");
        assert_eq!(choice("10.0.0.7:8787", "127.0.1.1", "192.0.2.7"), "10.0.0.7:8787", "it listens on that one only");
        assert_eq!(choice("0.0.0.0:8787", "10.0.0.7", "192.0.2.7"), "node1:8787", "the name does");
    }

    #[tokio::test]
    async fn a_route_to_this_machine_itself_or_to_nowhere_is_none() {
        for host in ["127.0.0.1", "127.0.1.1", "localhost", "::1", "no.such.name.invalid"] {
            assert_eq!(route(host, 5432).await, None, "{host}");
        }
        // Where this machine has another address, the route to that begins at it.
        for own in interfaces() {
            if let Some(begins) = route(&own.to_string(), 5432).await {
                assert!(interfaces().contains(&begins), "{own}: {begins}");
            }
        }
    }

    #[test]
    fn a_host_name_of_an_address_that_is_not_listened_on_is_not_announced() {
        let (address, caution) = chosen("10.0.0.7:8787", "10.0.0.8", "10.0.0.7 10.0.0.8");
        assert_eq!(address, "10.0.0.7:8787");
        assert!(caution.unwrap().contains("does not listen"));
        assert_eq!(chosen("0.0.0.0:8787", "2001:db8::7", "10.0.0.7").0, "10.0.0.7:8787");
    }

    #[test]
    fn where_there_is_nothing_else_the_host_name_is_announced_with_a_caution() {
        let (address, caution) = chosen("0.0.0.0:8787", "127.0.1.1", "");
        assert_eq!(address, "127.0.1.1:8787", "never under the name");
        assert!(caution.unwrap().contains("loopback"));
        let (address, caution) = chosen("0.0.0.0:8787", "", "");
        assert_eq!(address, "node1:8787");
        assert!(caution.unwrap().contains("no address"));
    }
}
