//! A node as the others find it.

/// Whom a call or a forwarded request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The node's name: what is sealed for it is good for this node only.
    pub name: String,
    /// Its `host:port`.
    pub address: String,
    /// The SHA-256 of the certificate that it shows, hexadecimal; two with a blank between them while one takes the other's
    /// place, none where its port takes no TLS.
    pub certificate: Option<String>,
}
