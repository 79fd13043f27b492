//! The ports of 127.0.0.1 that sessions of this daemon have been given.

use std::{
    collections::HashSet,
    io,
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
};

/// The ports that are taken, from the moment they are chosen: their programs listen only later.
#[derive(Clone, Default)]
pub(super) struct Ports(Arc<Mutex<HashSet<u16>>>);

/// A port that is one session's until this is dropped.
pub(super) struct Claim {
    pub(super) port: u16,
    ports: Ports,
}

impl Ports {
    /// Chooses a port that nobody listens on now. Somebody outside may take it before the program does: the program then
    /// ends, or its listener turns out to be another user's, and the start fails.
    pub(super) fn choose(&self) -> io::Result<Claim> {
        for _ in 0..64 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            if let Some(claim) = self.claim(port) {
                return Ok(claim);
            }
        }
        Err(io::Error::other("every port tried was another session's"))
    }

    /// Takes a port, if no session has it.
    pub(super) fn claim(&self, port: u16) -> Option<Claim> {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        new.then(|| Claim { port, ports: self.clone() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.ports.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_sessions_until_it_is_given_back() {
        let ports = Ports::default();
        let one = ports.choose().unwrap();
        let others: Vec<Claim> = (0..200).map(|_| ports.choose().unwrap()).collect();
        assert!(others.iter().all(|other| other.port != one.port));
        assert!(ports.claim(one.port).is_none());
        let port = one.port;
        drop(one);
        assert!(ports.claim(port).is_some());
    }
}
