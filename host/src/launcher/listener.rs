//! Whom a listener belongs to. On a shared machine anybody may take a port, so that is asked before a request, with its
//! secret header, is sent to a session.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use procfs::net::{TcpNetEntry, TcpState};

/// Whose the listener is that a connection to this address of this machine reaches; none where nobody listens or it cannot be
/// told. Reads the kernel's table of connections: keep the answer for as long as a connection is kept, and ask off the
/// async threads.
pub fn uid(address: SocketAddr) -> Option<u32> {
    let mut entries = procfs::net::tcp().ok()?;
    // A machine without IPv6 has no such table.
    entries.extend(procfs::net::tcp6().unwrap_or_default());
    choose(&entries, address)
}

/// As the kernel does: a listener on the very address before one on every address, IPv4 before IPv6.
fn choose(entries: &[TcpNetEntry], asked: SocketAddr) -> Option<u32> {
    let (asked, port) = (asked.ip().to_canonical(), asked.port());
    let rank = |address: IpAddr| match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) if asked.is_ipv4() => Some(2),
        IpAddr::V6(address) if address.is_unspecified() => Some(3),
        address if address == asked => Some(0),
        address if address.to_canonical() == asked => Some(1),
        _ => None,
    };
    entries
        .iter()
        .filter(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)
        .filter_map(|entry| Some((rank(entry.local_address.ip())?, entry.uid)))
        .min()
        .map(|(_, uid)| uid)
}

#[cfg(test)]
mod tests {
    use procfs::{FromBufReadSI, net::TcpNetEntries};

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 101 1 0 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1002        0 102 1 0 100 0 0 10 0
   2: 0100007F:1F91 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1003        0 103 1 0 100 0 0 10 0
   3: 0201A8C0:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1004        0 104 1 0 100 0 0 10 0
   4: 00000000:1F93 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1005        0 105 1 0 100 0 0 10 0
";

    #[test]
    fn the_listener_that_loopback_reaches_is_chosen() {
        let entries = TcpNetEntries::from_buf_read(TABLE.as_bytes(), procfs::current_system_info()).unwrap().0;
        let at = |port| choose(&entries, (Ipv4Addr::LOCALHOST, port).into());
        assert_eq!(at(0x1f90), Some(1001), "the exact address before the wildcard");
        assert_eq!(at(0x1f91), None, "a connection is no listener");
        assert_eq!(at(0x1f92), None, "another address");
        assert_eq!(at(0x1f93), Some(1005));
        let outside = |port| choose(&entries, (Ipv4Addr::new(192, 168, 1, 2), port).into());
        assert_eq!((outside(0x1f92), outside(0x1f90)), (Some(1004), Some(1002)));
    }

    #[test]
    fn an_own_listener_is_found() {
        let own = nix::unistd::geteuid().as_raw();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(uid(address), Some(own));
        drop(listener);
        assert_eq!(uid(address), None);
    }
}
